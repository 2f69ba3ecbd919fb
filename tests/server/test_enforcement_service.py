"""EnforcementService: what to send with a question, and the policy itself for those who may have it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import grpc
import pytest
import structlog
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from authz.pap.loader import load, load_files
from authz.pdp.engine import Engine
from authz.pdp.reads import EVERYTHING, ToolReads
from authz.server.config import Config, DecisionLogConfig, parse_address
from authz.server.enforcement_service import SERVICE, EnforcementService, besides
from authz.server.gate import Gate, named
from authz.v1 import enforcement_pb2 as v1
from authz.v1.enforcement_pb2_grpc import EnforcementServiceStub
from authz.wire.enforcement import MAX_TOOLS, Description, describe_request, descriptions_from, policy_from
from tests.server.support import SERVING, Scripted, ask, code_of, serving, until
from tests.server.test_process import server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from authz.v1.enforcement_pb2_grpc import EnforcementServiceAsyncStub
    from tests.server.support import Running

CODE = grpc.StatusCode
POLICY = """
role "owner" when resource.owner == subject.id
tool "read_*" on "document" {
  require scope "docs:read"
  allow role "owner" when context.ip in cidr("10.0.0.0/8")
}
tool "write_it" {
  require scope "docs:write"
  allow role "editor" when args.path under "/docs"
}
tool "ping" { allow public }
"""
FOLLOW = v1.FollowPolicyRequest()


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Return a directory with a policy in two files, one below a folder."""
    folder = tmp_path / "policies"
    (folder / "more").mkdir(parents=True)
    (folder / "a.authz").write_text(POLICY)
    (folder / "more" / "b.authz").write_text('# é\r\ntool "pong" { allow "all" public }\n')
    (folder / "a_test.authz").write_text('test "x" {\n  call "ping"\n  expect allow\n}\n')
    return folder


def stub(running: Running) -> EnforcementServiceAsyncStub:
    """Return the client of EnforcementService."""
    return EnforcementServiceStub(running.channel)


async def described(running: Running, *tools: str) -> tuple[str, tuple[Description, ...]]:
    """Ask about tools."""
    return descriptions_from(await stub(running).DescribeTools(describe_request(tools)))


async def heard(
    call: grpc.aio.UnaryStreamCall[v1.FollowPolicyRequest, v1.FollowPolicyResponse],
) -> v1.FollowPolicyResponse:
    """Return the next message of a stream that goes on."""
    message = await call.read()
    assert isinstance(message, v1.FollowPolicyResponse)
    return message


# --- DescribeTools --------------------------------------------------------------------------


async def test_tools_are_described_in_order_by_the_active_revision(policies: Path) -> None:
    """Issue 5: an enforcement point sends what is read and no more; R13: and asks for the fewest scopes."""
    async with serving(policies=policies) as running:
        revision, tools = await described(running, "write_it", "read_x", "none", "ping", "write_it")
        assert revision == (await running.stub.Check(ask())).policy_revision
        write = Description("write_it", ToolReads(known=True, arguments=(("path",),)), ("docs:write",))
        assert tools == (
            write,
            Description("read_x", ToolReads(known=True, context=(("ip",),), resource=(("owner",),)), ("docs:read",)),
            Description("none", ToolReads(known=False)),
            Description("ping", ToolReads(known=True)),
            write,
        )
        assert await described(running, "write_it", "write_it") == (revision, (write, write))
        assert await described(running) == (revision, ())


async def test_a_new_policy_is_described_once_it_decides(policies: Path) -> None:
    """Issue 5: the enforcement point asks again when the revision changes."""
    async with serving(policies=policies) as running:
        before, _ = await described(running, "write_it")
        (policies / "a.authz").write_text('tool "write_it" { allow anyone when args[context.name] == 1 }')
        assert await running.server.reloader.reload()
        after, (tool,) = await described(running, "write_it")
        assert after == running.server.engine.program.revision != before
        assert tool == Description("write_it", ToolReads(known=True, arguments=EVERYTHING, context=(("name",),)))


@pytest.mark.parametrize(
    ("tools", "details"),
    [
        (["ping"] * 3 + ["a\nb"], "tools[3]: holds a control character"),
        (["ping", ""], "tools[1]: must not be empty"),
        (["e\u0301"], "tools[0]: is not in Unicode normal form NFC"),
        (["x" * 1025], "tools[0]: is longer than 1024 characters"),
        (["ping"] * (MAX_TOOLS + 1), "tools: holds more than 1000 items"),
    ],
)
async def test_names_that_are_none_are_refused_by_their_place(policies: Path, tools: list[str], details: str) -> None:
    """Issue 5, L60: as in a question; nothing that came is repeated."""
    async with serving(policies=policies) as running:
        call = stub(running).DescribeTools(describe_request(tools))
        assert await code_of(call) == (CODE.INVALID_ARGUMENT, details)
        assert len((await described(running, *["ping"] * MAX_TOOLS))[1]) == MAX_TOOLS


