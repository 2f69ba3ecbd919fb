"""From settings to a guard that decides (issue 5, items 1 to 6), and the line that it writes for each verdict."""
# ruff: noqa: ANN401  # what a test changes of settings, claims and verdicts is of any type

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from authz.errors import AuthzError, PolicyError
from authz.model import Decision, Effect, Reason, Resource
from authz.pep.catalogue import Item
from authz.pep.config import GuardConfig, GuardConfigError, Limits, Stdio
from authz.pep.identity import Identity
from authz.pep.limits import CallLimit
from authz.pep.mapping import Mapping
from authz.pep.messages import Message
from authz.pep.obligations import Obligations
from authz.pep.opening import Protection, handlers_of, protection
from authz.pep.pdp import PdpError
from authz.pep.pdps.local import LocalPdp
from authz.pep.pdps.remembering import Remembering
from authz.pep.reading import read_guard
from authz.pep.verdict import Outcome, Verdict
from authz.pep.watching import watch
from authz.server.config import ConfigError, DecisionLogConfig, StoreConfig
from authz.stores.sqlite.store import open_store
from authz.tokens import TokenConfigError
from tests.pep.world import ALICE, EDITH, POLICY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from authz.model import Attributes

RESOURCE = "https://mcp.example/mcp"
SECRET = "correct-horse-battery-staple-0123456789"
ISSUERS = f"""
[[issuer]]
issuer = "https://idp.example"
audiences = ["{RESOURCE}"]
algorithms = ["HS256"]
secret_file = "secret"
tenant = "tenant_id"
roles = "roles"
"""
CALL = Message("tools/call", {"name": "list_documents", "arguments": {}})


