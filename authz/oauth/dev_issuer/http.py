"""A request of HTTP → an answer: discovery, keys, authorization, tokens, introspection, revocation, rotation."""

from __future__ import annotations

import json
import re
import threading
import time
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from authz.oauth.dev_issuer import pages
from authz.oauth.dev_issuer.config import GRANTS
from authz.oauth.dev_issuer.grants import CLIENT_AUTH
from authz.oauth.dev_issuer.issuing import Issuing
from authz.oauth.dev_issuer.memory import MOST, Asked, Memory, new_secret
from authz.oauth.dev_issuer.messages import Answer, Asking
from authz.oauth.dev_issuer.provider import Provider
from authz.oauth.dev_issuer.signing import SigningKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message

    from authz.oauth.dev_issuer.config import IssuerConfig

MAX_BODY: Final = 16 * 1024
_MAX_TARGET: Final = 8 * 1024
_MAX_PARAMETERS: Final = 50
_SIGN_IN_TIME: Final = 600
_COOKIE: Final = "authz-dev-issuer"
_BROWSER: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_FORM: Final = "application/x-www-form-urlencoded"
_NO_STORE: Final = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
_PUBLIC: Final = (("Content-Type", "application/json"), ("Cache-Control", "max-age=60"))


class DevIssuer:
    """The issuer as a function from requests to answers; it may be called from several threads."""

    def __init__(
        self, issuer: str, config: IssuerConfig, *, clock: Callable[[], float] = time.time, most: int = MOST
    ) -> None:
        """Make the first key. `issuer` is the origin that is listened on; `clock` tells seconds since 1970."""
        self.issuer = issuer
        self.config = config
        self.keys = SigningKeys(config.algorithm)
        self._clock = clock
        self._memory = Memory(clock, most)
        self._provider = Provider(config, self._memory, Issuing(issuer, config, self.keys, self._memory, clock), clock)
        self._one_at_a_time = threading.Lock()
        self._routes: Mapping[tuple[str, str], Callable[[Asking], Answer]] = {
            ("GET", "/"): lambda _: Answer(200, pages.front_page(issuer), pages.HEADERS),
            ("GET", "/.well-known/oauth-authorization-server"): lambda _: _json(self._metadata(), _PUBLIC),
            ("GET", "/.well-known/openid-configuration"): lambda _: _json(self._openid_metadata(), _PUBLIC),
            ("GET", "/jwks"): lambda _: _json(self.keys.jwks(), _PUBLIC),
            ("GET", "/authorize"): self._ask,
            ("POST", "/authorize"): self._agreed,
            ("POST", "/token"): self._provider.token,
            ("POST", "/introspect"): self._provider.introspect,
            ("POST", "/revoke"): self._provider.revoke,
            ("POST", "/dev/rotate"): lambda _: _json({"kid": self.keys.rotate()}, _NO_STORE),
        }

    def answer(self, method: str, target: str, headers: Message[str, str], body: bytes = b"") -> Answer:
        """Return the answer to a request, whatever it is."""
        if len(target) > _MAX_TARGET:
            return _problem(414, "the URL is too long")
        path, _, query = target.partition("?")
        route = self._routes.get((method, path))
        if route is None:
            known = [other for other, there in self._routes if there == path]
            allow = (("Allow", ", ".join(known)),) if known else ()
            return _problem(405 if known else 404, "there is nothing to do here", allow)
        refusal = self._foreign(method, headers)
        if refusal:
            return _problem(403, refusal)
        text: str | None = query
        if method == "POST":
            text = _form_text(headers, body)
        parameters = None if text is None else _parameters(text)
        if parameters is None:
            return _problem(400, f"the parameters are not {_FORM} in UTF-8, or too many")
        with self._one_at_a_time:
            try:
                return route(Asking(method, path, parameters, headers))
            except ValueError:  # what Authlib makes of credentials and texts that are no text
                return _problem(400, "the request cannot be read")

    def _foreign(self, method: str, headers: Message[str, str]) -> str:
        """Return what is wrong with where a request comes from, or "".

        A page elsewhere can let its own name lead to this address (DNS rebinding), and then `Host`
        is that name; and it can send forms here, and then `Origin` is its own.
        """
        if any(len(headers.get_all(name, [])) > 1 for name in ("Host", "Origin", "Authorization", "Content-Type")):
            return "a header is there twice"
        if headers.get("Host", "").lower() != urlsplit(self.issuer).netloc:
            return f"this issuer answers as {self.issuer} only"
        if method == "POST" and headers.get("Origin", self.issuer) != self.issuer:
            return "requests from pages of other origins are refused"
        return ""

    def _ask(self, asking: Asking) -> Answer:
        """Show who to be, after the request was found to be in order."""
        checked = self._provider.check_authorization(asking)
        if isinstance(checked, Answer):
            return _shown(checked)
        client, scopes = checked
        browser = _cookie(asking.headers) or new_secret()
        asked = new_secret()
        self._memory.asked.put(asked, Asked(asking.parameters, browser), self._clock() + _SIGN_IN_TIME)
        resource = dict(asking.parameters)["resource"]
        page = pages.sign_in_page(asked, client.client_id, scopes.split(), resource, self.config.users.values())
        cookie = f"{_COOKIE}={browser}; HttpOnly; SameSite=Lax; Path=/authorize; Max-Age={_SIGN_IN_TIME}"
        return Answer(200, page, (*pages.HEADERS, ("Set-Cookie", cookie)))

    def _agreed(self, asking: Asking) -> Answer:
        """Send the browser back with a code, for the user who was clicked in the browser that was asked."""
        form = dict(asking.parameters)
        asked = self._memory.asked.get(form.get("request", ""))
        browser = _cookie(asking.headers)
        if asked is None or not compare_digest(asked.browser.encode(), browser.encode()):
            return _shown(_problem(400, "this page is too old, was used already, or was opened in another browser"))
        user = self.config.users.get(form.get("user", ""))
        if user is None and "refuse" not in form:
            return _shown(_problem(400, "there is no such user"))
        self._memory.asked.take(form["request"])
        return _shown(self._provider.authorize(Asking("GET", "/authorize", asked.parameters, asking.headers), user))

    def _metadata(self) -> dict[str, object]:
        """Return the metadata of RFC 8414, section 2, with those of RFC 9207 and RFC 8707."""
        return {
            "issuer": self.issuer,
            "not_for_production": pages.WARNING,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "introspection_endpoint": f"{self.issuer}/introspect",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "scopes_supported": list(self.config.scopes),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(GRANTS),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [*CLIENT_AUTH, "none"],
            "introspection_endpoint_auth_methods_supported": [*CLIENT_AUTH],
            "revocation_endpoint_auth_methods_supported": [*CLIENT_AUTH, "none"],
            "authorization_response_iss_parameter_supported": True,
        }

    def _openid_metadata(self) -> dict[str, object]:
        """Return the metadata as OpenID clients look for them, with what they require; there are no ID tokens."""
        return self._metadata() | {
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.config.algorithm],
        }


def _form_text(headers: Message[str, str], body: bytes) -> str | None:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not body:
        return ""
    return body.decode("ascii", "replace") if kind == _FORM and len(body) <= MAX_BODY else None


def _parameters(text: str) -> tuple[tuple[str, str], ...] | None:
    try:
        found = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        return None
    return tuple(found)


def _cookie(headers: Message[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("Cookie", "")).get(_COOKIE)
    except CookieError:
        return ""
    # It goes back in `Set-Cookie`: only what we could have made ourselves may.
    return found.value if found and _BROWSER.match(found.value) else ""


def _json(body: Mapping[str, object], headers: tuple[tuple[str, str], ...], status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode(), headers)


def _problem(status: int, problem: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return _json({"error": "invalid_request", "error_description": problem}, (*_NO_STORE, *headers), status)


def _shown(answer: Answer) -> Answer:
    """Return an answer as a browser shows it: an error becomes a page."""
    if not answer.body:
        return Answer(answer.status, b"", (*answer.headers, ("Cache-Control", "no-store")))
    error = json.loads(answer.body)
    page = pages.problem_page(error.get("error_description", ""), error.get("error", ""))
    return Answer(answer.status, page, pages.HEADERS)
