"""Decision points that are down, slow, or lying: every guarded call is denied with -32603, within its deadline.

Nothing here is mocked: each fault is a server, or a socket, that misbehaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from authz.model import Decision, Effect, Obligation, Part, Reason, Request, Resource
from authz.pep.catalogue import Item
from authz.pep.guard import Guard
from authz.pep.mapping import Mapping
from authz.pep.messages import Message
from authz.pep.pdp import PdpError
from authz.pep.pdps.remote import RemotePdp
from authz.pep.pdps.remote_sync import SyncRemotePdp
from authz.pep.verdict import INTERNAL_ERROR, Outcome, Verdict
from authz.v1 import decision_pb2 as v1
from tests.pep.scripted import OTHER, REVISION, allow, answers_batches, describes, fails, says, scripted
from tests.pep.world import ALICE, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from authz.pep.pdp import Pdp
    from tests.pep.scripted import Context

CALL = Message("tools/call", {"name": "read_document", "arguments": {"id": "d1"}})
PATIENCE_S = 20
"""Far beyond every deadline here: whoever runs into it hangs."""


class OneTool:
    """A catalogue of one tool."""

    async def tools(self) -> Sequence[Item]:
        """Return it."""
        return [Item("read_document")]

    async def tool(self, name: str) -> Item | None:
        """Return it by its name."""
        return Item(name) if name == "read_document" else None


def guard(pdp: Pdp) -> Guard:
    """Return a guard that asks a decision point, and knows one obligation."""
    return Guard(pdp, OneTool(), Mapping(), "https://mcp.example/mcp", lambda name: name == "notify")


async def verdicts(pdp: Pdp) -> tuple[Verdict, Sequence[bool] | Verdict]:
    """Return what becomes of a call, and of a list."""
    async with asyncio.timeout(PATIENCE_S):
        guarded = guard(pdp)
        return await guarded.decide(CALL, ALICE, {}), await guarded.visible(
            "tools/list", [Item("read_document")], ALICE
        )


async def is_unavailable(pdp: Pdp) -> None:
    """See that neither a call nor a list gets through, and that the caller is told no more than that."""
    try:
        call, listed = await verdicts(pdp)
    finally:
        await pdp.close()
    for verdict in (call, listed):
        assert isinstance(verdict, Verdict)
        assert not verdict.allowed
        assert verdict.outcome is Outcome.UNAVAILABLE
        assert verdict.code == INTERNAL_ERROR == -32603
        assert verdict.text == "the authorization service is unavailable"
        assert verdict.problem


# --- Down, slow, hanging --------------------------------------------------------------------


@contextlib.contextmanager
def silent() -> Any:  # noqa: ANN401  # an iterator of addresses
    """Listen on a port and say nothing, whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def test_a_server_that_is_not_there_denies() -> None:
    """Issue 5: a PDP that is down."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    await is_unavailable(RemotePdp(f"127.0.0.1:{port}"))


async def test_a_socket_that_is_not_there_denies(tmp_path: Any) -> None:  # noqa: ANN401  # a path
    """Issue 5: a PDP that is down, at the end of a Unix socket."""
    await is_unavailable(RemotePdp(f"unix:{tmp_path}/none.sock"))


async def test_a_server_that_accepts_and_says_nothing_denies() -> None:
    """Issue 5: half open: connected, and never an answer."""
    with silent() as address:
        await is_unavailable(RemotePdp(address))


async def _never(_data: bytes, _context: Context) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("slow", ["Check", "DescribeTools"])
async def test_an_answer_that_does_not_come_in_time_denies(slow: str) -> None:
    """Issue 5: a PDP that is slow, with its decision or with what it needs for one."""
    methods: dict[str, Any] = {"Check": says(allow()), "BatchCheck": answers_batches(), slow: _never}
    async with scripted(**methods) as server:
        await is_unavailable(RemotePdp(server.address, deadline=0.1))
        assert server.messages(slow)


async def test_an_answer_after_the_deadline_allows_nothing() -> None:
    """Issue 5: an ALLOW that comes late is none, not even for the next question."""
    late = asyncio.Event()

    async def slow(_data: bytes, _context: Context) -> bytes:
        await late.wait()
        return allow().SerializeToString()

    async with scripted(Check=slow) as server:
        pdp = RemotePdp(server.address, deadline=0.1)
        try:
            with pytest.raises(PdpError, match="deadline"):
                await pdp.check(ask())
            late.set()
            assert (await pdp.check(ask())).allowed
            assert len(server.messages("Check")) == 2
        finally:
            await pdp.close()


async def test_a_call_without_a_deadline_of_its_own_ends_at_the_guards() -> None:
    """Issue 5: within its deadline, however patient the decision point is."""
    async with scripted(Check=_never, BatchCheck=_never) as server:
        await is_unavailable(RemotePdp(server.address, deadline=3_600))


async def test_a_server_that_ends_in_the_middle_of_a_call_denies() -> None:
    """Issue 5: a PDP that dies while it is asked."""
    began = asyncio.Event()

    async def dying(_data: bytes, _context: Context) -> bytes:
        began.set()
        return await _never(b"", _context)

    async with contextlib.AsyncExitStack() as ends:
        server = await ends.enter_async_context(scripted(Check=dying))
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        asked = asyncio.create_task(pdp.check(ask()))
        await began.wait()
        await ends.aclose()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(PdpError):
                await asked
        await is_unavailable(pdp)


async def test_a_process_that_is_killed_denies_and_one_that_comes_back_is_asked_again() -> None:
    """Issue 5: a PDP that is down is asked again, without anybody's help, once it is back."""
    async with scripted(Check=says(allow())) as server:
        pdp = RemotePdp(server.address, deadline=2.0)
        assert (await pdp.check(ask())).allowed
        listen = server.address
    with pytest.raises(PdpError):
        await pdp.check(ask())
    async with scripted(listen, Check=says(allow())), asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(PdpError):
                if (await pdp.check(ask())).allowed:
                    break
    await pdp.close()