class NoTools:
    """The catalogue of a server that says nothing of its tools."""

    async def tools(self) -> Sequence[Item]:
        """Return none."""
        return ()

    async def tool(self, name: str) -> Item | None:
        """Return the name alone."""
        return Item(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a policy and an issuer."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "world.authz").write_text(POLICY)
    (tmp_path / "issuers.toml").write_text(ISSUERS)
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def made(config: GuardConfig | str | Path, **more: Any) -> Protection:
    """Return the protection of a server without tools."""
    return protection(config, catalogue=NoTools(), **more)


def http(folder: Path, **more: Any) -> GuardConfig:
    """Return the settings of a server that is reached over HTTP."""
    usual = {"policies": folder / "policies", "resource": RESOURCE, "issuers": folder / "issuers.toml"}
    return GuardConfig(**{**usual, **more})


def token(**changed: Any) -> str:
    """Return a token of the issuer."""
    now = int(time.time())
    claims = {"iss": "https://idp.example", "aud": RESOURCE, "sub": "alice", "iat": now, "exp": now + 300}
    claims |= {"scope": "docs:read", "tenant_id": "acme", "roles": ["viewer"], "azp": "desktop"}
    return jwt.encode({**claims, **changed}, SECRET, "HS256", {"typ": "at+jwt"})


async def test_a_file_of_two_lines_opens_a_guard_that_decides(folder: Path) -> None:
    """Issue 5: three lines that people add and trust."""
    (folder / "guard.toml").write_text('policies = "policies"\n[stdio]\nsubject = "alice"\n')
    guarded = made(folder / "guard.toml")
    await guarded.open()
    try:
        allowed = await guarded.guard.decide(CALL, ALICE, {})
        denied = await guarded.guard.decide(CALL, Identity("mallory", tenant="acme"), {})
        assert (allowed.outcome, denied.outcome) == (Outcome.ALLOWED, Outcome.DENIED)
    finally:
        await guarded.close()


async def test_opening_twice_opens_once_and_closing_ends_it(folder: Path) -> None:
    """Issue 5, item 3: whoever comes first opens it, several may at the same time."""
    guarded = made(http(folder))
    with pytest.raises(PdpError, match="not open"):
        _ = guarded.guard
    await asyncio.gather(guarded.open(), guarded.open())
    guard, tokens = guarded.guard, guarded.tokens
    await guarded.open()
    assert guarded.guard is guard
    assert guarded.tokens is tokens
    await guarded.close()
    await guarded.close()
    with pytest.raises(PdpError):
        _ = guarded.tokens
    assert (await guard.decide(CALL, ALICE, {})).outcome is Outcome.UNAVAILABLE  # whoever still holds it is denied
    await guarded.open()
    assert (await guarded.guard.decide(CALL, ALICE, {})).allowed
    await guarded.close()


async def test_it_stays_open_until_the_last_server_that_runs_has_ended(folder: Path) -> None:
    """Issue 5, item 3: one server on several transports, each with a lifespan of its own."""
    guarded, ended = made(http(folder)), list[str]()

    async def end() -> None:
        verdict = await guarded.guard.decide(CALL, ALICE, {})
        ended.append("before the guard" if verdict.allowed else "")

    async with guarded.running(end):
        async with guarded.running(end):
            guard = guarded.guard
        assert guarded.guard is guard
        assert not ended
        assert (await guarded.guard.decide(CALL, ALICE, {})).allowed
    assert ended == ["before the guard"]
    with pytest.raises(PdpError, match="not open"):
        _ = guarded.guard
    with pytest.raises(ZeroDivisionError):
        async with guarded.running():
            raise ZeroDivisionError
    with pytest.raises(PdpError, match="not open"):
        _ = guarded.guard


def test_it_opens_anew_in_the_next_event_loop(folder: Path) -> None:
    """Issue 5, item 3: a server may be run again, in a loop of its own."""
    guarded = made(http(folder))

    async def serve() -> bool:
        await guarded.open()
        try:
            return (await guarded.guard.decide(CALL, ALICE, {})).allowed
        finally:
            await guarded.close()

    assert asyncio.run(serve())
    assert asyncio.run(serve())


def test_it_is_of_one_event_loop_at_a_time(folder: Path) -> None:
    """An error never widens access: parts of another loop are not used by chance."""
    guarded = made(http(folder))

    async def serve() -> None:
        await guarded.open()
        try:
            with pytest.raises(GuardConfigError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, guarded.open())
            assert (await guarded.guard.decide(CALL, ALICE, {})).allowed
        finally:
            await guarded.close()

    asyncio.run(serve())


async def test_what_cannot_be_opened_is_told_and_can_be_tried_again(folder: Path) -> None:
    """Issue 5: refuse to start rather than run weak."""
    policy = folder / "policies" / "world.authz"
    policy.write_text("tool")
    guarded = made(http(folder))
    with pytest.raises(PolicyError):
        await guarded.open()
    with pytest.raises(PdpError):
        _ = guarded.guard
    policy.write_text(POLICY)
    await guarded.open()
    await guarded.close()


async def test_a_policy_directory_that_is_not_there_is_told(folder: Path) -> None:
    """Issue 5: refuse to start."""
    with pytest.raises(AuthzError, match="there is no"):
        await made(GuardConfig(policies=folder / "nowhere")).open()


# --- what the gate needs ----------------------------------------------------------------------


def test_the_gate_gets_every_setting_filled_in(folder: Path) -> None:
    """R2, R6, R13, R23: resource, audience, realm, at least one authorization server."""
    found = made(http(folder)).settings
    assert found.resource == RESOURCE
    assert found.audiences == {RESOURCE}
    assert found.realm == "mcp.example"
    assert found.authorization_servers == ("https://idp.example",)
    assert found.scopes_supported is None
    assert found.challenge == "required"


def test_audiences_are_given_in_their_canonical_form(folder: Path) -> None:
    """RFC 8707, section 2: as they are compared."""
    (folder / "issuers.toml").write_text(ISSUERS.replace(RESOURCE, "https://MCP.example/mcp/"))
    found = made(http(folder, audiences=frozenset({"https://MCP.example/mcp/"}))).settings
    assert found.audiences == {RESOURCE}


@pytest.mark.parametrize("left_out", ["issuers", "resource"])
def test_without_issuers_or_a_resource_there_is_no_http(folder: Path, left_out: str) -> None:
    """Issue 5, item 5: refuse to build an HTTP app that anyone could call."""
    without = {"issuers": None} if left_out == "issuers" else {"resource": "", "audiences": frozenset({RESOURCE})}
    with pytest.raises(GuardConfigError, match=f"`{left_out}` is missing"):
        _ = made(http(folder, **without)).settings


def test_issuers_whose_tokens_are_all_for_others_are_refused(folder: Path) -> None:
    """R6: an audience of the issuers must be ours."""
    with pytest.raises(TokenConfigError, match="no token would count"):
        made(http(folder, resource="https://other.example/mcp"))


def test_an_issuer_that_is_a_template_names_no_server(folder: Path) -> None:
    """R2: clients must be told where to go."""
    text = ISSUERS.replace("https://idp.example", "https://idp.example/{tenantid}/v2.0") + "any_tenant = true\n"
    (folder / "issuers.toml").write_text(text)
    with pytest.raises(GuardConfigError, match="`authorization_servers` is missing"):
        _ = made(http(folder)).settings
    servers = ("https://idp.example/common/v2.0",)
    assert made(http(folder, authorization_servers=servers)).settings.authorization_servers == servers


async def test_without_issuers_no_token_counts(folder: Path) -> None:
    """R5."""
    guarded = made(GuardConfig(policies=folder / "policies"))
    await guarded.open()
    with pytest.raises(GuardConfigError, match="`issuers`"):
        _ = guarded.tokens
    await guarded.close()


# --- who calls without HTTP -------------------------------------------------------------------


async def test_nobody_calls_without_http_unless_somebody_is_configured(folder: Path) -> None:
    """S30: stdio has no bearer; a caller comes from configuration or not at all."""
    assert await made(GuardConfig(policies=folder / "policies")).identity_without_http() is None


async def test_the_configured_caller_calls(folder: Path) -> None:
    """R1, S30."""
    stdio = Stdio("alice", "", "", ("docs:read",), ("viewer",), "acme", "desktop", {"department": "legal"})
    found = await made(GuardConfig(policies=folder / "policies", stdio=stdio)).identity_without_http()
    assert found == Identity("alice", ("docs:read",), ("viewer",), "acme", "desktop", {"department": "legal"})


async def test_the_environment_may_name_the_caller(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R1: credentials from the environment; none there is nobody."""
    guarded = made(GuardConfig(policies=folder / "policies", stdio=Stdio(subject_env="AUTHZ_TEST", roles=("viewer",))))
    assert await guarded.identity_without_http() is None
    monkeypatch.setenv("AUTHZ_TEST", "alice")
    assert await guarded.identity_without_http() == Identity("alice", roles=("viewer",))


async def test_a_token_in_the_environment_is_validated_for_each_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R1, R5, R6, S64: as strictly as over HTTP, and never in the log."""
    caplog.set_level(logging.DEBUG)
    guarded = made(http(folder, stdio=Stdio(token_env="AUTHZ_TEST")))
    await guarded.open()
    try:
        monkeypatch.setenv("AUTHZ_TEST", token())
        found = await guarded.identity_without_http()
        assert found is not None
        assert (found.subject, found.scopes, found.roles) == ("alice", ("docs:read",), ("viewer",))
        assert (found.tenant, found.client, found.issuer) == ("acme", "desktop", "https://idp.example")
        past = int(time.time()) - 3_600
        for bad in (token(exp=past, iat=past - 60), token(aud="https://other.example"), token()[:-8], "x", ""):
            monkeypatch.setenv("AUTHZ_TEST", bad)
            assert await guarded.identity_without_http() is None
        assert "the token in 'AUTHZ_TEST' is refused" in caplog.text
        assert token()[:20] not in caplog.text
    finally:
        await guarded.close()


# --- what belongs to it -----------------------------------------------------------------------


async def test_rules_of_the_file_or_a_mapping_of_the_program_but_not_both(folder: Path) -> None:
    """Issue 5, item 5: one place says what a call touches."""
    text = 'policies = "policies"\n[[tools]]\nmatch = "*_document"\nresource = { type = "document", id = "args.id" }\n'
    (folder / "guard.toml").write_text(text)

    def document(_tool: str, _arguments: Attributes, caller: Identity) -> Resource:
        return Resource("document", "d1", caller.tenant)

    with pytest.raises(GuardConfigError, match="exclude each other"):
        made(folder / "guard.toml", mapping=document)
    plain = GuardConfig(policies=folder / "policies")
    by_function = made(plain, mapping=document), made(plain, mapping=Mapping.by(document))
    for guarded in (made(folder / "guard.toml"), *by_function):
        await guarded.open()
        read = Message("tools/call", {"name": "read_document", "arguments": {"id": "d1"}})
        assert (await guarded.guard.decide(read, ALICE, {})).allowed
        await guarded.close()


def test_notices_in_the_log_are_enough_only_where_that_is_said(folder: Path) -> None:
    """L64: what nobody may ever read is no notice."""
    quiet = handlers_of(GuardConfig(policies=folder))
    assert all(quiet.knows(name) for name in ("redact", "approval", "step_up"))
    assert not quiet.knows("notify")
    assert handlers_of(read_guard('policies = "policies"\n[obligations.notify]\nlog = true', folder)).knows("notify")


async def test_handlers_of_the_program_count_until_the_first_call(folder: Path) -> None:
    """Issue 5, item 6: a registry."""
    share = Message("tools/call", {"name": "share_document", "arguments": {}})
    mapping = Mapping.by(lambda _tool, _arguments, caller: Resource("document", "d1", caller.tenant))
    guarded = made(GuardConfig(policies=folder / "policies"), mapping=mapping, obligations=Obligations())
    await guarded.open()
    assert not (await guarded.guard.decide(share, EDITH, {})).allowed
    guarded.obligations.register("notify", _Nothing())
    assert (await guarded.guard.decide(share, EDITH, {})).allowed
    await guarded.close()


class _Nothing:
    """A handler with nothing to do."""

    async def before(self, call: object, parameters: object) -> None:
        """Do nothing."""

    async def after(self, call: object, parameters: object, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result."""
        return result


async def test_an_allow_that_asks_for_a_step_up_challenges(folder: Path) -> None:
    """R9, issue 5, item 6: what the obligation asks for stands in the verdict, before anything is done."""
    text = 'tool "export" { allow role "viewer" then "step_up" { scopes: "docs:export" } }'
    (folder / "policies" / "world.authz").write_text(text)
    guarded = made(GuardConfig(policies=folder / "policies"))
    await guarded.open()
    verdict = await guarded.guard.decide(Message("tools/call", {"name": "export"}), ALICE, {})
    assert verdict.outcome is Outcome.DENIED
    assert verdict.data["required_scopes"] == ["docs:export", "docs:read"]
    has_it = Identity("alice", ("docs:export",), ("viewer",), "acme")
    assert (await guarded.guard.decide(Message("tools/call", {"name": "export"}), has_it, {})).allowed
    await guarded.close()


async def test_a_caller_beyond_the_limit_waits(folder: Path) -> None:
    """R16, S27, S58: per caller, before anybody is asked; the time to wait goes to the caller."""
    guarded = made(GuardConfig(policies=folder / "policies", limits=Limits(2, 3_600)))
    await guarded.open()
    outcomes = [await guarded.guard.decide(CALL, ALICE, {}) for _ in range(3)]
    assert [one.allowed for one in outcomes] == [True, True, False]
    assert 0 < outcomes[2].data["retry_after"] <= 1_800
    assert (await guarded.guard.decide(CALL, Identity("bob"), {})).retry_after == 0
    await guarded.close()
    await guarded.open()  # a caller's calls do not count anew because the server opens again
    assert not (await guarded.guard.decide(CALL, ALICE, {})).allowed
    await guarded.close()


async def test_decisions_of_this_process_are_logged_like_a_servers(folder: Path) -> None:
    """Issue 5, item 2; S5, S63: in the store, required, under the request id that the caller is told."""
    store = StoreConfig(folder / "authz.db")
    config = GuardConfig(policies=folder / "policies", decision_log=DecisionLogConfig("required"), store=store)
    guarded = made(config)
    await guarded.open()
    verdict = await guarded.guard.decide(CALL, ALICE, {})
    assert verdict.allowed
    await guarded.close()
    kept = open_store(folder / "authz.db", readonly=True)
    try:
        (record,) = [link.text for link in kept.log.links() if verdict.request_id in link.text]
    finally:
        kept.close()
    assert "list_documents" in record


# --- the line for each verdict ----------------------------------------------------------------


def verdict(outcome: Outcome, reason: Reason = Reason.NO_ALLOW, text: str = "denied", **more: Any) -> Verdict:
    """Return a verdict about a call with a secret in it."""
    message = Message("tools/call", {"name": "read\n_document", "arguments": {"password": "planted-secret"}})
    identity = Identity("alice\u202e", ("s",), (), "acme", "desktop", {"claims": {"x": "planted-secret"}})
    effect = Effect.ALLOW if outcome is Outcome.ALLOWED else Effect.DENY
    decision = Decision(effect, reason, "planted-secret", ("a:b",), "r1", missing_scopes=("docs:write",))
    undecided = outcome in {Outcome.INVALID, Outcome.UNAVAILABLE, Outcome.PASSED}
    return Verdict(message, identity, outcome, text, "req-1", None if undecided else decision, **more)


@pytest.mark.parametrize(
    ("outcome", "reason", "level", "event"),
    [
        (Outcome.ALLOWED, Reason.ALLOWED, logging.DEBUG, "allowed"),
        (Outcome.PASSED, Reason.ALLOWED, logging.DEBUG, "passed"),
        (Outcome.DENIED, Reason.NO_ALLOW, logging.INFO, "denied"),
        (Outcome.DENIED, Reason.INSUFFICIENT_SCOPE, logging.INFO, "elevation_needed"),
        (Outcome.INVALID, Reason.NO_ALLOW, logging.INFO, "invalid"),
        (Outcome.UNAVAILABLE, Reason.NO_ALLOW, logging.WARNING, "unavailable"),
    ],
)
def test_each_verdict_is_one_line_without_secrets(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, reason: Reason, level: int, event: str
) -> None:
    """S62, S63, S64; and elevation is an event of its own (best practices: log elevation events)."""
    caplog.set_level(logging.DEBUG, "authz.pep")
    watch(verdict(outcome, reason))
    (record,) = caplog.records
    line = record.getMessage()
    assert record.levelno == level
    assert line.split()[0] == event
    assert "request_id='req-1'" in line
    assert "tenant='acme'" in line
    assert line.isprintable()
    assert "planted" not in line


def test_why_nobody_decided_stands_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    """S94: generic to the caller, details under the same id."""
    caplog.set_level(logging.INFO, "authz.pep")
    silent = verdict(Outcome.UNAVAILABLE, text="the authorization service is unavailable", problem="connection refused")
    watch(silent)
    assert "problem='connection refused'" in caplog.text
    assert "connection" not in silent.text
    assert silent.data == {"request_id": "req-1"}


def test_denials_are_seen_at_the_usual_level_and_allowed_calls_only_when_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S63; the decision log has the rest."""
    caplog.set_level(logging.INFO, "authz.pep")
    watch(verdict(Outcome.ALLOWED, Reason.ALLOWED))
    watch(verdict(Outcome.DENIED))
    assert [record.getMessage().split()[0] for record in caplog.records] == ["denied"]


def test_a_limit_of_its_own_is_bounded() -> None:
    """S58: the table of callers has the size that the settings say."""
    limit = CallLimit(1, 60, 2)
    for number in range(10):
        limit.take(Identity(str(number)))
    assert len(limit) == 2


# --- who decides ------------------------------------------------------------------------------


async def test_a_server_that_is_not_there_denies_everything_and_keeps_nothing_from_starting(folder: Path) -> None:
    """Issue 5: a decision point that is down denies with -32603; the MCP server itself may start before it."""
    config = GuardConfig(pdp=(f"unix:{folder}/nobody.sock",), remember=1.0)
    guarded = made(config)
    await guarded.open()
    try:
        verdict = await guarded.guard.decide(CALL, ALICE, {})
        assert (verdict.outcome, verdict.code) == (Outcome.UNAVAILABLE, -32603)
    finally:
        await guarded.close()


async def test_another_machine_is_not_asked_without_tls() -> None:
    """S55: plaintext only on loopback and on Unix sockets."""
    there = ("authz.example:8181",)
    for config in (GuardConfig(pdp=there), GuardConfig(follow=there)):
        with pytest.raises(ConfigError, match="not encrypted"):
            await made(config).open()


async def test_an_allow_is_remembered_only_where_that_is_said(folder: Path) -> None:
    """Issue 5, item 2: an optional cache of ALLOW answers."""
    for seconds, kind in ((0.0, LocalPdp), (1.0, Remembering)):
        guarded = made(GuardConfig(policies=folder / "policies", remember=seconds))
        await guarded.open()
        assert isinstance(guarded.guard.pdp, kind)
        assert (await guarded.guard.decide(CALL, ALICE, {})).allowed
        await guarded.close()
