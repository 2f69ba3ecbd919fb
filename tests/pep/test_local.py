"""The engine inside the process: decides, records and follows its policy directory as a server does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from authz.audit.records import Contents
from authz.audit.sinks import JsonLines
from authz.audit.writer import Writer
from authz.directory.completion import Completer
from authz.directory.entities import Entity, Key, Kind
from authz.errors import LoadError, PolicyError, StoreError
from authz.model import Decision, Part, Reason, Resource
from authz.pep.pdp import PdpError
from authz.pep.pdps.local import Keeping, LocalPdp, open_local
from authz.server.config import StoreConfig
from authz.server.stored import Stored
from tests.directory.memory import MemoryDirectory
from tests.pep.world import ALICE, EDITH, POLICY, ask, local_pdp, program_of
from tests.server.support import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Return a policy directory."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "world.authz").write_text(POLICY)
    return folder


# --- Deciding -------------------------------------------------------------------------------


async def test_it_decides_as_the_program_does() -> None:
    """Issue 5: LocalPdp, the engine inside the process."""
    pdp, program = local_pdp(), program_of()
    asked = [ask(), ask("write_document"), ask("nope"), ask(resource=Resource("document"), unknown=frozenset(Part))]
    assert [await pdp.check(question) for question in asked] == [program.decide(question) for question in asked]
    assert list(await pdp.check_all(asked)) == [program.decide(question) for question in asked]


async def test_it_tells_what_the_policy_reads() -> None:
    """Issue 5: the same description that a server gives, scopes to begin with among them."""
    revision, (write, nope) = await local_pdp().describe(["write_document", "nope"])
    assert revision == program_of().revision
    assert (write.known, write.reads.arguments, write.entry_scopes) == (True, (("title",),), ("docs:write",))
    assert (nope.known, nope.reads.arguments, nope.entry_scopes) == (False, (), ())


async def test_many_may_ask_at_once_what_the_policy_reads() -> None:
    """Issue 5: describing happens beside the event loop, and callers choose the names of tools."""
    pdp = local_pdp()
    names = [["write_document", "nope"], ["ping"] * 3, [f"t{number}" for number in range(100)], []]
    described = await asyncio.gather(*(pdp.describe(tools) for tools in names * 3))
    assert [[one.tool for one in tools] for _, tools in described] == names * 3
    assert (await pdp.describe(["write_document"]))[1][0].entry_scopes == ("docs:write",)


async def test_a_closed_one_decides_nothing_more() -> None:
    """Issue 5: anything but a clear ALLOW is a denial."""
    pdp = local_pdp()
    await pdp.close()
    with pytest.raises(PdpError, match="closed"):
        await pdp.check(ask())
    with pytest.raises(PdpError, match="closed"):
        await pdp.check_all([ask()])


async def test_a_defect_spoils_one_answer_of_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5: an error is a denial, and of nothing else."""
    program = program_of()
    decide = program.decide

    def broken(request: Any) -> Decision:  # noqa: ANN401  # a request
        if request.tool == "list_documents":
            raise RuntimeError
        return decide(request)

    monkeypatch.setattr(program, "decide", broken)
    first, second, third = await LocalPdp.of(program).check_all([ask(), ask("list_documents"), ask()])
    assert isinstance(second, PdpError)
    assert isinstance(first, Decision)
    assert isinstance(third, Decision)


# --- Following a directory ------------------------------------------------------------------


async def test_a_new_policy_in_the_directory_decides_and_a_broken_one_does_not(policies: Path) -> None:
    """Issue 5: following a policy directory: all or nothing, and the last good one stays."""
    pdp = await open_local(policies)
    try:
        assert (await pdp.check(ask())).allowed
        (policies / "world.authz").write_text("tool {")
        (policies / "more.authz").write_text('tool "read_document" { deny "closed" }')
        assert (await pdp.check(ask())).allowed
        (policies / "world.authz").write_text(POLICY)

        async with asyncio.timeout(20):
            while (await pdp.check(ask())).allowed:  # noqa: ASYNC110  # nobody tells a caller of a new policy
                await asyncio.sleep(0.01)
        assert (await pdp.check(ask())).reason is Reason.EXPLICIT_DENY
    finally:
        await pdp.close()


