"""A client of the development issuer, as a program on somebody's machine is one, and a clock that a test moves."""
# ruff: noqa: ANN401  # the parameters of a request are whatever a test wants them to be

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx2

from authz.oauth.dev_issuer.config import read_config
from authz.oauth.dev_issuer.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.oauth.dev_issuer.http import DevIssuer

RESOURCE = "https://mcp.example/documents"
OTHER_RESOURCE = "https://mcp.example/mail"
CALLBACK = "http://127.0.0.1:51004/callback"
# RFC 7636, appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
SECRET = "planted-secret-of-the-web-client"
RESOURCE_SERVER = ("documents-server", "planted-secret-of-the-server")

CONFIG: dict[str, Any] = {
    "resources": [RESOURCE, OTHER_RESOURCE],
    "algorithm": "ES256",  # whose keys are made in no time
    "access_lifetime": 300,
    "clients": {
        "desktop": {"redirect_uris": ["http://127.0.0.1/callback"], "scopes": ["documents:read", "documents:write"]},
        "opaque": {
            "redirect_uris": ["http://127.0.0.1/callback"],
            "scopes": ["documents:read"],
            "tokens": "opaque",
        },
        "web": {"secret": SECRET, "redirect_uris": ["https://app.example/cb"], "scopes": ["documents:read"]},
        "robot": {
            "secret": SECRET,
            "grants": ["client_credentials"],
            "scopes": ["documents:read"],
            "roles": ["reporter"],
            "tenant": "acme",
        },
        "documents-server": {"secret": RESOURCE_SERVER[1], "grants": [], "introspect": True},
    },
    "users": {
        "alice": {"roles": ["editor"], "tenant": "acme"},
        "bob": {"roles": ["viewer"], "tenant": "globex", "scopes": ["documents:read"]},
        "mallory": {"scopes": []},
    },
}


class Clock:
    """A time that a test moves; the real one's present, so that others who look at tokens find them valid."""

    def __init__(self, now: float) -> None:
        """Begin with a time."""
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Reply(NamedTuple):
    """What the issuer sent back to the client's redirect URI."""

    uri: str
    parameters: dict[str, str]


class Browser:
    """A person's browser, with cookies of its own, and the client that sent it there."""

    def __init__(self, issuer: str) -> None:
        """Open with no cookies."""
        self.issuer = issuer
        self.http = httpx2.Client(base_url=issuer, timeout=10, verify=False, trust_env=False)

    def ask(self, **changed: Any) -> httpx2.Response:
        """Open the authorization endpoint; a parameter of None is left out."""
        asked = {
            "response_type": "code",
            "client_id": "desktop",
            "redirect_uri": CALLBACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            "state": "st ate&=é",
        }
        parameters = {name: value for name, value in (asked | changed).items() if value is not None}
        return self.http.get("/authorize", params=parameters)

    def click(self, page: httpx2.Response, **form: str) -> httpx2.Response:
        """Click on a button of the page."""
        hidden = re.search(r'name="request" value="([^"]+)"', page.text)
        assert hidden, page.text
        return self.http.post("/authorize", data={"request": hidden[1], **form}, headers={"Origin": self.issuer})

    def sign_in(self, user: str = "alice", **changed: Any) -> Reply:
        """Go the whole way as a user and return what reaches the client."""
        return sent_back(self.click(self.ask(**changed), user=user))

    def token(self, auth: tuple[str, str] | None = None, **form: Any) -> httpx2.Response:
        """Ask the token endpoint; a parameter of None is left out."""
        data = {name: value for name, value in ({"resource": RESOURCE} | form).items() if value is not None}
        return self.http.post("/token", data=data, auth=auth or httpx2.USE_CLIENT_DEFAULT)

    def exchange(self, code: str, /, **changed: Any) -> httpx2.Response:
        """Exchange a code for tokens, as the desktop client."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "client_id": "desktop",
            "code_verifier": VERIFIER,
        }
        return self.token(**(form | changed))

    def tokens(self, user: str = "alice", client_id: str = "desktop", **changed: Any) -> dict[str, Any]:
        """Return a token response for a user."""
        code = self.sign_in(user, client_id=client_id, **changed).parameters["code"]
        answer = self.exchange(code, client_id=client_id)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refresh(self, token: str, /, **changed: Any) -> httpx2.Response:
        """Use a refresh token, as the desktop client."""
        return self.token(**({"grant_type": "refresh_token", "refresh_token": token, "client_id": "desktop"} | changed))

    def introspect(self, token: str, auth: tuple[str, str] | None = RESOURCE_SERVER) -> httpx2.Response:
        """Ask about a token, as the resource server."""
        return self.http.post("/introspect", data={"token": token}, auth=auth or httpx2.USE_CLIENT_DEFAULT)

    def active(self, token: str) -> bool:
        """Tell whether the issuer says that a token counts."""
        answer = self.introspect(token)
        assert answer.status_code == 200, answer.text
        return answer.json()["active"] is True

    def revoke(self, token: str, client_id: str = "desktop") -> httpx2.Response:
        """Revoke a token, as the desktop client."""
        return self.http.post("/revoke", data={"token": token, "client_id": client_id})


def sent_back(answer: httpx2.Response) -> Reply:
    """Return where a browser is sent, and with what."""
    assert answer.status_code == 302, answer.text
    uri, _, query = answer.headers["Location"].partition("?")
    return Reply(uri, {name: value for name, (value,) in parse_qs(query, strict_parsing=True).items()})


def refused(answer: httpx2.Response, status: int, error: str) -> str:
    """Assert a refusal of the token endpoint (RFC 6749, section 5.2) and return its description."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert "access_token" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return str(answer.json().get("error_description", ""))


@contextmanager
def issuing(clock: Clock, config: dict[str, Any] | None = None, **given: Any) -> Iterator[tuple[DevIssuer, Browser]]:
    """Serve a development issuer on a free port, with a browser before it."""
    with serving(read_config(config or CONFIG), "127.0.0.1:0", clock=clock, **given) as issuer:
        browser = Browser(issuer.issuer)
        try:
            yield issuer, browser
        finally:
            browser.http.close()


def origin(uri: str) -> str:
    """Return scheme and authority of a URL."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