async def test_a_closed_decision_point_denies() -> None:
    """Issue 5: anything but a clear ALLOW is a denial: what is under way when all ends, and what comes after."""
    began = asyncio.Event()

    async def waiting(data: bytes, context: Context) -> bytes:
        began.set()
        return await _never(data, context)

    async with scripted(Check=waiting) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        asked = asyncio.create_task(pdp.check(ask()))
        await began.wait()
        await pdp.close()
        with pytest.raises(PdpError):
            await asked
        await is_unavailable(pdp)


async def test_checks_that_wait_in_one_batch_end_with_the_decision_point() -> None:
    """Issue 5: what is under way when all ends is denied, each check of a batch for itself."""
    began = asyncio.Event()

    async def waiting(data: bytes, context: Context) -> bytes:
        began.set()
        return await _never(data, context)

    async with scripted(BatchCheck=waiting) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        asked = [asyncio.create_task(pdp.check(ask(tool))) for tool in "abc"]
        await began.wait()
        await pdp.close()
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results] == [PdpError] * 3


# --- Lying ----------------------------------------------------------------------------------

_DENY = v1.DECISION_DENY
LIES: dict[str, v1.CheckResponse | bytes] = {
    "nothing": b"",
    "no message": b"\xff\xff\xff",
    "half a message": allow().SerializeToString()[:-5],
    "no decision": v1.CheckResponse(reason=v1.REASON_ALLOWED, policy_revision=REVISION),
    "no reason": v1.CheckResponse(decision=v1.DECISION_ALLOW, policy_revision=REVISION),
    "no revision": v1.CheckResponse(decision=v1.DECISION_ALLOW, reason=v1.REASON_ALLOWED),
    "a revision that is none": allow("newest"),
    "an unknown decision": v1.CheckResponse(decision=7, reason=1, policy_revision=REVISION),  # type: ignore[arg-type]
    "an unknown reason": v1.CheckResponse(decision=1, reason=77, policy_revision=REVISION),  # type: ignore[arg-type]
    "a negative decision": v1.CheckResponse(decision=-1, reason=1, policy_revision=REVISION),  # type: ignore[arg-type]
    "allowed because of a deny": v1.CheckResponse(decision=1, reason=6, policy_revision=REVISION),  # type: ignore[arg-type]
    "denied because allowed": v1.CheckResponse(decision=_DENY, reason=v1.REASON_ALLOWED, policy_revision=REVISION),
    "allowed with scopes missing": allow(missing_scopes=["a"]),
    "short of scopes that are not named": v1.CheckResponse(
        decision=_DENY, reason=v1.REASON_INSUFFICIENT_SCOPE, policy_revision=REVISION
    ),
    "denied with obligations": v1.CheckResponse(
        decision=_DENY, reason=v1.REASON_NO_ALLOW, policy_revision=REVISION, obligations=[v1.Obligation(name="notify")]
    ),
    "an obligation without a name": allow(obligations=[v1.Obligation()]),
    "an obligation with a value of no kind": allow().SerializeToString()
    + b"\x3a\x0f\x0a\x06notify\x12\x05\x0a\x03\x0a\x01a",
    "conditional though nothing is open": v1.CheckResponse(
        decision=v1.DECISION_CONDITIONAL, reason=v1.REASON_CONDITIONAL, policy_revision=REVISION
    ),
    "more than an answer may hold": allow(message="x" * (5 * 1024 * 1024)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_what_is_no_answer_denies(lie: v1.CheckResponse | bytes) -> None:
    """Issue 5: a PDP that lies in its format: unset decisions, garbage, unknown values, contradictions."""
    async with scripted(Check=says(lie)) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        try:
            with pytest.raises(PdpError):
                await pdp.check(ask())
            verdict = await guard(pdp).decide(CALL, ALICE, {})
        finally:
            await pdp.close()
    assert verdict.outcome is Outcome.UNAVAILABLE


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_what_is_no_answer_denies_for_threads_as_well(lie: v1.CheckResponse | bytes) -> None:
    """Issue 5: the synchronous decision point believes no more than the other one."""
    async with scripted(Check=says(lie)) as server:
        pdp = SyncRemotePdp(server.address, deadline=PATIENCE_S)
        try:
            with pytest.raises(PdpError):
                await asyncio.to_thread(pdp.check, ask())
        finally:
            pdp.close()


def _results(count: int, revision: str = REVISION, inner: str = REVISION) -> bytes:
    results = [v1.CheckResult(response=allow(inner))] * count
    return v1.BatchCheckResponse(results=results, policy_revision=revision).SerializeToString()


BATCH_LIES = {
    "garbage": b"\xff",
    "too few": _results(1),
    "too many": _results(3),
    "none": _results(0),
    "no revision": _results(2, ""),
}


@pytest.mark.parametrize("lie", BATCH_LIES.values(), ids=BATCH_LIES)
async def test_a_batch_with_another_number_of_answers_answers_nothing(lie: bytes) -> None:
    """Issue 5: a PDP that lies in its format: nobody can tell which answer belongs to which question."""
    async with scripted(BatchCheck=says(lie)) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        try:
            with pytest.raises(PdpError):
                await pdp.check_all([ask(), ask("list_documents")])
        finally:
            await pdp.close()


async def test_a_result_that_is_none_spoils_itself_alone() -> None:
    """Issue 5: read it as a denial: a result with nothing in it, with an error, by another revision."""
    results = [
        v1.CheckResult(),
        v1.CheckResult(error=v1.CheckError(code=v1.ERROR_CODE_INTERNAL, message="a defect")),
        v1.CheckResult(response=allow(OTHER)),
        v1.CheckResult(response=v1.CheckResponse()),
        v1.CheckResult(response=allow()),
    ]
    lie = v1.BatchCheckResponse(results=results, policy_revision=REVISION).SerializeToString()
    async with scripted(BatchCheck=says(lie)) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        *bad, good = await pdp.check_all([ask()] * 5)
        await pdp.close()
    assert all(isinstance(answer, PdpError) for answer in bad)
    assert isinstance(good, Decision)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_other_status_denies(code: grpc.StatusCode) -> None:
    """Issue 5, R22: an error never allows; only INVALID_ARGUMENT is the question's own fault (-32602)."""
    async with scripted(Check=fails(code, "resource.type: is not right")) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        verdict = await guard(pdp).decide(CALL, ALICE, {})
        await pdp.close()
    assert not verdict.allowed
    invalid = code is grpc.StatusCode.INVALID_ARGUMENT
    assert verdict.outcome is (Outcome.INVALID if invalid else Outcome.UNAVAILABLE)


@pytest.mark.parametrize(
    "described", [b"\xff", b"", says(allow()), describes("")], ids=["garbage", "empty", "an answer", "no revision"]
)
async def test_needs_that_cannot_be_read_deny(described: Any) -> None:  # noqa: ANN401  # bytes or a method
    """Issue 5: without knowing what the policy reads, nothing is asked and nothing allowed."""
    method = says(described) if isinstance(described, bytes) else described
    async with scripted(Check=says(allow()), DescribeTools=method) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        with pytest.raises(PdpError):
            await pdp.check(ask())
        await pdp.close()
        assert not server.checks()


async def test_an_older_server_is_named_as_such() -> None:
    """Issue 5: a server that does not say what its policy reads is not asked blindly."""
    unimplemented = fails(grpc.StatusCode.UNIMPLEMENTED)
    async with scripted(Check=says(allow()), DescribeTools=unimplemented) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        with pytest.raises(PdpError, match="older"):
            await pdp.check(ask())
        await pdp.close()


# --- What the guard adds --------------------------------------------------------------------


class Answers:
    """A decision point in this process that says what a test wants."""

    def __init__(self, decision: Any) -> None:  # noqa: ANN401  # the point is that it may be anything
        """Say always the same; an exception is raised."""
        self.decision = decision

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Say it."""
        if isinstance(self.decision, BaseException):
            raise self.decision
        return self.decision  # type: ignore[no-any-return]  # as above

    async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> list[Decision]:
        """Say it as often as asked."""
        return [await self.check(request) for request in requests]

    async def describe(self, tools: Sequence[str]) -> Any:  # noqa: ANN401  # never asked
        """Say nothing."""
        raise PdpError("not here")

    async def close(self) -> None:
        """End nothing."""


def _decision(effect: Effect, *obligations: str) -> Decision:
    return Decision(effect, Reason.ALLOWED, "", (), REVISION, tuple(map(Obligation, obligations)))


@pytest.mark.parametrize(
    "decision",
    [
        _decision(Effect.DENY),
        _decision(Effect.CONDITIONAL),
        _decision(Effect.ALLOW, "burn"),
        _decision(Effect.ALLOW, "notify", "burn"),
    ],
    ids=["deny", "conditional", "an unknown obligation", "one unknown obligation of two"],
)
async def test_anything_but_a_clear_allow_is_denied(decision: Decision) -> None:
    """Issue 5: error, time-out, unset, unknown obligation, CONDITIONAL: a denial."""
    verdict = await guard(Answers(decision)).decide(CALL, ALICE, {})
    assert verdict.outcome is Outcome.DENIED


@pytest.mark.parametrize("raised", [PdpError("x"), ValueError("x"), RecursionError(), KeyError("x")])
async def test_a_defect_of_the_decision_point_denies(raised: Exception) -> None:
    """Issue 5: an error never allows, whatever it is."""
    await is_unavailable(Answers(raised))


@pytest.mark.parametrize("answer", [None, 17, "ALLOW", True])
async def test_an_answer_that_is_no_decision_denies(answer: object) -> None:
    """Issue 5: anything but a clear ALLOW is a denial."""
    call, listed = await verdicts(Answers(answer))
    assert call.outcome is Outcome.UNAVAILABLE
    assert listed == [False]


async def test_a_caller_who_goes_away_is_no_reason_to_answer() -> None:
    """Issue 5: cancelling is passed on, and those in the same batch get their answers."""
    gate = asyncio.Event()

    async def slow(data: bytes, context: Context) -> Any:  # noqa: ANN401  # bytes
        await gate.wait()
        return await answers_batches()(data, context)

    async with scripted(BatchCheck=slow) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        asked = [asyncio.create_task(pdp.check(ask(tool))) for tool in ("a", "b", "c")]
        while not server.batches():  # noqa: ASYNC110  # the server raises no event
            await asyncio.sleep(0.005)
        asked[0].cancel()
        asked[1].cancel()
        gate.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        await pdp.close()
    assert [type(result) for result in results] == [asyncio.CancelledError, asyncio.CancelledError, Decision]


async def test_a_conditional_answer_counts_where_something_was_left_open() -> None:
    """L68: CONDITIONAL is an answer to a question with unknown parts, and still no permission."""
    conditional = v1.CheckResponse(
        decision=v1.DECISION_CONDITIONAL, reason=v1.REASON_CONDITIONAL, policy_revision=REVISION
    )
    async with scripted(Check=says(conditional)) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        question = ask(resource=Resource("document"), unknown=frozenset(Part))
        decision = await pdp.check(question)
        await pdp.close()
    assert decision.effect is Effect.CONDITIONAL
    assert not decision.allowed
    assert set(server.checks()[0].unknown) == {1, 2, 3}


@pytest.fixture(autouse=True)
async def _no_task_outlives_its_test() -> AsyncIterator[None]:
    """See that closing a decision point ends what it has begun."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before if "authz/pep" in str(task.get_coro())]
    assert not left
