"""Decision points behind gRPC: a real server decides as the engine in the process does, in one call or many."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest

from authz.errors import InvalidRequestError
from authz.model import Decision, Effect, Part, Reason, Resource
from authz.pep.pdp import PdpError
from authz.pep.pdps.channel import Tls, connection
from authz.pep.pdps.remote import RemotePdp
from authz.pep.pdps.remote_sync import SyncRemotePdp
from authz.server.config import ConfigError, TlsConfig, parse_address
from authz.v1 import decision_pb2 as v1
from tests.pep.scripted import REVISION, allow, answers_batches, fails, says, scripted
from tests.pep.world import ALICE, EDITH, GLEN, POLICY, SHORT, ask, program_of
from tests.server.certificates import Authority
from tests.server.support import serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from authz.model import Request
    from tests.server.support import Running

PATIENCE_S = 20
TOOLS = ("ping", "list_documents", "read_document", "write_document", "share_document", "delete_document", "nope")


def questions() -> list[Request]:
    """Return questions of four callers about each tool, some with parts unknown."""
    asked = []
    for who in (ALICE, EDITH, SHORT, GLEN):
        for tool in TOOLS:
            arguments = {"title": "x", "text": "y" * 100, "n": 2**53, "list": [1, 2.5, None, {"a": True}]}
            asked += [
                ask(tool, who, arguments=arguments, context={"ip": "10.0.0.1"}),
                ask(tool, who, arguments={"title": "forbidden"}, resource=Resource("document", "held", "acme")),
                ask(tool, who, arguments={}, resource=None),
                ask(tool, who, resource=Resource("document"), unknown=frozenset(Part)),
            ]
    return asked


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Return a policy directory."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "world.authz").write_text(POLICY)
    return folder


@pytest.fixture
async def running(policies: Path) -> AsyncIterator[Running]:
    """Run a server on the policy."""
    async with serving(policies=policies) as server:
        yield server


@contextlib.asynccontextmanager
async def asking(*targets: str, deadline: float = PATIENCE_S) -> AsyncIterator[RemotePdp]:
    """Ask at targets, patiently."""
    pdp = RemotePdp(targets, deadline=deadline)
    try:
        yield pdp
    finally:
        await pdp.close()


# --- The same decisions ---------------------------------------------------------------------


async def test_a_server_decides_as_the_engine_does(running: Running) -> None:
    """Issue 5: sends what the policy reads and no others, and the decision is that of the whole question."""
    program = program_of()
    async with asking(running.server.address) as pdp:
        for question in questions():
            decision = await pdp.check(question)
            assert replace(decision, policy_revision="") == replace(program.decide(question), policy_revision="")


async def test_a_list_of_questions_is_decided_as_one_by_one(running: Running) -> None:
    """Issue 5: one batch; order kept; unknown parts."""
    program = program_of()
    async with asking(running.server.address) as pdp:
        for who in (ALICE, SHORT):
            asked = [
                question
                for question in questions()
                if question.scopes == who.scopes and question.subject == who.subject
            ]
            asked = [replace(question, context={}) for question in asked]
            answers = await pdp.check_all(asked)
            expected = [program.decide(question) for question in asked]
            assert [(a.effect, a.reason, a.rules) for a in answers if isinstance(a, Decision)] == [
                (e.effect, e.reason, e.rules) for e in expected
            ]
        assert await pdp.check_all([]) == ()


async def test_threads_get_the_same_answers(running: Running) -> None:
    """Issue 5: RemotePdp for grpc.aio and sync; any thread may ask."""
    program = program_of()
    pdp = SyncRemotePdp(running.server.address, deadline=PATIENCE_S)

    def ask_all() -> list[Decision]:
        with ThreadPoolExecutor(4) as threads:
            return list(threads.map(pdp.check, questions()))

    def strip(decision: Decision) -> Decision:
        return replace(decision, policy_revision="")

    decisions = await asyncio.to_thread(ask_all)
    assert list(map(strip, decisions)) == [strip(program.decide(question)) for question in questions()]
    of_alice = [ask(tool) for tool in TOOLS]
    answers = await asyncio.to_thread(pdp.check_all, of_alice)
    assert [answer.effect for answer in answers if isinstance(answer, Decision)] == [
        program.decide(question).effect for question in of_alice
    ]
    revision, (described,) = await asyncio.to_thread(pdp.describe, ["write_document"])
    assert (described.reads.arguments, described.entry_scopes) == ((("title",),), ("docs:write",))
    assert revision == decisions[0].policy_revision
    pdp.close()
    with pytest.raises(PdpError, match="closed"):
        await asyncio.to_thread(pdp.check, ask())


async def test_a_new_policy_decides_the_next_question(running: Running, policies: Path) -> None:
    """Issue 5: and asks again when the revision changes: what the new policy reads is sent, too."""
    question = ask("write_document", EDITH, arguments={"title": "x", "text": "secret"})
    async with asking(running.server.address) as pdp:
        before = await pdp.check(question)
        assert before.allowed
        with_text = POLICY.replace('args.title != "forbidden"', 'args.title == "x" and args.text != "secret"')
        (policies / "world.authz").write_text(with_text)
        assert await running.server.reloader.reload()
        after = await pdp.check(question)
        assert after.effect is Effect.DENY
        assert after.reason is Reason.NO_ALLOW  # not INDETERMINATE: the text was there to be read
        _, (described,) = await pdp.describe(["write_document"])
        assert described.reads.arguments == (("text",), ("title",))


async def test_more_tools_than_a_server_describes_are_refused(running: Running) -> None:
    """Issue 5: bounded."""
    async with asking(running.server.address) as pdp:
        with pytest.raises(PdpError, match="1000"):
            await pdp.describe(["x"] * 1_001)
        _, described = await pdp.describe([*TOOLS, *TOOLS[:0]])
        assert [one.known for one in described] == [True] * 6 + [False]


# --- Batches --------------------------------------------------------------------------------


async def test_checks_of_one_caller_in_one_turn_are_one_batch() -> None:
    """Issue 5: micro-batching of concurrent checks into one call; each gets its own answer."""
    async with scripted(Check=says(allow()), BatchCheck=answers_batches()) as server, asking(server.address) as pdp:
        tools = [f"t{number}" for number in range(10)]
        decisions = await asyncio.gather(*(pdp.check(ask(tool), request_id=f"id-{tool}") for tool in tools))
        assert [decision.message for decision in decisions] == tools
        (batch,) = server.batches()
        assert batch.request_id == ",".join(f"id-{tool}" for tool in tools[1:] + tools[:1])
        assert not server.checks()


async def test_a_lone_check_stays_alone() -> None:
    """Issue 5: no added latency for the lone one."""
    async with scripted(Check=says(allow()), BatchCheck=answers_batches()) as server, asking(server.address) as pdp:
        for _ in range(3):
            await pdp.check(ask(), request_id="mine")
        assert [check.request_id for check in server.checks()] == ["mine"] * 3
        assert not server.batches()


async def test_different_callers_never_share_a_batch() -> None:
    """Issue 5: whoever differs in anything that a batch says once is asked about alone."""
    others = [
        ask(),
        ask(who=EDITH),
        ask(who=GLEN),
        ask(who=replace(ALICE, scopes=("docs:read", "x"))),
        ask(who=replace(ALICE, roles=())),
        ask(who=replace(ALICE, tenant="globex")),
        ask(who=replace(ALICE, client="other")),
        ask(who=replace(ALICE, client="")),
        ask(who=replace(ALICE, attributes={"a": True})),
        ask(who=replace(ALICE, attributes={"a": 1})),
        ask(context={"ip": "10.0.0.1"}),
    ]
    async with scripted(Check=says(allow()), BatchCheck=answers_batches()) as server, asking(server.address) as pdp:
        await asyncio.gather(*map(pdp.check, others))
        assert len(server.checks()) == len(others)
        assert not server.batches()


async def test_a_crowd_is_asked_about_in_batches_whose_ids_fit() -> None:
    """Issue 5: bounded; each check is found in the server's log by its own id."""
    async with scripted(Check=says(allow()), BatchCheck=answers_batches()) as server, asking(server.address) as pdp:
        ids = [f"{number:032x}" for number in range(75)]
        decisions = await asyncio.gather(*(pdp.check(ask("t"), request_id=one) for one in ids))
        assert all(decision.allowed for decision in decisions)
        told = [batch.request_id for batch in server.batches()]
        assert sorted(",".join(told).split(",")) == ids
        assert all(len(one) <= 1_024 for one in told)
        assert sorted(len(batch.questions) for batch in server.batches()) == [15, 30, 30]


