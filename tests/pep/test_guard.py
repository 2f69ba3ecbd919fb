"""One MCP message, one verdict (issue 5, items 2, 3, 5 and 6)."""
# ruff: noqa: ANN401  # settings of a guard, arguments of a call and lies of a decision point are of any type

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.errors import InvalidRequestError
from authz.model import Decision, Effect, Obligation, Part, Reason, Resource, ToolInfo
from authz.pep.catalogue import Item, tool_item
from authz.pep.guard import MOST_QUESTIONS, Guard
from authz.pep.identity import ANONYMOUS, Identity
from authz.pep.mapping import Mapping, Rule, Touches
from authz.pep.messages import Message
from authz.pep.pdp import PdpError
from authz.pep.verdict import Outcome, Verdict
from tests.pep.world import ALICE, EDITH, GLEN, SHORT, local_pdp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from authz.model import Request
    from authz.pep.guard import ListMode
    from authz.pep.pdp import Answer, Pdp
    from authz.wire.enforcement import Description

SERVER = "https://mcp.example/mcp"
DOCUMENTS = Mapping((Rule(("*_document",), Touches("document", ("id",))),))


@dataclass
class Tools:
    """The catalogue of a server with these tools."""

    items: tuple[Item, ...] = ()

    async def tools(self) -> Sequence[Item]:
        """Return all."""
        return self.items

    async def tool(self, name: str) -> Item | None:
        """Return one."""
        return next((item for item in self.items if item.name == name), None)


@dataclass
class Scripted:
    """A decision point that says what a test has it say, and notes what it is asked."""

    answer: Callable[[Request], Any]
    asked: list[Request] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Say it."""
        self.asked.append(request)
        found = self.answer(request)
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]  # some lie

    async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
        """Say it of each."""
        self.batches.append(len(requests))
        self.asked += requests
        found = [self.answer(request) for request in requests]
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, (PdpError, InvalidRequestError)):
                raise one
        return found

    async def describe(self, tools: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        """Say nothing."""
        raise PdpError("not asked here")

    async def close(self) -> None:
        """End nothing."""


def decided(effect: Effect, reason: Reason = Reason.NO_ALLOW, *obligations: Obligation, **more: Any) -> Decision:
    """Return a decision."""
    return Decision(effect, reason, more.pop("message", ""), (), "r1", obligations, **more)


ALLOW = decided(Effect.ALLOW, Reason.ALLOWED)


def guard(pdp: Pdp | None = None, items: Sequence[Item] = (), **more: Any) -> Guard:
    """Return a guard of the documents of two tenants."""
    usual: dict[str, Any] = {"mapping": DOCUMENTS, "resource": SERVER, "knows": lambda _: False}
    return Guard(pdp=pdp or local_pdp(), catalogue=Tools(tuple(items)), **{**usual, **more})


def call(tool: str = "read_document", **arguments: Any) -> Message:
    """Return a tool call."""
    return Message("tools/call", {"name": tool, "arguments": arguments})


async def ask(message: Message, identity: Identity = ALICE, pdp: Pdp | None = None, **more: Any) -> Verdict:
    """Return the verdict about a message."""
    return await guard(pdp, **more).decide(message, identity, {})


# --- what is asked ----------------------------------------------------------------------------


async def test_a_call_becomes_a_question_with_everything_that_is_known() -> None:
    """Issue 5, item 5: tool, arguments, hints, server, client, resource, tenant from the token."""
    pdp = Scripted(lambda _: ALLOW)
    item = tool_item({"name": "read_document", "annotations": {"readOnlyHint": True}}, "documents", ("files",))
    identity = replace(ALICE, attributes={"claims": {"acr": "gold"}})
    verdict = await guard(pdp, [item]).decide(call(id="d1", page=2), identity, {"ip": "10.0.0.1"})
    assert verdict.outcome is Outcome.ALLOWED
    (asked,) = pdp.asked
    assert (asked.tool, asked.arguments) == ("read_document", {"id": "d1", "page": 2})
    assert (asked.subject, asked.scopes, asked.roles) == ("alice", ("docs:read",), ("viewer",))
    assert (asked.tenant, asked.subject_attributes) == ("acme", {"claims": {"acr": "gold"}})
    assert asked.client is not None
    assert asked.client.id == "desktop"
    assert asked.resource == Resource("document", "d1", "acme")
    assert asked.context == {"ip": "10.0.0.1"}
    assert asked.unknown == frozenset()
    assert asked.tool_info == ToolInfo("documents", ("files",), read_only=True)
    assert asked.tool_info.destructive is None  # a hint that is absent is not false (R21)


async def test_a_tool_that_the_server_does_not_have_is_asked_about_without_hints() -> None:
    """R22: whether it exists is the server's to say, after the guard."""
    pdp = Scripted(lambda _: ALLOW)
    await ask(call("nosuch"), pdp=pdp)
    assert pdp.asked[0].tool_info is None


