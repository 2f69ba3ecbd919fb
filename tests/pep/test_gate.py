"""The step-up gate: who comes in, what is decided about, and what HTTP alone can answer (issue 5, item 4)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from authz.model import Decision, Effect, Reason
from authz.pep.http.connection import context_of, is_local_origin
from authz.pep.identity import Identity
from authz.pep.limits import CallLimit
from authz.pep.pdp import PdpError
from authz.pep.pdps.local import LocalPdp
from authz.pep.verdict import Outcome
from authz.tokens.errors import Refusal
from authz.tokens.service import TokenService
from tests.pep.gate_world import METADATA, POLICY, RefusingTokens, Settings, bearer, call, token, world
from tests.pep.world import program_of
from tests.tokens.world import AUDIENCE, ISSUER, FixedKeys, NoHttp, b64, header, issuer, octets

if TYPE_CHECKING:
    from authz.model import Request
    from authz.pep.http.asgi import Event, Scope
    from authz.pep.http.challenge import Mode
    from authz.tokens.caller import Caller

LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'


class Saying(LocalPdp):
    """A decision point that says one thing, whatever is asked: one that lies, or one that is broken."""

    def __init__(self, says: Decision | Exception) -> None:
        """Say this."""
        super().__init__(lambda: program_of(POLICY))
        self._says = says

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Say it."""
        if isinstance(self._says, Exception):
            raise self._says
        return self._says


def short_of(*scopes: str, message: str = "more is needed", missing: tuple[str, ...] | None = None) -> Saying:
    """Return a decision point that finds scopes missing."""
    missing = scopes if missing is None else missing
    return Saying(Decision(Effect.DENY, Reason.INSUFFICIENT_SCOPE, message, (), "r1", (), scopes, missing))


async def test_an_allowed_call_reaches_the_server_byte_for_byte() -> None:
    """Issue 5, item 4: the very same bytes are replayed, and the verdict goes along."""
    w = world()
    body = b' \n{"method" : "tools/call","id":7, "params":{"arguments":{"id":"d\\u00e9"},"name":"read_document"}}'
    answer = await w.ask([body[:10], b"", body[10:]], bearer())
    assert (answer.status, answer.body) == (200, b"through")
    assert w.reached.bodies == [body]
    assert w.reached.after == ["http.disconnect"]
    verdict = w.reached.admitted.verdict
    assert verdict is not None
    assert verdict.outcome is Outcome.ALLOWED
    assert verdict.message.params == {"name": "read_document", "arguments": {"id": "dé"}}
    assert w.doors.verdicts == [verdict]


async def test_the_caller_is_the_tokens_subject() -> None:
    """S3, S79: identity comes from the token and from nothing else in the request."""
    w = world()
    await w.ask(call("ping", subject="root"), bearer(), (b"x-user", b"root"), (b"x-forwarded-for", b"10.0.0.1"))
    identity = w.reached.admitted.identity
    assert (identity.subject, identity.tenant, identity.client) == ("alice", "acme", "agent")
    assert identity.scopes == ("docs:read",)


async def test_a_request_without_a_token_is_told_where_to_get_one() -> None:
    """R3, R4, R5, R8, R23; RFC 6750, section 3.1: no error code where there was no token."""
    w = world()
    answer = await w.ask(LIST)
    assert answer.status == 401
    assert answer.challenge == f'Bearer realm="documents", scope="docs:read", resource_metadata="{METADATA}"'
    assert not w.reached.scopes
    assert answer.headers["cache-control"] == "no-store"


