"""The policy directory as it changes: all or nothing, the last good policy stays, one revision an answer."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from grpc_health.v1 import health_pb2

from authz.errors import LoadError
from authz.v1 import decision_pb2 as v1
from tests.server.support import NOT_SERVING, SERVING, Loaded, Scripted, ask, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from authz.pap.loader import LoadedPolicy
    from tests.server.support import Running


def load(path: Path) -> LoadedPolicy:
    """Take the text of a file as the revision of a program; "broken" is no policy, "defect" worse."""
    file = path / "a.authz" if path.is_dir() else path
    try:
        text = file.read_text().strip()
    except OSError:
        raise LoadError(f"`{path}` does not exist") from None
    if text == "broken":
        raise LoadError(f"`{path}` is broken")
    if text == "defect":
        raise ZeroDivisionError
    return cast("LoadedPolicy", Loaded(Scripted(text)))


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Return a policy directory."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.authz").write_text("r1")
    return folder


async def revision(running: Running) -> str:
    """Ask which revision decides."""
    return str((await running.stub.Check(ask())).policy_revision)


async def revision_becomes(running: Running, wanted: str) -> None:
    """Wait until a revision decides."""
    await until(lambda: running.server.engine.program.revision == wanted)
    assert await revision(running) == wanted


async def test_a_change_on_disk_takes_effect_by_itself(policies: Path) -> None:
    """Issue 2: hot reload of the policy directory, however the file was written."""
    async with serving(policies=policies, load=load) as running:
        assert await revision(running) == "r1"
        (policies / "a.authz").write_text("r2")
        await revision_becomes(running, "r2")
        (policies / "new").write_text("r3")
        (policies / "new").rename(policies / "a.authz")  # as editors do it
        await revision_becomes(running, "r3")
        reloaded = running.records("policy_reloaded")
        assert [(record["before"], record["policy_revision"]) for record in reloaded][-1] == ("r2", "r3")


async def test_one_file_can_be_watched_too(policies: Path) -> None:
    """L1: a path may also name one file; it is replaced, not written into."""
    file = policies / "a.authz"
    async with serving(policies=file, load=load) as running:
        (policies / "new").write_text("r2")
        (policies / "new").rename(file)
        await revision_becomes(running, "r2")


@pytest.mark.parametrize("text", ["broken", "defect"])
async def test_a_broken_policy_changes_nothing_but_health_and_log(policies: Path, text: str) -> None:
    """Issue 2: the last good policy stays; the broken one is reported in the log and in health."""
    async with serving(policies=policies, load=load) as running:
        (policies / "a.authz").write_text(text)
        await until(lambda: running.records("policy_broken"))
        assert await revision(running) == "r1"
        assert await running.status("authz.policy") == NOT_SERVING
        assert await running.status() == await running.status("authz.v1.DecisionService") == SERVING
        assert running.records("policy_broken")[0]["still_serving"] == "r1"
        (policies / "a.authz").write_text("r1")  # mended, and the same as before
        watch = running.health.Watch(health_pb2.HealthCheckRequest(service="authz.policy"))
        while (await watch.read()).status != SERVING:
            pass
        watch.cancel()
        assert await revision(running) == "r1"


async def test_a_policy_directory_that_goes_away_keeps_the_last_policy(policies: Path) -> None:
    """Issue 2: nothing half-loaded, and never nothing: an empty policy is not what a lost disk means."""
    async with serving(policies=policies, load=load) as running:
        shutil.rmtree(policies)
        await until(lambda: running.records("policy_broken"))
        assert await revision(running) == "r1"
        policies.mkdir()  # noqa: ASYNC240  # local and quick
        (policies / "a.authz").write_text("r2")
        await revision_becomes(running, "r2")
        (policies / "a.authz").write_text("r3")  # the new directory is watched as well
        await revision_becomes(running, "r3")


async def test_a_reload_can_be_asked_for(policies: Path) -> None:
    """Issue 2: also SIGHUP; what a watch cannot see is read when asked."""
    texts = ["r1", "r2"]
    async with serving(policies=policies, load=lambda _: cast("LoadedPolicy", Loaded(Scripted(texts[0])))) as running:
        texts.pop(0)
        running.server.reload()
        await revision_becomes(running, "r2")


async def test_a_storm_of_reloads_fails_no_call_and_mixes_no_answer(policies: Path) -> None:
    """Issue 2, S106: each decision is made by exactly one revision, while reloads good and broken fall between them."""
    written = [f"r{n}" if n % 3 else "broken" for n in range(1, 61)]
    stop = asyncio.Event()
    answers: list[v1.BatchCheckResponse] = []
    singles: list[v1.CheckResponse] = []

    async def keep_asking(running: Running) -> None:
        batch = v1.BatchCheckRequest(subject="a", questions=[v1.Question(tool="t")] * 60)
        while not stop.is_set():
            answers.append(await running.stub.BatchCheck(batch))
            singles.append(await running.stub.Check(ask()))

    async with serving(policies=policies, load=load) as running:
        askers = [asyncio.create_task(keep_asking(running)) for _ in range(4)]
        for text in written:
            (policies / "new").write_text(text)
            os.replace(policies / "new", policies / "a.authz")  # noqa: PTH105  # one step
            running.server.reload()
            before = len(answers)
            await until(lambda before=before: len(answers) > before)  # type: ignore[misc]  # mypy cannot infer the default
        (policies / "new").write_text("last")
        os.replace(policies / "new", policies / "a.authz")  # noqa: PTH105  # one step
        await revision_becomes(running, "last")
        stop.set()
        await asyncio.gather(*askers)
    good = {"r1", "last", *written} - {"broken"}
    assert {answer.policy_revision for answer in answers} <= good
    assert {single.policy_revision for single in singles} <= good
    assert len({answer.policy_revision for answer in answers}) > 5
    for answer in answers:
        assert {result.response.policy_revision for result in answer.results} == {answer.policy_revision}


async def test_a_slow_load_holds_up_no_answer(policies: Path) -> None:
    """Issue 2, S104: compiling happens beside the event loop; changes that come meanwhile make one more load."""
    release, loads = threading.Event(), []

    def slow(path: Path) -> Any:  # noqa: ANN401  # a stand-in
        loads.append(path)
        if len(loads) == 2:
            release.wait(20)
        return Loaded(Scripted(f"r{len(loads)}"))

    async with serving(policies=policies, load=slow) as running:
        running.server.reload()
        await until(lambda: len(loads) == 2)
        for _ in range(20):
            running.server.reload()
            assert await revision(running) == "r1"
        release.set()
        await revision_becomes(running, "r3")
        await asyncio.sleep(0)
        assert len(loads) == 3


async def test_a_change_between_reading_and_watching_is_not_lost(policies: Path) -> None:
    """Issue 2: the watch begins before the first load."""

    def meddling(path: Path) -> LoadedPolicy:
        loaded = load(path)
        if loaded.program.revision == "r1":
            (policies / "a.authz").write_text("r2")
        return loaded

    async with serving(policies=policies, load=meddling) as running:
        await revision_becomes(running, "r2")