async def test_a_caller_without_a_subject_is_anonymous() -> None:
    """S24: only what is `public` is open to nobody in particular."""
    assert (await ask(call("ping"), ANONYMOUS)).allowed
    assert not (await ask(call("list_documents"), ANONYMOUS)).allowed


@pytest.mark.parametrize(
    ("method", "params", "tool", "resource"),
    [
        ("resources/read", {"uri": "file:///a"}, "resources/read", Resource("resource", "file:///a", "acme")),
        ("prompts/get", {"name": "p"}, "prompts/get", Resource("prompt", "p", "acme")),
        ("tasks/get", {"taskId": "t"}, "tasks/get", Resource("task", "t", "acme")),
        ("logging/setLevel", {"level": "debug"}, "logging/setLevel", Resource("mcp_server", SERVER, "acme")),
    ],
)
async def test_other_methods_are_asked_about_on_what_they_name(
    method: str, params: dict[str, Any], tool: str, resource: Resource
) -> None:
    """COAZ-MCP draft 1, "Default Mappings"."""
    pdp = Scripted(lambda _: ALLOW)
    assert (await ask(Message(method, params), pdp=pdp)).allowed
    assert (pdp.asked[0].tool, pdp.asked[0].resource) == (tool, resource)
    assert pdp.asked[0].arguments == {}


async def test_what_passes_is_not_asked_about() -> None:
    """COAZ-MCP draft 1, "Pass-through Operations": the PEP must not call the PDP."""
    pdp = Scripted(lambda _: decided(Effect.DENY))
    for method in ("ping", "initialize", "server/discover", "notifications/cancelled", "tools/list", "prompts/list"):
        assert (await ask(Message(method), pdp=pdp)).outcome is Outcome.PASSED
    assert pdp.asked == []


async def test_unknown_methods_are_denied_without_asking() -> None:
    """COAZ-MCP draft 1, "Unknown Methods"."""
    pdp = Scripted(lambda _: ALLOW)
    for method in ("tools/delete", "", "sampling/createMessage", "Tools/call"):
        verdict = await ask(Message(method), pdp=pdp)
        assert (verdict.outcome, verdict.code) == (Outcome.DENIED, -32001)
    assert pdp.asked == []


async def test_several_targets_must_all_be_allowed() -> None:
    """MCP 2026-07-28, `subscriptions/listen`: one that is denied denies them all, and no obligation is lost."""
    listen = Message("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["x:a", "x:b", "x:c"]}})

    def all_but(uri: str) -> Scripted:
        return Scripted(lambda one: decided(Effect.DENY) if one.resource and one.resource.id == uri else ALLOW)

    for uri in ("x:a", "x:b", "x:c"):
        assert not (await ask(listen, pdp=all_but(uri))).allowed
    assert (await ask(listen, pdp=all_but("x:d"))).allowed
    first = Obligation("first")
    obliged = Scripted(
        lambda one: decided(Effect.ALLOW, Reason.ALLOWED, first) if one.resource and one.resource.id == "x:a" else ALLOW
    )
    assert not (await ask(listen, pdp=obliged)).allowed
    verdict = await ask(listen, pdp=obliged, knows=lambda name: name == "first")
    assert verdict.decision is not None
    assert verdict.decision.obligations == (first,)
    assert not (await ask(listen, pdp=Scripted(lambda _: PdpError("no")))).allowed


async def test_listening_for_changes_of_lists_asks_nobody() -> None:
    """MCP 2026-07-28: what names no resource touches none."""
    pdp = Scripted(lambda _: decided(Effect.DENY))
    verdict = await ask(Message("subscriptions/listen", {"notifications": {"toolsListChanged": True}}), pdp=pdp)
    assert verdict.outcome is Outcome.PASSED


# --- what becomes of the answer ---------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        decided(Effect.DENY),
        decided(Effect.CONDITIONAL, Reason.CONDITIONAL),
        decided(Effect.DENY, Reason.ALLOWED),
        decided(Effect.CONDITIONAL, Reason.ALLOWED),
        decided(Effect.ALLOW, Reason.ALLOWED, Obligation("nobody-knows-it")),
        decided(Effect.ALLOW, Reason.ALLOWED, Obligation("known"), Obligation("nobody-knows-it")),
    ],
)
async def test_anything_but_a_clear_allow_is_a_denial(answer: Decision) -> None:
    """Issue 5, item 2: CONDITIONAL, a denial, and an obligation that nobody knows (L64); -32001."""
    verdict = await ask(call(id="d1"), pdp=Scripted(lambda _: answer), knows=lambda name: name == "known")
    assert (verdict.outcome, verdict.code, verdict.allowed) == (Outcome.DENIED, -32001, False)