async def test_credentials_of_another_scheme_are_no_token() -> None:
    """RFC 6750, section 3.1: an unsupported method of authentication gets a challenge without an error."""
    w = world()
    for value in (b"Basic YWxpY2U6c2VjcmV0", b"DPoP abc", b"Bearerabc def", b""):
        answer = await w.ask(LIST, (b"authorization", value))
        assert answer.status == 401
        assert "error=" not in answer.challenge


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer ", "bEaReR   "])
async def test_the_scheme_is_compared_without_case(scheme: str) -> None:
    """S22; RFC 9110, section 11.1."""
    w = world()
    answer = await w.ask(LIST, (b"Authorization", f" {scheme} {token()}\t".encode()))
    assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [b"Bearer a.b.c", b"Bearer a.b.c"],
        [b"Bearer good", b"Basic YQ=="],
        [b"Bearer a, Bearer b"],
        [b"Bearer a,b"],
        [b"Bearer a b"],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer\ta"],
        [b"Bearer a\0"],
        [b"Bearer a\r\nX: y"],
        [b"Bearer t\xc3\xb6ken"],
        [b"Bearer =a"],
        [b'Bearer token="a"'],
        [b"Bearer " + b"a" * 65_536],
    ],
)
async def test_a_malformed_header_is_a_bad_request(headers: list[bytes]) -> None:
    """S22, R8; RFC 6750, section 3.1: `invalid_request`, with 400."""
    w = world()
    answer = await w.ask(LIST, *((b"authorization", value) for value in headers))
    assert answer.status == 400
    assert 'error="invalid_request"' in answer.challenge
    assert not w.reached.scopes


@pytest.mark.parametrize(
    "query", [b"access_token=x", b"a=b&access%5Ftoken=x", b"ACCESS_TOKEN", b"a" * 70_000, b"&a=" * 2_000]
)
async def test_a_token_in_the_url_is_refused(query: bytes) -> None:
    """C6; RFC 6750, section 2: one method, and never the URL, whatever else comes along."""
    w = world()
    for headers in ([], [bearer()]):
        assert (await w.ask(LIST, *headers, query=query)).status == 400
    assert (await w.ask(LIST, bearer(), query=b"session=access_token")).status == 200


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exp": 1_000_000_000}, "expired"),
        ({"aud": "https://mcp.example/other"}, "not issued for this server"),
        ({"iss": "https://evil.example"}, "issuer is not known"),
        ({"tenant_id": None}, "names no tenant"),
    ],
)
async def test_a_token_that_is_not_accepted_gets_invalid_token(changed: dict[str, object], said: str) -> None:
    """R5, R6, R8, S38, S39, S69; RFC 6750, section 3.1."""
    w = world()
    answer = await w.ask(LIST, bearer(**changed))
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.challenge
    assert 'scope="docs:read"' in answer.challenge
    assert f'resource_metadata="{METADATA}"' in answer.challenge
    assert said in answer.challenge
    assert not w.reached.scopes


async def test_a_forged_token_gets_invalid_token() -> None:
    """S35: the signature counts before any claim does."""
    w = world()
    good = token()
    forged = f"{good.rsplit('.', 1)[0]}.{b64(octets({'no': 'signature'}))}"
    unsigned = f"{b64(octets(header(alg='none')))}.{good.split('.')[1]}."
    for bad in (forged, unsigned, "not-a-jwt", "a.b.c"):
        answer = await w.ask(LIST, (b"authorization", f"Bearer {bad}".encode()))
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.challenge


async def test_the_audience_must_be_this_server_even_if_the_issuer_knows_more() -> None:
    """R6, R23; CVE-2026-116684: what the issuer's configuration accepts need not be this server."""
    w = world(Settings(resource="https://mcp.example/b", audiences=frozenset({"https://mcp.example/b"})))
    assert (await w.ask(LIST, bearer())).status == 401
    spelt = "HTTPS://MCP.example:443/mcp/"
    w = world(tokens=TokenService((issuer(audiences=frozenset({spelt})),), NoHttp(), keys={ISSUER: FixedKeys()}))
    assert (await w.ask(LIST, bearer(aud=spelt))).status == 200


