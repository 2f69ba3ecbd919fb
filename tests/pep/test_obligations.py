"""What must be done when a call goes ahead, and what becomes of it where that fails (issue 5, item 6; L64)."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.model import Decision, Effect, Obligation, Reason
from authz.pep.handlers import Approval, Notice, Notifier, StepUp, log_notice, stepped_up
from authz.pep.identity import Identity
from authz.pep.messages import Message
from authz.pep.obligations import Call, ObligationError, Obligations
from authz.pep.redaction import REDACTED, Redact
from authz.pep.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.model import Attributes
    from authz.pep.obligations import Elicit

ALICE = Identity("alice", ("docs:read",), (), "acme", "desktop", {"claims": {"acr": "silver"}})


def allow(*obligations: Obligation) -> Decision:
    """Return an ALLOW with these."""
    return Decision(Effect.ALLOW, Reason.ALLOWED, "", ("documents:read",), "r1", obligations)


def call(*obligations: Obligation, elicit: Elicit | None = None, method: str = "tools/call") -> Call:
    """Return a call of alice's that was allowed with these."""
    message = Message(method, {"name": "read_document", "arguments": {"password": "planted-secret"}})
    return Call(Verdict(message, ALICE, Outcome.ALLOWED, "", "req-1", allow(*obligations)), elicit)


class Tracing:
    """A handler that notes what happens, and fails where it is told to."""

    def __init__(self, name: str, trace: list[str], fails: str = "", error: Exception | None = None) -> None:
        """Fail `before` or `after`."""
        self._name = name
        self._trace = trace
        self._fails = fails
        self._error = error or ValueError("planted-secret")

    async def before(self, call: Call, parameters: Attributes) -> None:
        """Note it."""
        self._note("before", parameters)

    async def after(self, call: Call, parameters: Attributes, result: dict[str, Any]) -> dict[str, Any]:
        """Note it, and leave a mark in the result."""
        self._note("after", parameters)
        return {**result, self._name: True}

    def _note(self, when: str, parameters: Attributes) -> None:
        self._trace.append(f"{when} {self._name} {parameters.get('n', '')}".strip())
        if self._fails == when:
            raise self._error


async def run(obligations: Obligations, call: Call, trace: list[str] | None = None) -> dict[str, Any]:
    """Make the call."""

    async def proceed() -> dict[str, Any]:
        if trace is not None:
            trace.append("call")
        return {"content": []}

    return await obligations.run(call, proceed)


async def test_handlers_run_in_order_before_and_in_reverse_after() -> None:
    """L64: obligations have an order, and the result passes through all of them."""
    trace: list[str] = []
    obligations = Obligations({"a": Tracing("a", trace)})
    obligations.register("b", Tracing("b", trace))
    due = (Obligation("a", {"n": 1}), Obligation("b"), Obligation("a", {"n": 2}))
    result = await run(obligations, call(*due), trace)
    assert trace == ["before a 1", "before b", "before a 2", "call", "after a 2", "after b", "after a 1"]
    assert result == {"content": [], "a": True, "b": True}


async def test_without_obligations_the_call_goes_straight_on() -> None:
    """L64."""
    assert await run(Obligations(), call()) == {"content": []}


async def test_what_has_no_handler_denies_the_call() -> None:
    """L64: a caller that does not know an obligation must treat the answer as DENY."""
    trace: list[str] = []
    obligations = Obligations({"a": Tracing("a", trace)})
    assert obligations.knows("a")
    assert not obligations.knows("watermark")
    with pytest.raises(ObligationError):
        await run(obligations, call(Obligation("a"), Obligation("watermark")), trace)
    assert trace == []


async def test_a_handler_that_fails_before_the_call_prevents_it() -> None:
    """Issue 5, item 6: any failure denies, and its text stays inside."""
    trace: list[str] = []
    with pytest.raises(ObligationError) as caught:
        await run(Obligations({"a": Tracing("a", trace, "before")}), call(Obligation("a")), trace)
    assert trace == ["before a"]
    assert "planted" not in str(caught.value)