@pytest.mark.parametrize(
    "answer",
    [
        PdpError("connection refused by planted-secret-host"),
        TimeoutError(),
        RuntimeError("planted-secret-host"),
        ValueError(),
        None,
        "ALLOW",
        1,
        Effect.ALLOW,
        {"effect": "ALLOW"},
    ],
)
async def test_no_answer_is_a_denial_of_its_own_code(answer: object) -> None:
    """COAZ-MCP draft 1, "PDP Communication Errors": -32603; S94: the caller learns nothing of why."""
    verdict = await ask(call(id="d1"), pdp=Scripted(lambda _: answer))
    assert (verdict.outcome, verdict.code, verdict.allowed) == (Outcome.UNAVAILABLE, -32603, False)
    assert verdict.text == "the authorization service is unavailable"
    assert verdict.data == {"request_id": verdict.request_id}
    assert verdict.problem


async def test_a_decision_point_that_does_not_answer_is_waited_for_no_longer_than_the_deadline() -> None:
    """Issue 5, S100: denied with -32603 within its deadline."""

    class Silent(Scripted):
        async def check(self, request: Request, *, request_id: str = "") -> Decision:
            await asyncio.Event().wait()
            raise AssertionError

        async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
            await asyncio.Event().wait()
            raise AssertionError

    silent = guard(Silent(lambda _: ALLOW), deadline=0.01)
    async with asyncio.timeout(30):
        assert (await silent.decide(call(id="d1"), ALICE, {})).code == -32603
        listed = await silent.visible("tools/list", [Item("ping")], ALICE)
    assert isinstance(listed, Verdict)
    assert listed.code == -32603


async def test_a_catalogue_that_does_not_answer_is_a_denial() -> None:
    """An error never widens access, wherever it comes from."""

    class Broken(Tools):
        async def tool(self, name: str) -> Item | None:
            raise OSError(name)

    verdict = await replace(guard(), catalogue=Broken()).decide(call("ping"), ALICE, {})
    assert verdict.code == -32603


async def test_a_settlement_that_fails_is_a_denial() -> None:
    """Issue 5, item 6: an error never widens access."""

    def broken(_decision: Decision, _identity: Identity) -> Decision:
        raise KeyError("x")

    assert (await ask(call("ping"), settle=broken)).code == -32603


async def test_a_shortfall_of_scopes_names_what_would_help() -> None:
    """R10, L67: all scopes of the operation, in the error's data as well."""
    verdict = await ask(call("write_document", id="d1", title="t"), SHORT)
    assert verdict.outcome is Outcome.DENIED
    assert verdict.data["reason"] == "INSUFFICIENT_SCOPE"
    assert verdict.data["required_scopes"] == ["docs:write"]


async def test_a_denial_says_what_the_policy_says_and_no_more() -> None:
    """L66: `because` is for the caller; S94: an id under which more is known."""
    verdict = await ask(call("delete_document", id="held"), EDITH)
    assert verdict.text == "the document is on hold"
    assert verdict.data == {"request_id": verdict.request_id, "reason": "EXPLICIT_DENY"}
    assert len(verdict.request_id) == 32


async def test_two_tenants_never_meet() -> None:
    """S70, S71: the tenant is the token's; a resource of another is denied whatever the arguments say."""
    by_argument = Mapping((Rule(("*_document",), Touches("document", ("id",), ("tenant",))),))
    for who, tenant, allowed in ((ALICE, "acme", True), (ALICE, "globex", False), (GLEN, "acme", False)):
        verdict = await ask(call(id="d1", tenant=tenant), replace(who, roles=("viewer",)), mapping=by_argument)
        assert verdict.allowed is allowed