async def test_whoever_leaves_before_the_batch_goes_takes_nobody_along() -> None:
    """Issue 5: the one who began the batch may be cancelled; those who joined are answered."""
    async with scripted(Check=says(allow()), BatchCheck=answers_batches()) as server, asking(server.address) as pdp:
        first = asyncio.create_task(pdp.check(ask("a")))
        second = asyncio.create_task(pdp.check(ask("b")))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).allowed
        with pytest.raises(asyncio.CancelledError):
            await first
        assert len(server.checks()) == 1


async def test_a_request_id_that_no_log_takes_spoils_no_batch() -> None:
    """L60: it is refused by itself, before anybody shares a batch with it."""
    async with scripted(Check=says(allow()), BatchCheck=answers_batches()) as server, asking(server.address) as pdp:
        results = await asyncio.gather(
            pdp.check(ask("a"), request_id="x" * 1_025),
            pdp.check(ask("b"), request_id="line\nbreak"),
            pdp.check(ask("c"), request_id="y" * 1_024),
            pdp.check(ask("d"), request_id="z" * 1_024),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [InvalidRequestError, InvalidRequestError, Decision, Decision]
        assert [batch.request_id for batch in server.batches()] == ["z" * 1_024]


async def test_an_error_of_a_batch_is_told_to_each() -> None:
    """Issue 5: error: a denial, for all that were asked about together."""
    refused = fails(grpc.StatusCode.INVALID_ARGUMENT, "scopes[0]: is too long")
    async with scripted(BatchCheck=refused) as server, asking(server.address) as pdp:
        results = await asyncio.gather(*(pdp.check(ask(tool)) for tool in "abc"), return_exceptions=True)
    assert all(isinstance(result, InvalidRequestError) and result.field == "scopes[0]" for result in results)
    assert len(set(map(id, results))) == 3


# --- Trying again ---------------------------------------------------------------------------


async def test_a_server_that_was_unavailable_for_a_moment_is_asked_once_more() -> None:
    """Issue 5: retries only where safe: UNAVAILABLE, once."""
    shaky = fails(grpc.StatusCode.UNAVAILABLE, "just now", times=1, then=says(allow()))
    async with scripted(Check=shaky) as server, asking(server.address) as pdp:
        assert (await pdp.check(ask())).allowed
        assert len(server.checks()) == 2


@pytest.mark.parametrize(
    ("code", "times"),
    [
        (grpc.StatusCode.UNAVAILABLE, 2),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 1),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 1),
        (grpc.StatusCode.ABORTED, 1),
        (grpc.StatusCode.UNKNOWN, 1),
    ],
)
@pytest.mark.parametrize("sync", [False, True], ids=["aio", "sync"])
async def test_a_server_in_trouble_is_not_asked_again_and_again(code: grpc.StatusCode, times: int, sync: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Issue 5: retries only where safe, at most one, none hidden in gRPC."""
    async with scripted(Check=fails(code, "trouble")) as server:
        if sync:
            waiting = SyncRemotePdp(server.address, deadline=PATIENCE_S)
            with pytest.raises(PdpError, match=r"trouble|deadline"):
                await asyncio.to_thread(waiting.check, ask())
            waiting.close()
        else:
            async with asking(server.address) as pdp:
                with pytest.raises(PdpError, match=r"trouble|deadline"):
                    await pdp.check(ask())
        assert len(server.checks()) == times


# --- Replicas -------------------------------------------------------------------------------


async def test_replicas_are_asked_in_turn_and_one_may_be_gone() -> None:
    """Issue 5: client-side round robin over replicas."""
    async with contextlib.AsyncExitStack() as ends:
        one = await ends.enter_async_context(scripted(Check=says(allow())))
        async with scripted(Check=says(allow())) as two:
            pdp = await ends.enter_async_context(asking(one.address, two.address))
            async with asyncio.timeout(PATIENCE_S):
                while not (one.checks() and two.checks()):
                    assert (await pdp.check(ask())).allowed
        for _ in range(10):
            assert (await pdp.check(ask())).allowed


# --- Where to ask ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "problem"),
    [
        ("pdp.example:8181", "not encrypted"),
        ("0.0.0.0:8181", "not encrypted"),
        ("192.0.2.7:8181", "not encrypted"),
        ("dns:///localhost:8181", "not encrypted"),
        (["127.0.0.1:1", "192.0.2.7:1"], "not encrypted"),
        ("localhost", "is not an address"),
        ("unix:", "names no socket"),
        ("dns:///pdp", "is not an address"),
        ("dns:pdp:8181", "is not an address"),
        ("http://127.0.0.1:1", "is not an address"),
        ("ipv4:127.0.0.1:1", "is not an address"),
        ("127.0.0.1:1,192.0.2.7:1", "address"),
        ("", "is not an address"),
        ([], "name one address"),
        (["127.0.0.1:1", "127.0.0.1:1"], "different"),
        (["127.0.0.1:1", "[::1]:1"], "IPv4"),
        (["127.0.0.1:1", "localhost:2"], "list IP addresses"),
        (["unix:/a", "unix:/b"], "list IP addresses"),
        (["dns:///a:1", "127.0.0.1:1"], "is not an address"),
    ],
)
def test_targets_that_are_none_or_could_be_overheard_are_refused(targets: str | list[str], problem: str) -> None:
    """Issue 5: refuse to start rather than run weak: without TLS only this machine is asked."""
    with pytest.raises(ConfigError, match=problem):
        connection(targets)


@pytest.mark.parametrize(
    ("targets", "target"),
    [
        ("unix:/run/authz.sock", "unix:/run/authz.sock"),
        ("127.0.0.1:8181", "127.0.0.1:8181"),
        ("localhost:8181", "localhost:8181"),
        ("[::1]:8181", "[::1]:8181"),
        (["127.0.0.1:1", "127.0.0.2:2"], "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (["[::1]:1", "[::1]:2"], "ipv6:[::1]:1,[::1]:2"),
    ],
)
def test_targets_of_this_machine_need_nothing_more(targets: str | list[str], target: str) -> None:
    """Issue 5: Unix socket, loopback, replicas."""
    assert connection(targets).target == target


def test_other_machines_are_asked_where_something_else_protects_the_connection() -> None:
    """Issue 5: only where that is said."""
    assert connection("pdp.example:8181", insecure=True).target == "pdp.example:8181"
    assert connection("dns:///pdp.example:8181", insecure=True).target == "dns:///pdp.example:8181"


async def test_a_decision_point_belongs_to_one_event_loop() -> None:
    """Issue 5: used in another one, it denies instead of waiting for ever."""
    async with scripted(Check=says(allow())) as server, asking(server.address) as pdp:
        await pdp.check(ask())

        def elsewhere() -> None:
            with pytest.raises(PdpError, match="another event loop"):
                asyncio.run(pdp.check(ask()))

        await asyncio.to_thread(elsewhere)


async def test_a_unix_socket_is_asked(tmp_path: Path, policies: Path) -> None:
    """Issue 5: Unix socket."""
    from authz.pep.pdps.events import standard_logger
    from authz.server.app import Server
    from authz.server.config import Config

    address = f"unix:{tmp_path}/s.sock"
    server = Server(Config(policies, parse_address(address)), standard_logger())
    await server.start()
    try:
        async with asking(address) as pdp:
            assert (await pdp.check(ask())).allowed
    finally:
        await server.close()


# --- TLS ------------------------------------------------------------------------------------

AUTHORITY = Authority()


async def test_tls_knows_the_server_and_shows_the_client(tmp_path: Path, policies: Path) -> None:
    """Issue 5: TLS; a server whose certificate another authority has signed is never asked."""
    ca = tmp_path / "ca.crt"
    ca.write_bytes(AUTHORITY.certificate)
    foreign = tmp_path / "foreign.crt"
    foreign.write_bytes(Authority("others").certificate)
    own = AUTHORITY.sign().write(tmp_path, "client")
    config = TlsConfig(*AUTHORITY.sign().write(tmp_path, "server"), ca)
    async with serving(policies=policies, tls=config) as running:
        address = running.server.address
        for tls, answered in (
            (Tls(ca, *own), True),
            (Tls(ca), False),
            (Tls(foreign, *own), False),
            (Tls(ca, *own, name="elsewhere.example"), False),
            (Tls(None, *own), False),
            (None, False),
        ):
            pdp = RemotePdp(address, tls=tls, deadline=2.0)
            if answered:
                assert (await pdp.check(ask())).allowed
            else:
                with pytest.raises(PdpError):
                    await pdp.check(ask())
            await pdp.close()


def test_tls_that_could_not_work_is_refused_at_once(tmp_path: Path) -> None:
    """Issue 5: refuse to start rather than run weak."""
    ca = tmp_path / "ca.crt"
    ca.write_bytes(AUTHORITY.certificate)
    cert, key = AUTHORITY.sign().write(tmp_path, "client")
    _, other = AUTHORITY.sign().write(tmp_path, "other")
    open_key = tmp_path / "open.key"
    open_key.write_bytes(key.read_bytes())
    open_key.chmod(0o644)
    for tls, problem in (
        (Tls(tmp_path / "none"), "cannot be read"),
        (Tls(key), "no certificate"),
        (Tls(ca, cert), "go together"),
        (Tls(ca, None, key), "go together"),
        (Tls(ca, cert, other), "is not the key"),
        (Tls(ca, cert, open_key), "chmod 600"),
    ):
        with pytest.raises(ConfigError, match=problem):
            connection("pdp.example:1", tls=tls)
    with pytest.raises(ConfigError, match="leave TLS out"):
        connection("unix:/run/s", tls=Tls(ca))
    with pytest.raises(ConfigError, match="need `name`"):
        connection(["192.0.2.1:1", "192.0.2.2:1"], tls=Tls(ca))


async def test_the_guards_words_reach_the_servers_log(running: Running) -> None:
    """Issue 5: the request id of a verdict is in the decision log."""
    async with asking(running.server.address) as pdp:
        await pdp.check(ask(), request_id="verdict-1")
    await until(lambda: running.records("decision"))
    assert [record["request_id"] for record in running.records("decision")] == ["verdict-1"]


def test_the_scripted_answers_are_well_formed() -> None:
    """The lies of other tests are lies only if this is none."""
    assert v1.CheckResponse.FromString(allow().SerializeToString()).policy_revision == REVISION