async def test_a_handler_that_fails_after_the_call_withholds_the_result() -> None:
    """Issue 5, item 6."""
    trace: list[str] = []
    with pytest.raises(ObligationError):
        await run(Obligations({"a": Tracing("a", trace, "after")}), call(Obligation("a")), trace)
    assert trace == ["before a", "call", "after a"]


async def test_what_a_handler_says_itself_reaches_the_caller_and_failures_only_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Issue 5, item 6: safe texts for callers; S64: no secrets in the log either."""
    caplog.set_level(logging.DEBUG, "authz.pep")
    told = Obligations({"a": Tracing("a", [], "before", ObligationError("ask your records office"))})
    with pytest.raises(ObligationError, match="records office"):
        await run(told, call(Obligation("a")))
    with pytest.raises(ObligationError):
        await run(Obligations({"a": Tracing("a", [], "before")}), call(Obligation("a")))
    assert "req-1" in caplog.text
    assert "planted" not in caplog.text


async def test_what_the_call_itself_raises_goes_through() -> None:
    """Issue 5, item 6: a tool's own error is no failure of an obligation."""

    async def proceed() -> dict[str, Any]:
        raise LookupError("no such document")

    with pytest.raises(LookupError):
        await Obligations({"a": Tracing("a", [])}).run(call(Obligation("a")), proceed)


# --- notify -----------------------------------------------------------------------------------


async def test_a_notice_is_taken_before_the_call_goes_ahead() -> None:
    """Issue 5, item 6: notify; without arguments of the call."""
    taken: list[Notice] = []
    trace: list[str] = []

    async def notify(notice: Notice) -> None:
        await asyncio.sleep(0)
        trace.append("notified")
        taken.append(notice)

    await run(Obligations({"notify": Notifier(notify)}), call(Obligation("notify", {"to": "records"})), trace)
    assert trace == ["notified", "call"]
    assert taken == [
        Notice("req-1", "read_document", "alice", "acme", "desktop", ("documents:read",), {"to": "records"})
    ]


async def test_a_notice_that_is_not_taken_denies() -> None:
    """Issue 5, item 6: raised or not in time."""

    def broken(_notice: Notice) -> None:
        raise OSError("connection refused by planted-secret-host")

    async def silent(_notice: Notice) -> None:
        await asyncio.Event().wait()

    for notifier in (Notifier(broken), Notifier(silent, timeout=0.001)):
        with pytest.raises(ObligationError) as caught:
            await run(Obligations({"notify": notifier}), call(Obligation("notify")))
        assert "planted" not in str(caught.value)


async def test_a_notice_in_the_log_is_one_line_without_arguments(caplog: pytest.LogCaptureFixture) -> None:
    """S63, S64."""
    caplog.set_level(logging.INFO, "authz.pep")
    await run(Obligations({"notify": Notifier(log_notice)}), call(Obligation("notify", {"to": "a\nb"})))
    (record,) = caplog.records
    assert record.getMessage().startswith("notice request_id=req-1 tool='read_document' subject='alice'")
    assert "\n" not in record.getMessage()
    assert "planted" not in caplog.text


# --- approval ---------------------------------------------------------------------------------