async def test_every_verdict_is_observed_once_and_has_an_id_of_its_own() -> None:
    """S63: grants, denials and failures alike."""
    seen: list[Verdict] = []
    watched = guard(observe=seen.append)
    given = [await watched.decide(message, ALICE, {}) for message in (call("ping"), call("x"), Message("ping"))]
    assert seen == given
    assert len({one.request_id for one in seen}) == 3


# --- hostile params ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": None},
        {"name": ""},
        {"name": 7},
        {"name": ["read_document"]},
        {"name": {"a": 1}},
        {"name": "a\u0000b"},
        {"name": "e\u0301"},
        {"name": "\ud800"},
        {"name": "a" * 2_000},
        {"name": "read_document", "arguments": []},
        {"name": "read_document", "arguments": "id=d1"},
        {"name": "read_document", "arguments": {"id": ["d1"]}},
        {"name": "read_document", "arguments": {}},
        {"name": "ping", "arguments": {"x": float("nan")}},
        {"name": "ping", "arguments": {"x": float("inf")}},
        {"name": "ping", "arguments": {"x": "\udfff"}},
        {"name": "ping", "arguments": {"x": [0] * 10_001}},
        {"name": "ping", "arguments": {str(number): 0 for number in range(10_001)}},
        {"name": "ping", "arguments": {"x": "a" * (4 * 1024 * 1024 + 1)}},
        {"name": "ping", "arguments": {"x": object()}},
        {"name": "ping", "arguments": {1: "x"}},
    ],
    ids=lambda params: str(params)[:40].encode("unicode_escape").decode(),
)
async def test_a_call_of_which_no_question_can_be_made_is_invalid(params: dict[str, Any]) -> None:
    """COAZ-MCP draft 1, "Mapping Errors", and L60: -32602, and never a value of the caller's in the text."""
    verdict = await ask(Message("tools/call", params))
    assert (verdict.outcome, verdict.code, verdict.allowed) == (Outcome.INVALID, -32602, False)
    assert verdict.text.startswith("the call cannot be authorized: ")
    assert verdict.text.isprintable()
    assert len(verdict.text) < 300


async def test_arguments_nested_too_deeply_are_invalid() -> None:
    """L60: however deep."""
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    verdict = await ask(call("ping", x=deep))
    assert not verdict.allowed
    assert verdict.code in {-32602, -32603}


@given(
    st.dictionaries(
        st.sampled_from(("name", "arguments", "uri", "ref", "taskId", "_meta")),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just("ping"),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ),
    ),
    st.sampled_from(("tools/call", "resources/read", "prompts/get", "completion/complete", "tasks/get", "x")),
)
def test_no_params_raise_and_only_what_the_policy_allows_goes_on(params: dict[str, Any], method: str) -> None:
    """Issue 5: the guard never raises for what a caller sends."""
    verdict = asyncio.run(ask(Message(method, params)))
    assert verdict.allowed == (method == "tools/call" and params.get("name") == "ping" and verdict.decision is not None)


# --- lists ------------------------------------------------------------------------------------

NAMES = ("ping", "list_documents", "read_document", "write_document", "share_document", "delete_document", "nosuch")


async def listed(who: Identity, mode: ListMode, pdp: Pdp | None = None, **more: Any) -> list[str]:
    """Return the names that a caller sees."""
    items = [Item(name) for name in NAMES]
    seen = await guard(pdp, list_mode=mode, **more).visible("tools/list", items, who)
    assert not isinstance(seen, Verdict)
    return [name for name, shown in zip(NAMES, seen, strict=True) if shown]


async def test_callable_shows_what_some_call_may_do() -> None:
    """Issue 5, item 3, L68: hidden is what every call would be denied; the order is kept (R14)."""
    assert await listed(ALICE, "callable") == ["ping", "list_documents", "read_document"]
    assert await listed(SHORT, "callable") == ["ping", "list_documents", "read_document"]
    assert await listed(EDITH, "callable") == list(NAMES[:-1])
    assert await listed(ANONYMOUS, "callable") == ["ping"]


async def test_grantable_also_shows_what_more_scopes_would_open() -> None:
    """Issue 5, item 3: else a client never learns that it could step up; what would not help stays hidden."""
    assert await listed(SHORT, "grantable") == list(NAMES[:-1])
    assert await listed(ALICE, "grantable") == ["ping", "list_documents", "read_document"]