@pytest.mark.parametrize(
    ("reason", "status"),
    [(Refusal.UNAVAILABLE, 503), (Refusal.TOO_MANY_FAILURES, 429), (Refusal.REVOKED, 401), (None, 503)],
)
async def test_a_token_that_cannot_be_checked_is_not_called_bad(
    reason: Refusal | None, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """S27, S43, S94: 503 while the issuer is silent, 429 for who guesses; both say when to come back."""
    w = world(tokens=RefusingTokens(reason))
    answer = await w.ask(LIST, bearer())
    assert answer.status == status
    assert ("retry-after" in answer.headers) == (status != 401)
    assert b"operator" not in answer.body
    assert not w.reached.scopes


async def test_who_sends_bad_tokens_is_refused_by_address() -> None:
    """S58, S60: failures count for the address of the connection, not for one that a header claims."""
    w = world()
    for number in range(100):
        await w.ask(LIST, bearer(exp=1_000_000 + number), (b"x-forwarded-for", f"10.0.0.{number}".encode()))
    answer = await w.ask(LIST, bearer())
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 0
    w.ask.peer = ("127.0.0.2", 4_000)
    assert (await w.ask(LIST, bearer())).status == 200


async def test_a_missing_scope_is_answered_by_one_challenge_with_all_scopes() -> None:
    """R8, R9, R10, S40, S91, 5d: 403, every scope of the operation, where the metadata is, and an error of JSON-RPC."""
    w = world()
    answer = await w.ask(call("send_document", id_="x-1", id="d"), bearer())
    assert answer.status == 403
    assert answer.challenge == (
        'Bearer realm="documents", error="insufficient_scope", scope="docs:read mail:send", '
        f'resource_metadata="{METADATA}", error_description="requires scope mail:send"'
    )
    said = answer.json()
    assert (said["jsonrpc"], said["id"], said["error"]["code"]) == ("2.0", "x-1", -32001)
    assert said["error"]["data"]["required_scopes"] == ["docs:read", "mail:send"]
    assert said["error"]["data"]["request_id"] == w.doors.verdicts[0].request_id
    assert not w.reached.scopes


async def test_only_what_is_missing_is_named_where_that_is_configured() -> None:
    """R10: servers are not required to repeat scopes that were granted."""
    w = world(Settings(challenge="missing"))
    answer = await w.ask(call("send_document", id="d"), bearer())
    assert 'scope="mail:send"' in answer.challenge


async def test_a_scope_that_implies_another_counts_for_it() -> None:
    """R11: hierarchies are accounted for, and the narrow scope is asked for."""
    w = world()
    assert (await w.ask(call("read_document", id="d"), bearer(scope="docs:write"))).status == 200
    answer = await w.ask(call("read_document", id="d"), bearer(scope="mail:send"))
    assert 'scope="docs:read"' in answer.challenge


async def test_a_new_token_with_the_scopes_of_the_challenge_works() -> None:
    """R9, C8: what the challenge names is enough."""
    w = world()
    answer = await w.ask(call("send_document", id="d"), bearer(scope="docs:read"))
    scope = answer.challenge.split('scope="')[1].split('"')[0]
    assert (await w.ask(call("send_document", id="d"), bearer(scope=scope))).status == 200


@pytest.mark.parametrize(
    ("tool", "roles"), [("send_document", ["viewer"]), ("nothing_of_this_name", ["editor"]), ("held", ["viewer"])]
)
async def test_every_other_denial_goes_on_with_its_verdict(tool: str, roles: list[str]) -> None:
    """Issue 5, item 4, L67: a challenge is sent only where more scopes would help; the plug-in answers the rest."""
    w = world()
    answer = await w.ask(call(tool, id="d"), bearer(roles=roles))
    assert answer.status == 200
    verdict = w.reached.admitted.verdict
    assert verdict is not None
    assert not verdict.allowed


async def test_a_decision_point_that_is_silent_never_leads_to_a_challenge() -> None:
    """Issue 5: no decision is a denial with -32603, which the plug-in tells."""
    w = world(pdp=Saying(PdpError("nobody answers")))
    assert (await w.ask(call("ping"), bearer())).status == 200
    verdict = w.reached.admitted.verdict
    assert verdict is not None
    assert (verdict.allowed, verdict.code) == (False, -32603)


@pytest.mark.parametrize("mode", ["required", "missing"])
async def test_offline_access_is_never_asked_for(mode: Mode) -> None:
    """R12: it is between the client and the issuer. Where it alone would help, no challenge does."""
    settings = Settings(challenge=mode, scopes_supported=("docs:read", "offline_access"))
    assert "offline_access" not in (await world(settings).ask(LIST)).challenge
    assert (await world(settings).ask(call("stay"), bearer())).status == 200
    pdp = short_of("docs:write", "offline_access")
    assert (await world(settings, pdp=pdp).ask(call("ping"), bearer())).status == 200
    pdp = short_of("docs:write", "offline_access", missing=("docs:write",))
    answer = await world(settings, pdp=pdp).ask(call("ping"), bearer())
    assert 'scope="docs:write"' in answer.challenge


@pytest.mark.parametrize(
    "scopes",
    [
        ("dócs:read",),
        ("docs:read", 'a"b'),
        ("a b",),
        ("a\\b",),
        ("a\r\nSet-Cookie: b=c",),
        ("",),
        (),
        tuple(f"scope:{number:04}" for number in range(1_000)),
    ],
)
async def test_scopes_that_no_header_can_hold_are_not_asked_for(scopes: tuple[str, ...]) -> None:
    """RFC 6749, section 3.3; RFC 9110, section 5.6.4: half a challenge would send a client round in circles."""
    w = world(pdp=short_of(*scopes))
    assert (await w.ask(call("ping"), bearer())).status == 200
    verdict = w.reached.admitted.verdict
    assert verdict is not None
    assert not verdict.allowed


@pytest.mark.parametrize(
    ("message", "description"),
    [
        ('say "please"\r\nSet-Cookie: a=b', "say pleaseSet-Cookie: a=b"),
        ('x", error="invalid_token', "x, error=invalid_token"),
        ("back\\slash\0\x7f", "backslash"),
        ("nicht für dich", "more scopes are needed"),
        ("x" * 5_000, "x" * 200),
    ],
)
async def test_a_text_of_a_policy_cannot_end_its_header(message: str, description: str) -> None:
    """Issue 5, item 4, "quoting"; RFC 9110, section 5.6.4: no injection by `because`, which the body tells whole."""
    answer = await world(pdp=short_of("docs:write", message=message)).ask(call("ping"), bearer())
    assert answer.status == 403
    assert answer.challenge.endswith(f'error_description="{description}"')
    assert answer.challenge.count("error=") == 1 + description.count("error=")
    assert answer.json()["error"]["message"] == message


async def test_a_name_with_line_breaks_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """S64: neither a tool's name nor a path writes lines of its own into headers or the log."""
    caplog.set_level(logging.DEBUG, "authz.pep")
    w = world(pdp=short_of("docs:write"))
    name = "read\r\nSet-Cookie: a=b\nrefused: status=200"
    answer = await w.ask(call(name), bearer(), path="/mcp\r\nrefused: status=200")
    assert answer.status == 200, "no question could be made of it"
    assert (await w.ask(LIST, path="/mcp\nrefused: status=200")).status == 401
    assert all("\n" not in record.getMessage() and "\r" not in record.getMessage() for record in caplog.records)


async def test_a_limit_is_answered_with_429() -> None:
    """S27, S58, R16: Retry-After in whole seconds, and the same in JSON-RPC."""
    w = world(limit=CallLimit(1, 60))
    assert (await w.ask(call("ping"), bearer())).status == 200
    answer = await w.ask(call("ping"), bearer())
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["id"] == 7
    assert answer.json()["error"]["code"] == -32001
    assert answer.json()["error"]["data"]["retry_after"] > 0
    assert len(w.reached.scopes) == 1


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_stream_and_the_end_of_a_session_need_a_token_and_no_decision(method: str) -> None:
    """R20, S6: a session id is no authentication."""
    w = world()
    assert (await w.ask(method=method)).status == 401
    assert (await w.ask(b"", (b"mcp-session-id", b"s-1"), method=method)).status == 401
    assert (await w.ask(b"", bearer(), method=method)).status == 200
    assert w.reached.admitted.verdict is None
    assert w.reached.admitted.identity.subject == "alice"


@pytest.mark.parametrize("path", ["/", "/mcp/", "/MCP", "/other", "/health/", "/healthz", "/.well-known/x", "//health"])
async def test_every_other_path_needs_a_token(path: str) -> None:
    """Issue 5, item 4: what is open is named exactly."""
    w = world()
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        assert (await w.ask(method=method, path=path)).status == 401
    assert not w.reached.scopes


async def test_an_open_path_asks_nobody() -> None:
    """Issue 5, item 4: probes have no token; nobody is admitted by them."""
    w = world()
    answer = await w.ask(call("read_document"), path="/health")
    assert answer.status == 200
    assert "state" not in w.reached.scopes[0]
    assert not w.doors.verdicts


@pytest.mark.parametrize("body", [LIST.replace(b'"id":1,', b""), b'{"jsonrpc":"2.0","id":1,"result":{}}', b"{}"])
async def test_what_is_no_request_is_not_decided_about(body: bytes) -> None:
    """Issue 5, item 4: notifications and responses go on without a decision, and without a verdict."""
    w = world()
    assert (await w.ask(body, bearer())).status == 200
    assert w.reached.admitted.verdict is None
    assert not w.doors.verdicts


@pytest.mark.parametrize("method", ["post", "Post"])
async def test_a_method_in_other_letters_is_still_decided_about(method: str) -> None:
    """Fail closed where a server behind is less exact than HTTP."""
    w = world()
    assert (await w.ask(call("send_document", id="d"), bearer(), method=method)).status == 403


async def test_what_is_decided_about_is_the_body_and_not_the_headers() -> None:
    """R17: the agreement of both is the SDK's to check; here a header changes nothing."""
    w = world()
    answer = await w.ask(
        call("send_document", id="d"), bearer(), (b"mcp-method", b"tools/call"), (b"mcp-name", b"ping")
    )
    assert answer.status == 403


async def test_a_smuggled_name_is_never_decided_about() -> None:
    """Issue 5: a name twice is read as the first by one reader and as the last by another."""
    w = world()
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping","name":"held"}}'
    answer = await w.ask(body, bearer())
    assert (answer.status, answer.json()["error"]["code"]) == (400, -32700)
    assert not w.doors.verdicts


@pytest.mark.parametrize(
    ("resource", "origin", "status"),
    [
        (AUDIENCE, b"https://evil.example", 403),
        (AUDIENCE, b"null", 403),
        (AUDIENCE, b"", 403),
        (AUDIENCE, b"http://localhost:3000", 403),
        (AUDIENCE, b"https://app.example", 200),
        (AUDIENCE, b"https://APP.example", 200),
        (AUDIENCE, b"https://app.example:8443", 403),
        (AUDIENCE, b"https://app.example.evil.example", 403),
        ("http://127.0.0.1:8000/mcp", b"http://localhost:6274", 200),
        ("http://localhost:8000/mcp", b"http://[::1]:6274", 200),
        ("http://127.0.0.1:8000/mcp", b"http://localhost.evil.example", 403),
        ("http://127.0.0.1:8000/mcp", b"http://evil.example", 403),
        ("http://127.0.0.1:8000/mcp", b"http://evil.example@localhost", 403),
        ("http://127.0.0.1:8000/mcp", b"file://localhost", 403),
        ("http://127.0.0.1:8000/mcp", b"http://[::1", 403),
    ],
)
async def test_pages_of_other_origins_are_refused(resource: str, origin: bytes, status: int) -> None:
    """R18; CVE-2025-66416: DNS rebinding and cross-site calls, before the token is looked at."""
    w = world(Settings(resource=resource, allowed_origins=frozenset({"https://app.example"})))
    assert (await w.ask(LIST, bearer(), (b"origin", origin))).status == status


async def test_two_origins_are_refused() -> None:
    """R18: one of them would be the one that nobody looks at."""
    w = world(Settings(allowed_origins=frozenset({"https://app.example"})))
    origin = (b"origin", b"https://app.example")
    assert (await w.ask(LIST, bearer(), origin, (b"Origin", b"https://evil.example"))).status == 403
    assert not is_local_origin("http://localhost/path")


async def test_policies_know_the_connection() -> None:
    """Issue 5, item 4: address, protocol version and client are context; what is not there is left out."""
    w = world()
    version = (b"mcp-protocol-version", b"2026-07-28")
    assert (await w.ask(call("near"), bearer(), version)).status == 200
    verdict = w.reached.admitted.verdict
    assert verdict is not None
    assert verdict.allowed
    scope: dict[str, object] = {"headers": [], "client": None}
    assert context_of(scope, Identity()) == {"transport": "http"}
    scope = {"headers": [version, version], "client": ("testclient", 1)}
    assert context_of(scope, Identity("a", client="c")) == {"transport": "http", "agent": "c"}
    scope = {"headers": [(b"mcp-protocol-version", b"x\r\ny")], "client": ("::1", 1)}
    assert context_of(scope, Identity()) == {"transport": "http", "ip": "::1"}


async def test_the_plug_in_is_told_who_came_in() -> None:
    """Issue 5, item 3: the hook may put into the scope what the framework expects; not for those who stay out."""
    told: list[tuple[str, str]] = []

    def admit(scope: Scope, caller: Caller, token: str) -> None:
        scope["user"] = caller.subject
        told.append((caller.subject, token))

    w = world(admit=admit)
    await w.ask(call("ping"), (b"authorization", f"Bearer {(one := token())}".encode()))
    assert told == [("alice", one)]
    assert w.reached.scopes[0]["user"] == "alice"
    await w.ask(call("send_document", id="d"), bearer())
    await w.ask(LIST)
    assert len(told) == 1


async def test_the_state_of_a_request_is_its_own() -> None:
    """S71, R20: a server that hands out one state for all connections must not mix callers up."""
    w = world()
    shared: dict[str, object] = {"db": 1}
    await w.ask(call("ping"), bearer(), state=shared)
    await w.ask(call("ping"), bearer(sub="bob"), state=shared)
    assert shared == {"db": 1}
    assert w.reached.scopes[0]["state"]["db"] == 1
    assert [scope["state"]["authz"].identity.subject for scope in w.reached.scopes] == ["alice", "bob"]


async def test_no_token_is_ever_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    """R23, S62, S64, S80: refusals are logged with an id that the caller is told, and with nothing of the token."""
    caplog.set_level(logging.DEBUG, "authz.pep")
    w = world()
    tokens = [token(), token(exp=1_000), token(aud="https://else.example"), "opaque-and-wrong"]
    for one in tokens:
        for scheme in ("Bearer", "Bearer x,"):
            answer = await w.ask(call("send_document", id="secret-id"), (b"authorization", f"{scheme} {one}".encode()))
            assert answer.status in {400, 401, 403}
            assert one.encode() not in answer.body
            id_ = answer.json().get("request_id") or answer.json()["error"]["data"]["request_id"]
            assert id_ in caplog.records[-1].getMessage()
    for record in caplog.records:
        assert not any(part in record.getMessage() for one in tokens for part in one.split("."))
        assert "secret-id" not in record.getMessage()


async def test_a_websocket_is_refused() -> None:
    """Issue 5, item 4: nothing is known of what would be sent on it."""
    w = world()
    sent: list[Event] = []

    async def receive() -> Event:
        return {"type": "websocket.connect"}

    async def send(event: Event) -> None:
        sent.append(event)

    await w.gate({"type": "websocket", "path": "/mcp", "headers": [bearer()]}, receive, send)
    assert [(event["type"], event["code"]) for event in sent] == [("websocket.close", 4403)]
    with pytest.raises(ValueError, match="no kind of connection"):
        await w.gate({"type": "carrier-pigeon"}, receive, send)
    assert not w.reached.scopes


async def test_a_protection_that_cannot_be_opened_lets_nobody_in() -> None:
    """Issue 5: without a lifespan it is opened by the first request, and an error never widens access."""
    w = world(fails=PdpError("no such socket: /secret/path"))
    answer = await w.ask(LIST, bearer())
    assert answer.status == 503
    assert b"secret" not in answer.body
    assert not w.reached.scopes


@pytest.mark.parametrize(
    "settings",
    [
        Settings(realm=""),
        Settings(realm='a"b'),
        Settings(realm="a\r\nb"),
        Settings(realm="straße"),
        Settings(resource="http://mcp.example/mcp"),
        Settings(resource="https://mcp.example/mcp?a=b"),
        Settings(resource="https://mcp.example/mcp#f"),
        Settings(resource="https://user@mcp.example/mcp"),
        Settings(resource="documents"),
        Settings(resource='https://mcp.example/"'),
        Settings(audiences=frozenset()),
        Settings(authorization_servers=()),
        Settings(scopes_supported=("a b",)),
        Settings(scopes_supported=("docs:*",)),
        Settings(open_paths=frozenset({"/.well-known/oauth-protected-resource"})),
    ],
)
def test_settings_that_would_weaken_the_gate_are_refused(settings: Settings) -> None:
    """S77, R13: refuse to start rather than run weak."""
    with pytest.raises(ValueError, match=r"^`[a-z_]+`"):
        world(settings)


async def test_an_id_is_given_back_as_it_came() -> None:
    """JSON-RPC 2.0, section 5: the answer carries the id of its request."""
    w = world(pdp=short_of("docs:write"))
    for id_ in (0, -1, 2**53, "", "1", 'x"\r\n\u2028é'):
        answer = await w.ask(call("ping", id_=id_), bearer())
        assert answer.json()["id"] == id_
        assert type(answer.json()["id"]) is type(id_)
        assert json.loads(answer.body) == answer.json()