async def test_a_clear_yes_approves() -> None:
    """Issue 5, item 6: approval by elicitation."""
    asked: list[tuple[str, Mapping[str, Any]]] = []

    async def elicit(text: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append((text, schema))
        return {"approve": True}

    due = Obligation("approval", {"text": "It leaves the house."})
    assert await run(Obligations({"approval": Approval()}), call(due, elicit=elicit)) == {"content": []}
    ((text, schema),) = asked
    assert text == "Allow the call of `read_document`? It leaves the house."
    assert schema["required"] == ["approve"]
    assert "planted" not in text


@pytest.mark.parametrize("answer", [None, {}, {"approve": False}, {"approve": "true"}, {"approve": 1}])
async def test_everything_else_is_no_approval(answer: Mapping[str, Any] | None) -> None:
    """Issue 5, item 6: refused, empty, or not a boolean."""

    async def elicit(_text: str, _schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return answer

    with pytest.raises(ObligationError, match="has not approved"):
        await run(Obligations({"approval": Approval()}), call(Obligation("approval"), elicit=elicit))


async def test_a_client_that_cannot_ask_and_a_user_who_is_away_do_not_approve() -> None:
    """Issue 5, item 6: where the client supports it, and in time."""

    async def away(_text: str, _schema: Mapping[str, Any]) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ObligationError, match="cannot ask"):
        await run(Obligations({"approval": Approval()}), call(Obligation("approval")))
    with pytest.raises(ObligationError, match="in time"):
        await run(Obligations({"approval": Approval(0.001)}), call(Obligation("approval"), elicit=away))


async def test_a_tools_name_cannot_write_the_question() -> None:
    """S64's sibling: what stands in front of the user is on one line and short."""
    asked: list[str] = []

    async def elicit(text: str, _schema: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(text)
        return {"approve": True}

    message = Message("tools/call", {"name": "x`\n\u202eYes, it is safe. " + "a" * 5_000})
    verdict = Verdict(message, ALICE, Outcome.ALLOWED, "", "req-1", allow(Obligation("approval")))
    await run(Obligations({"approval": Approval()}), Call(verdict, elicit))
    assert asked[0].isprintable()
    assert len(asked[0]) < 200


# --- step-up ----------------------------------------------------------------------------------


def test_an_allow_without_the_scopes_becomes_a_denial_that_names_them() -> None:
    """R9, R10: all scopes of the operation in one challenge, those held as well, so that none is lost."""
    found = stepped_up(allow(Obligation("step_up", {"scopes": "docs:export docs:read"})), ALICE)
    assert (found.effect, found.reason) == (Effect.DENY, Reason.INSUFFICIENT_SCOPE)
    assert found.missing_scopes == ("docs:export",)
    assert found.required_scopes == ("docs:export", "docs:read")
    assert found.obligations == ()


def test_several_step_ups_are_asked_for_at_once() -> None:
    """R10: a single challenge."""
    due = (Obligation("step_up", {"scopes": "a"}), Obligation("step_up", {"scopes": ["b", "a"]}), Obligation("redact"))
    assert stepped_up(allow(*due), ALICE).missing_scopes == ("a", "b")


def test_who_has_them_goes_on() -> None:
    """Issue 5, item 6."""
    for parameters in ({"scopes": "docs:read"}, {"acr": "silver"}, {"scopes": ["docs:read"], "acr": "silver"}):
        decision = allow(Obligation("step_up", parameters))
        assert stepped_up(decision, ALICE) is decision


def test_a_weaker_sign_in_is_denied_without_naming_scopes() -> None:
    """L67's rule: an answer must not teach what would not help."""
    found = stepped_up(allow(Obligation("step_up", {"acr": "gold", "scopes": "docs:export"})), ALICE)
    assert (found.effect, found.reason) == (Effect.DENY, Reason.REQUIREMENT_NOT_MET)
    assert found.missing_scopes == ()


@pytest.mark.parametrize(
    "parameters", [{}, {"scopes": ""}, {"scopes": 1}, {"scopes": [1]}, {"acr": 1}, {"acr": "silver", "max_age": "5m"}]
)
async def test_a_step_up_that_says_nothing_known_is_met_by_nobody(parameters: Attributes) -> None:
    """L64: what is not understood is denied."""
    found = stepped_up(allow(Obligation("step_up", parameters)), ALICE)
    assert found.effect is Effect.DENY
    assert found.missing_scopes == ()
    with pytest.raises(ObligationError):
        await run(Obligations({"step_up": StepUp()}), call(Obligation("step_up", parameters)))


async def test_the_handler_stands_behind_it() -> None:
    """Issue 5, item 6: an ALLOW that was not settled is denied all the same."""
    with pytest.raises(ObligationError):
        await run(Obligations({"step_up": StepUp()}), call(Obligation("step_up", {"scopes": "docs:export"})))
    assert await run(Obligations({"step_up": StepUp()}), call(Obligation("step_up", {"scopes": "docs:read"})))


# --- redact -----------------------------------------------------------------------------------


async def redacted(result: dict[str, Any], parameters: Attributes, method: str = "tools/call") -> dict[str, Any]:
    """Return a result as an obligation to redact leaves it."""

    async def proceed() -> dict[str, Any]:
        return result

    return await Obligations({"redact": Redact()}).run(call(Obligation("redact", parameters), method=method), proceed)


def text_result(*texts: str) -> dict[str, Any]:
    """Return the result of a tool that answers with texts."""
    return {"content": [{"type": "text", "text": text} for text in texts], "isError": False}


PERSON = {"name": "Ann", "ssn": "1-2-3", "address": {"street": "Elm", "town": "Ulm"}, "pets": [{"chip": 7}, {"x": 1}]}


async def test_fields_leave_the_structured_content_and_its_text() -> None:
    """Issue 5, item 6; R16: redact fields of a result."""
    whole = {"structuredContent": PERSON, **text_result(json.dumps(PERSON), "1-2-3")}
    found = await redacted(whole, {"fields": "ssn, address.street, pets.chip"})
    kept = {"name": "Ann", "address": {"town": "Ulm"}, "pets": [{}, {"x": 1}]}
    assert found["structuredContent"] == kept
    assert [json.loads(block["text"]) for block in found["content"]] == [kept]
    assert "1-2-3" not in json.dumps(found)
    assert PERSON["ssn"] == "1-2-3"  # the server's own value stays as it is


async def test_fields_may_be_replaced() -> None:
    """Issue 5, item 6: `with`."""
    found = await redacted(text_result(json.dumps(PERSON)), {"fields": ["address.*", "pets"], "with": "…"})
    assert json.loads(found["content"][0]["text"]) == {
        "name": "Ann",
        "ssn": "1-2-3",
        "address": {"street": "…", "town": "…"},
        "pets": "…",
    }


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ("s*", {"a": {"sn": 1, "b": {"ssn": 2}}}),
        ("a.*n", {"ssn": 0, "a": {"b": {"ssn": 2}}}),
        ("**.ssn", {"a": {"sn": 1, "b": {}}}),
        ("a.**.ssn", {"ssn": 0, "a": {"sn": 1, "b": {}}}),
        ("**.b.ssn", {"ssn": 0, "a": {"sn": 1, "b": {}}}),
        ("*", {}),
        ("b.ssn", {"ssn": 0, "a": {"sn": 1, "b": {"ssn": 2}}}),
    ],
)
async def test_patterns_of_names(fields: str, kept: object) -> None:
    """Issue 5, item 6: `*` in a name, `**` for any number of names."""
    found = await redacted(text_result('{"ssn": 0, "a": {"sn": 1, "b": {"ssn": 2}}}'), {"fields": fields})
    assert json.loads(found["content"][0]["text"]) == kept