async def test_a_list_is_one_batch_of_open_questions() -> None:
    """Issue 5, item 3: one batch; arguments, context and a mapped resource are unknown (L68)."""
    pdp = Scripted(lambda _: ALLOW)
    assert await listed(ALICE, "callable", pdp) == list(NAMES)
    assert pdp.batches == [len(NAMES)]
    by_name = {request.tool: request for request in pdp.asked}
    assert by_name["ping"].unknown == {Part.ARGUMENTS, Part.CONTEXT}
    assert by_name["ping"].resource is None
    assert by_name["read_document"].unknown == frozenset(Part)
    assert by_name["read_document"].resource == Resource("document")


async def test_what_has_no_decision_is_hidden() -> None:
    """Issue 5, item 2: an error for one item hides it and nothing else."""

    def some(request: Request) -> Any:
        return PdpError("x") if request.tool == "read_document" else ALLOW

    assert await listed(ALICE, "grantable", Scripted(some)) == [name for name in NAMES if name != "read_document"]


async def test_a_list_that_nobody_can_decide_about_is_an_error() -> None:
    """Issue 5: -32603, not a list that is empty or whole."""

    class Short(Scripted):
        async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
            return (await super().check_all(requests))[:-1]

    seen: list[Verdict] = []
    for pdp in (Scripted(lambda _: RuntimeError("x")), Short(lambda _: ALLOW)):
        found = await guard(pdp, observe=seen.append).visible("tools/list", [Item("ping"), Item("x")], ALICE)
        assert isinstance(found, Verdict)
        assert (found.outcome, found.code) == (Outcome.UNAVAILABLE, -32603)
    assert len(seen) == 2