async def test_bytes_that_are_no_message_are_refused() -> None:
    """Issue 5: malformed is INVALID_ARGUMENT, where gRPC would say INTERNAL."""
    async with serving(Scripted(), share_policy=True) as running:
        call = running.unary(f"/{SERVICE}/DescribeTools")(b"\xff\xff")
        assert (await code_of(call))[0] is CODE.INVALID_ARGUMENT
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = running.channel.unary_stream(
            f"/{SERVICE}/FollowPolicy"
        )
        stream = method(b"\xff\xff")
        assert (await code_of(stream.read()))[0] is CODE.INVALID_ARGUMENT


async def test_a_defect_tells_the_asker_nothing() -> None:
    """Issue 5: what went wrong is for the log."""
    async with serving(Scripted()) as running:  # a program without a policy to look through
        call = stub(running).DescribeTools(describe_request(["ping"]))
        assert await code_of(call) == (CODE.INTERNAL, "internal error")
        assert running.records("defect")[0]["method"] == "DescribeTools"


async def test_what_the_server_itself_reads_is_asked_for_too(policies: Path, tmp_path: Path) -> None:
    """Issue 5, S63: a record holds the attributes it is to hold, though no rule reads them."""
    log = DecisionLogConfig(
        "best-effort", tmp_path / "log", ("context.ip", "arguments.a.b", "resource.attributes.owner.id")
    )
    async with serving(policies=policies, decision_log=log) as running:
        _, (read, ping) = await described(running, "read_x", "ping")
        assert read.reads == ToolReads(known=True, arguments=(("a", "b"),), context=(("ip",),), resource=(("owner",),))
        assert ping.reads == ToolReads(
            known=True, arguments=(("a", "b"),), context=(("ip",),), resource=(("owner", "id"),)
        )


def test_tokens_are_refused_by_the_callers_address_so_it_is_asked_for(tmp_path: Path) -> None:
    """Issue 5: failures to validate are counted by `context.ip`."""
    address = parse_address("127.0.0.1:0")
    assert besides(Config(tmp_path, address, tokens=tmp_path)) == ToolReads(known=False, context=(("ip",),))
    assert besides(Config(tmp_path, address)) == ToolReads(known=False)


# --- FollowPolicy ---------------------------------------------------------------------------


async def test_a_follower_gets_the_policy_and_each_one_after_it(policies: Path) -> None:
    """Issue 5: `LocalPdp` decides by the server's active policy; its files mean there what they mean here."""
    async with serving(policies=policies, share_policy=True) as running:
        call = stub(running).FollowPolicy(FOLLOW)
        revision, files = policy_from(await heard(call))
        assert [file.name for file in files] == ["a.authz", "more/b.authz"]  # no tests: they are not part of it
        followed = load_files(files)
        assert followed.program.revision == revision == running.server.engine.program.revision
        names = [rule.name for rule in load(policies).program.outline()]
        assert [rule.name for rule in followed.program.outline()] == names
        (policies / "a.authz").write_text('tool "ping" { deny }')
        assert await running.server.reloader.reload()
        after, files = policy_from(await heard(call))
        assert after == load_files(files).program.revision == running.server.engine.program.revision != revision


@contextlib.asynccontextmanager
async def service(engine: Engine, interval: float = 60.0) -> AsyncIterator[tuple[EnforcementService, grpc.aio.Channel]]:
    """Run the service by itself."""
    served = EnforcementService(engine, structlog.wrap_logger(structlog.PrintLogger()), share=True, interval=interval)
    listener = grpc.aio.server()
    listener.add_generic_rpc_handlers((Gate(named(SERVICE, served.handlers()), 10, 10),))
    port = listener.add_insecure_port("127.0.0.1:0")
    await listener.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield served, channel
    finally:
        await listener.stop(None)


async def test_signs_of_life_come_in_between_and_bring_no_files(policies: Path) -> None:
    """Issue 5: a follower that hears nothing knows that nobody is there."""
    program = load(policies).program
    async with service(Engine(program), interval=0.01) as (_, channel):
        call = EnforcementServiceStub(channel).FollowPolicy(FOLLOW)
        assert (await heard(call)).files
        for _ in range(3):
            assert await heard(call) == v1.FollowPolicyResponse(policy_revision=program.revision)