async def test_without_a_policy_to_begin_with_there_is_no_decision_point(tmp_path: Path) -> None:
    """Issue 5: refuse to start rather than run weak."""
    with pytest.raises(LoadError):
        await open_local(tmp_path / "none")
    (tmp_path / "broken.authz").write_text("tool {")
    with pytest.raises(PolicyError):
        await open_local(tmp_path)


async def test_nothing_is_ever_written_to_stdout(
    policies: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """R1: over stdio, stdout is the MCP connection; what there is to tell goes to `logging`."""
    caplog.set_level(logging.DEBUG, "authz.pep")
    (policies / "odd.authz").write_text('tool "x" { allow "never" when 1 == 2 }')
    pdp = await open_local(policies)
    await pdp.check(ask())
    (policies / "odd.authz").write_text("tool {")
    await until(lambda: "policy_broken" in caplog.text)
    await pdp.close()
    assert capfd.readouterr().out == ""


# --- Records --------------------------------------------------------------------------------


@contextlib.contextmanager
def writing(folder: Path, **settings: Any) -> Iterator[tuple[Writer, Path]]:  # noqa: ANN401  # of a Writer
    """Keep decisions in a store and a file; the file is whole when this ends."""
    path, stored = folder / "decisions.jsonl", Stored(StoreConfig(folder / "s.db"))
    stored.prepare(create=True)
    log = Writer(lambda: stored.log(durable=True, pseudonyms=False), sinks=(JsonLines(path),), **settings)
    log.start()
    try:
        yield log, path
    finally:
        log.close()


def records(path: Path) -> list[dict[str, Any]]:
    """Return what a file of records holds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("required", [True, False])
async def test_each_decision_has_its_record(tmp_path: Path, required: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Issue 5: decisions logged like the server's."""
    with writing(tmp_path, required=required) as (log, path):
        pdp = LocalPdp.of(program_of(), Keeping(log))
        await pdp.check(ask(), request_id="one")
        await pdp.check_all([ask("write_document"), ask("nope")], request_id="two")
    kept = records(path)
    assert [(record["request_id"], record["tool"], record["decision"]) for record in kept] == [
        ("one", "read_document", "ALLOW"),
        ("two", "write_document", "DENY"),
        ("two", "nope", "DENY"),
    ]
    assert {record["subject"] for record in kept} == {"alice"}


async def test_without_its_record_there_is_no_answer(tmp_path: Path) -> None:
    """Issue 5: like the server's: a required record that cannot be kept denies."""
    with writing(tmp_path, required=True) as (log, _):
        pdp = LocalPdp.of(program_of(), Keeping(log))
        assert (await pdp.check(ask())).allowed
        log.close()
        with pytest.raises(PdpError, match="decision log"):
            await pdp.check(ask())
        with pytest.raises(PdpError, match="decision log"):
            await pdp.check_all([ask()])


async def test_a_record_of_a_whole_request_says_when_it_was_decided(tmp_path: Path) -> None:
    """Issue 3: a record can be decided again: its time is that of the decision."""
    with writing(tmp_path, contents=Contents(requests=True)) as (log, path):
        await LocalPdp.of(program_of(), Keeping(log)).check(ask())
    (record,) = records(path)
    assert record["request"]["now"]


# --- The directory --------------------------------------------------------------------------


async def test_the_directory_completes_what_is_asked() -> None:
    """Issue 5: as the server does: a role that only the directory knows counts."""
    binding = Entity(Key(Kind.ROLE_BINDING, "subject:alice", "editor", "acme"))
    pdp = LocalPdp.of(program_of(), Keeping(complete=Completer(MemoryDirectory([binding])).complete))
    scoped = ask("write_document", replace(ALICE, scopes=EDITH.scopes), arguments={"title": "x"})
    assert (await pdp.check(scoped)).allowed
    assert not (await local_pdp().check(scoped)).allowed


async def test_a_directory_that_cannot_be_read_denies() -> None:
    """Issue 5: an error is a denial."""

    def fail(*_: object) -> Any:  # noqa: ANN401  # never returns
        raise StoreError("gone")

    pdp = LocalPdp.of(program_of(), Keeping(complete=fail))
    with pytest.raises(PdpError, match="gone"):
        await pdp.check(ask())
    (answer,) = await pdp.check_all([ask()])
    assert isinstance(answer, PdpError)