async def test_long_lists_take_several_batches_and_keep_their_order() -> None:
    """Issue 5: bounded questions; 10 000 items."""
    pdp = Scripted(lambda request: ALLOW if request.tool.endswith("7") else decided(Effect.DENY))
    items = [Item(f"tool-{number}") for number in range(10_000)]
    seen = await guard(pdp).visible("tools/list", items, ALICE)
    assert seen == [item.name.endswith("7") for item in items]
    assert pdp.batches == [MOST_QUESTIONS] * (10_000 // MOST_QUESTIONS)


async def test_an_item_that_cannot_be_asked_about_is_hidden() -> None:
    """L60: a server's own odd names do not take its whole list away."""
    seen = await guard().visible("tools/list", [Item(""), Item("a\u0000"), Item("ping"), Item("x" * 5_000)], ALICE)
    assert seen == [False, False, True, False]


async def test_resources_templates_and_prompts_are_lists_of_their_own() -> None:
    """Issue 5, item 3: by what reading or getting them would be asked as."""
    pdp = Scripted(lambda _: ALLOW)
    for method in ("resources/list", "resources/templates/list", "prompts/list"):
        assert await guard(pdp).visible(method, [Item("x:a")], ALICE) == [True]
    assert [(one.tool, one.resource) for one in pdp.asked] == [
        ("resources/read", Resource("resource", "x:a", "acme")),
        ("resources/read", Resource("resource")),
        ("prompts/get", Resource("prompt", "x:a", "acme")),
    ]
    assert [Part.RESOURCE in one.unknown for one in pdp.asked] == [False, True, False]


async def test_an_empty_list_asks_nobody() -> None:
    """Issue 5."""
    assert await guard(Scripted(lambda _: RuntimeError("x"))).visible("tools/list", [], ALICE) == []


# --- a tool is listed exactly when some call of it could be allowed ------------------------------

WORLD: dict[str, tuple[Any, ...]] = {"x": (1, 2, None), "y": (True, False, None), "z": ("a", "b", None)}
"""The arguments that a call may have, None standing for one that is left out."""
OPEN = ("args.x == 1", "args.y", 'args.z like "a*"', 'resource.id == "d1"', "context.mfa")
"""One condition on each thing that is open before a call. No rule reads one of them twice, so that they
are independent, and the answer to an open question is exact."""
KNOWN = ('subject.dept == "legal"', 'subject.dept == "sales"')
HELD = '"s1" in scopes'
"""Only in what allows: more scopes never help past a `require when` or a deny (L61)."""
CALLERS = [
    Identity("u", scopes, roles, "acme", "", {"dept": "legal"})
    for scopes in ((), ("s1",), ("s2",), ("s1", "s2"))
    for roles in ((), ("r1",))
]


@st.composite
def policies(draw: st.DrawFn) -> str:
    """Write a policy of a few blocks for the tools `a` (on a document) and `b` (on nothing)."""
    left = list(draw(st.permutations(OPEN)))
    blocks = []
    for _ in range(draw(st.integers(1, 3))):
        tool, on = draw(
            st.sampled_from((('"a"', ""), ('"a"', ' on "doc"'), ('"b"', ""), ('"*"', ""), ('"a"', ' on "row"')))
        )
        rules = []
        for _ in range(draw(st.integers(1, 3))):
            reads_resource = tool == '"a"'
            mine = [one for one in left if reads_resource or not one.startswith("resource")]
            when = ""
            if draw(st.booleans()) and mine:
                left = [one for one in left if one != mine[0]]
                joined = draw(st.sampled_from(("{}", "not ({})", "{} and {k}", "{} or {k}", "not ({} and {k})")))
                when = joined.format(mine[0], k=draw(st.sampled_from(KNOWN)))
            kind = draw(st.sampled_from(("allow", "allow", "allow", "deny", "require")))
            if not when and draw(st.booleans()):
                when = draw(st.sampled_from((*KNOWN, HELD) if kind == "allow" else KNOWN))
            who = draw(st.sampled_from((' role "r1"', ' scope "s1"', ' scope "s2"', "")))
            if kind == "require":
                rules.append(f"require when {when}" if when else 'require scope "s2"')
            elif kind == "deny":
                rules.append(f"deny when {when}" if when else 'deny role "r1"')
            else:
                who = who if who or when else ' role "r1"'
                rules.append(f"allow{who}{f' when {when}' if when else ''}")
        body = "\n".join(f"  {rule}" for rule in rules)
        blocks.append(f"tool {tool} (x?: number, y?: bool, z?: string){on} {{\n{body}\n}}")
    head = 'scope "s1"\nscope "s2"\nrole "r1"\ncontext { mfa?: bool }\nsubject { dept: string }\n'
    return f'{head}resource "doc" {{ }}\nresource "row" {{ }}\n' + "\n".join(blocks)


def calls(tool: str) -> list[tuple[Message, dict[str, Any]]]:
    """Return every call of a tool that this world knows, with its context."""
    found = []
    for x, y, z, id_, mfa in product(*WORLD.values(), ("d1", "d2") if tool == "a" else (None,), (True, False, None)):
        given = {"x": x, "y": y, "z": z, "id": id_}
        arguments = {name: value for name, value in given.items() if value is not None}
        found.append((call(tool, **arguments), {} if mfa is None else {"mfa": mfa}))
    return found


CALLS = {"a": calls("a"), "b": calls("b")}
ON_DOC = Mapping((Rule(("a",), Touches("doc", ("id",))),))


@settings(max_examples=30, deadline=None)
@given(policies(), st.sampled_from(CALLERS))
def test_a_tool_is_listed_exactly_when_some_call_of_it_could_be_allowed(policy: str, who: Identity) -> None:
    """Issue 5: the property, in `callable` mode; in `grantable`, exactly when one could with more scopes (L67, L68)."""
    compare_lists_with_calls(policy, who)


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(policies(), st.sampled_from(CALLERS))
def test_a_tool_is_listed_exactly_when_some_call_of_it_could_be_allowed_at_length(policy: str, who: Identity) -> None:
    """Issue 5: the property, for many more policies."""
    compare_lists_with_calls(policy, who)


def compare_lists_with_calls(policy: str, who: Identity) -> None:
    """Ask for the lists, make every call there is, and compare."""
    pdp = local_pdp(policy)
    everything = replace(who, scopes=("s1", "s2"))

    async def some(tool: str, identity: Identity) -> bool:
        deciding = guard(pdp, mapping=ON_DOC)
        for message, context in CALLS[tool]:
            if (await deciding.decide(message, identity, context)).allowed:
                return True
        return False

    async def shown(mode: ListMode) -> Sequence[bool] | Verdict:
        return await guard(pdp, mapping=ON_DOC, list_mode=mode).visible("tools/list", [Item("a"), Item("b")], who)

    async def compare() -> None:
        callable_ = [await some(tool, who) for tool in ("a", "b")]
        assert await shown("callable") == callable_
        grantable = [able or await some(tool, everything) for able, tool in zip(callable_, ("a", "b"), strict=True)]
        assert await shown("grantable") == grantable

    asyncio.run(compare())