@pytest.mark.parametrize(
    "text",
    ["Ann has 1-2-3", '{"ssn": "1-2-3"', '{"ssn": 1, "ssn": "1-2-3"}', '"1-2-3"', "123", "[" * 100 + "]" * 100, ""],
)
async def test_text_that_cannot_be_looked_into_is_replaced_as_a_whole(text: str) -> None:
    """Issue 5, item 6: never passed."""
    found = await redacted(text_result(text), {"fields": "ssn"})
    assert found["content"] == [{"type": "text", "text": REDACTED}]


async def test_other_content_is_replaced_as_a_whole() -> None:
    """Issue 5, item 6: an image of a passport has no fields."""
    blocks: list[Any] = [
        {"type": "image", "data": "1-2-3", "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "x:1-2-3", "text": "1-2-3"}},
        {"type": "resource_link", "uri": "x:1-2-3", "name": "n"},
        {"type": "new", "text": '{"ssn": "1-2-3"}'},
        {"type": "text", "text": '{"ssn": "1-2-3"}', "annotations": {"note": "1-2-3"}},
        "1-2-3",
    ]
    found = await redacted({"content": blocks, "_meta": {"ssn": "1-2-3", "other": 1}}, {"fields": "ssn"})
    assert "1-2-3" not in json.dumps(found)
    assert len(found["content"]) == len(blocks)
    assert found["_meta"] == {"other": 1}


async def test_lists_that_servers_wrap_lose_their_fields_in_both_forms() -> None:
    """Issue 5, item 6: `result` around a list is the SDK's, and missing in its text."""
    rows = [{"ssn": "1-2-3", "n": 1}]
    for fields in ("ssn", "result.ssn"):
        wrapped = await redacted({"structuredContent": {"result": rows}, **text_result("x")}, {"fields": fields})
        assert wrapped["structuredContent"] == {"result": [{"n": 1}]}
        bare = await redacted(text_result(json.dumps(rows)), {"fields": fields})
        assert json.loads(bare["content"][0]["text"]) == [{"n": 1}]


async def test_structured_content_without_names_is_replaced() -> None:
    """Issue 5, item 6: never passed."""
    found = await redacted({"structuredContent": "1-2-3", **text_result("1-2-3")}, {"fields": "ssn"})
    assert "1-2-3" not in json.dumps(found)


async def test_resources_and_prompts_are_redacted_too() -> None:
    """Issue 5, item 6: whatever method an ALLOW with the obligation is about."""
    secret = '{"ssn": "1-2-3", "n": 1}'
    contents = [{"uri": "x:a", "mimeType": "application/json", "text": secret}, {"uri": "x:b", "blob": "1-2-3"}]
    found = await redacted({"contents": contents}, {"fields": "ssn"}, "resources/read")
    assert found["contents"] == [
        {"uri": "x:a", "mimeType": "application/json", "text": '{"n": 1}'},
        {"uri": "x:b", "text": REDACTED},
    ]
    messages = [{"role": "user", "content": {"type": "text", "text": secret}}]
    found = await redacted({"messages": messages, "description": "d"}, {"fields": "ssn"}, "prompts/get")
    assert found == {
        "messages": [{"role": "user", "content": {"type": "text", "text": '{"n": 1}'}}],
        "description": "d",
    }


async def test_results_of_which_nothing_is_known_are_not_promised() -> None:
    """L64: what cannot be done is denied before the call."""
    with pytest.raises(ObligationError, match="cannot be redacted"):
        await redacted({"completion": {"values": ["1-2-3"]}}, {"fields": "ssn"}, "completion/complete")


@pytest.mark.parametrize(
    "parameters",
    [
        *({}, {"fields": ""}, {"fields": []}, {"fields": "a..b"}, {"fields": "a, "}, {"fields": [1]}, {"fields": 1}),
        *({"fields": "**"}, {"fields": "a", "with": 1}, {"fields": ["a"] * 101}),
    ],
)
async def test_parameters_that_name_no_fields_deny_the_call(parameters: Attributes) -> None:
    """L64: before anything is done."""
    reached: list[bool] = []

    async def proceed() -> dict[str, Any]:
        reached.append(True)
        return {}

    with pytest.raises(ObligationError):
        await Obligations({"redact": Redact()}).run(call(Obligation("redact", parameters)), proceed)
    assert not reached


async def test_a_result_too_deep_to_look_through_is_withheld() -> None:
    """Issue 5, item 6: a result that cannot be looked through never passes."""
    deep: Any = "1-2-3"
    for _ in range(50_000):
        deep = {"a": deep}
    with pytest.raises(ObligationError):
        await redacted({"structuredContent": deep, "content": []}, {"fields": "ssn"})


JSON = st.recursive(
    st.none() | st.integers(0, 9) | st.text("ab{}[]", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("secret", "a", "result")), inner, max_size=3)
    ),
    max_leaves=15,
)


@given(JSON, st.booleans(), st.sampled_from((None, "…")))
def test_no_field_that_is_named_survives_anywhere(value: object, structured: bool, instead: str | None) -> None:  # noqa: FBT001  # drawn
    """Issue 5, item 6: whatever the result is, wherever the field stands."""
    result = text_result(json.dumps(value), "not JSON")
    if structured:
        result["structuredContent"] = value
    parameters: Attributes = {"fields": "**.secret"} if instead is None else {"fields": "**.secret", "with": instead}
    found = asyncio.run(redacted(result, parameters))
    seen = [found.get("structuredContent"), *(block["text"] for block in found["content"])]
    for one in seen:
        whole = json.loads(one) if isinstance(one, str) and one != REDACTED else one
        assert not [held for held in secrets_in(whole) if held != instead or instead is None]


def secrets_in(value: object) -> list[object]:
    """Return what stands under the name anywhere in a value."""
    if isinstance(value, list):
        return [found for item in value for found in secrets_in(item)]
    if not isinstance(value, dict):
        return []
    return [found for name, item in value.items() for found in ([item] if name == "secret" else secrets_in(item))]