async def test_a_swap_is_told_at_once_and_only_the_newest_counts(policies: Path) -> None:
    """Issue 5: without polling; whoever reads slowly is told of what decides when the message is written."""
    programs = [load(policies).program]
    for name in ("x", "y"):
        (policies / "a.authz").write_text(f'tool "{name}" {{ allow public }}')
        programs.append(load(policies).program)
    engine = Engine(programs[0])
    async with service(engine) as (_, channel):
        calls = [EnforcementServiceStub(channel).FollowPolicy(FOLLOW) for _ in range(3)]
        for call in calls:
            assert (await heard(call)).policy_revision == programs[0].revision
        engine.swap(programs[1])
        engine.swap(programs[2])
        for call in calls:
            message = await heard(call)
            assert (message.policy_revision, len(message.files)) == (programs[2].revision, 2)
        await asyncio.to_thread(engine.swap, programs[0])  # from whatever thread
        for call in calls:
            assert (await heard(call)).policy_revision == programs[0].revision
            call.cancel()
        await until(lambda: not engine._followers)  # nobody is told who has gone


async def test_a_server_that_was_not_told_to_share_refuses(policies: Path) -> None:
    """Issue 5: a policy says who may do what; it leaves the server only where somebody said so."""
    async with serving(policies=policies) as running:
        code, details = await code_of(stub(running).FollowPolicy(FOLLOW).read())
        assert code is CODE.PERMISSION_DENIED
        assert "`--share-policy`" in details
        assert (await described(running, "ping"))[1][0].reads.known


def test_the_command_shares_its_policy_where_it_was_told_to(policies: Path) -> None:
    """Issue 5: `--share-policy`, and without it the refusal of a real server."""
    answers: list[object] = []
    for options in (("--share-policy",), ()):
        with contextlib.ExitStack() as stack:
            address = stack.enter_context(server(policies, *options)).record("listening")["address"]
            channel = stack.enter_context(grpc.insecure_channel(address))
            call = EnforcementServiceStub(channel).FollowPolicy(FOLLOW, timeout=60)
            try:
                answers.append(len(next(call).files))
            except grpc.RpcError:
                answers.append(call.code())
            call.cancel()
    assert answers == [2, CODE.PERMISSION_DENIED]


async def test_a_follower_does_not_hold_up_the_end(policies: Path) -> None:
    """Issue 5: the stream ends by itself when the server drains, without an error."""
    async with serving(policies=policies, share_policy=True, grace=300.0) as running:
        call = stub(running).FollowPolicy(FOLLOW)
        await call.read()
        async with asyncio.timeout(60):
            await running.server.stop()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is CODE.OK


async def test_followers_count_as_streams(policies: Path) -> None:
    """Issue 5: those who follow cannot lock out those who ask."""
    async with serving(policies=policies, share_policy=True, max_concurrent=3) as running:
        calls = [stub(running).FollowPolicy(FOLLOW) for _ in range(2)]
        for call in calls:
            await call.read()
        code, details = await code_of(stub(running).FollowPolicy(FOLLOW).read())
        assert (code, details) == (CODE.RESOURCE_EXHAUSTED, "the server has 2 streams open")
        assert (await running.stub.Check(ask())).policy_revision
        assert (await described(running, "ping"))[1]


# --- Beside the decision service ------------------------------------------------------------


async def test_reflection_lists_the_service_and_health_is_as_before(policies: Path) -> None:
    """Issue 5: tools find it; balancers look at the decision service."""
    async with serving(policies=policies, reflection=True) as running:
        info = reflection_pb2_grpc.ServerReflectionStub(running.channel).ServerReflectionInfo()
        for question in (
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        ):
            await info.write(question)
        listed, file = [await info.read() for _ in range(2)]
        assert SERVICE in [service.name for service in listed.list_services_response.service]
        assert file.file_descriptor_response.file_descriptor_proto
        assert await running.status("authz.v1.DecisionService") == SERVING


async def test_a_question_with_no_more_than_is_read_gets_the_same_answer(policies: Path) -> None:
    """Issue 5: a file's contents never travel to be decided on."""
    async with serving(policies=policies) as running:
        _, (tool,) = await described(running, "write_it")
        assert tool.reads.arguments == (("path",),)
        whole, less = (
            ask("write_it", scopes=["docs:write"], roles=["editor"]),
            ask("write_it", scopes=["docs:write"], roles=["editor"]),
        )
        whole.arguments.update({"path": "/docs/a", "content": "x" * 100_000})
        less.arguments.update({"path": "/docs/a"})
        answers = [await running.stub.Check(question) for question in (whole, less)]
        for answer in answers:
            answer.decision_id = ""
        assert answers[0] == answers[1]
        assert "content" not in json.dumps(running.records("decision"))
