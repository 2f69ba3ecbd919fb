"""Follow the policy: all or nothing, and the last good one stays.

Loading runs in a thread beside the event loop. However many changes come meanwhile, one more load
follows, so the newest state always wins and a storm of changes costs no more than loading does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from watchfiles import awatch

from authz.errors import AuthzError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from authz.lang.diagnostics import Diagnostic
    from authz.pap.loader import LoadedPolicy
    from authz.pdp.engine import Engine
    from authz.server.config import Config

    Load = Callable[[Path], LoadedPolicy]

T = TypeVar("T")

_MAX_DIAGNOSTICS: Final = 50
_DEBOUNCE_MS: Final = 400
_STEP_MS: Final = 50
_RETRY_S: Final = 1.0


class Source(Protocol):
    """Where a policy comes from."""

    @property
    def name(self) -> str:
        """Return what to call it in the log."""

    def load(self) -> LoadedPolicy:
        """Return the policy as it is now. Called in a thread; raises an `AuthzError` where there is none."""

    async def watch(self, changed: Callable[[], None], logger: FilteringBoundLogger) -> None:
        """Call `changed` after every change, until cancelled; watching begins before this first gives way."""


class Told(Protocol):
    """Whoever has to know whether the newest policy is the one that decides."""

    async def policy(self, *, current: bool) -> None:
        """Hear whether it is."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A policy directory, or one policy file, as a source."""

    path: Path
    load_path: Load

    @property
    def name(self) -> str:
        """Return the path."""
        return str(self.path)

    def load(self) -> LoadedPolicy:
        """Load what is on disk."""
        return self.load_path(self.path)

    async def watch(self, changed: Callable[[], None], logger: FilteringBoundLogger) -> None:
        """Watch the directory; one that was never there is not waited for."""
        if self.path.exists():
            await watch(self.path, changed, logger)


def source(config: Config, load: Load) -> Source:
    """Return where the settings say that the policy comes from; `load` loads a directory."""
    if config.policies is not None:
        return Folder(config.policies, load)
    from authz.server.following import ActiveVersion  # noqa: PLC0415  # most servers run without a store

    assert config.store is not None  # the settings say one or the other
    return ActiveVersion(config.store.path)


class Reloader:
    """Loads the policy again, and lets the engine have it if it is whole."""

    def __init__(
        self, load: Callable[[], LoadedPolicy], engine: Engine, health: Told, logger: FilteringBoundLogger
    ) -> None:
        """Load by `load`, into `engine`."""
        self._load = load
        self._engine = engine
        self._health = health
        self._logger = logger
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> bool:
        """Load once; return whether what is there now decides."""
        async with self._one_at_a_time:  # else an older policy that takes longer to load could win
            try:
                loaded = await self.load()
            except Exception as error:  # noqa: BLE001  # whatever a policy does to us, the last good one goes on deciding
                self.tell_broken(error)
                await self._health.policy(current=False)
                return False
            await self._health.policy(current=True)
            if self.take(loaded):
                await log_warnings(self._logger, loaded)
            return True

    async def load(self) -> LoadedPolicy:
        """Return what is there now, which does not decide yet. Raises whatever a policy does to us."""
        return await in_thread(self._load)

    def take(self, loaded: LoadedPolicy) -> bool:
        """Decide by a policy from now on; return whether it is another than before."""
        before, after = self._engine.program.revision, loaded.program.revision
        if before == after:
            self._logger.debug("policy_unchanged", policy_revision=after)
            return False
        self._engine.swap(loaded.program)
        self._logger.info("policy_reloaded", policy_revision=after, before=before)
        return True

    def tell_broken(self, error: Exception) -> None:
        """Write down why a policy was not taken."""
        log_broken(self._logger, error, still=self._engine.program.revision)


async def watch(path: Path, changed: Callable[[], None], logger: FilteringBoundLogger) -> None:
    """Call `changed` after every change below a policy directory, or of a policy file.

    The watch is in place when this first gives way to the event loop. When the directory goes away,
    it is looked for until it is back.
    """
    while True:
        try:
            await _watch_once(path, changed)
        except (OSError, RuntimeError) as error:  # gone, or the system has no watches left
            logger.warning("policy_not_watched", path=str(path), problem=str(error), help="SIGHUP reloads the policy")
        changed()
        await asyncio.sleep(_RETRY_S)
        while _identity(path) is None:  # noqa: ASYNC110  # nobody tells when a directory comes into being
            await asyncio.sleep(_RETRY_S)
        changed()


async def _watch_once(path: Path, changed: Callable[[], None]) -> None:
    """Watch until the directory is no longer the one that the watch began with."""
    folder = path if path.is_dir() else path.parent  # noqa: ASYNC240  # local and quick; editors replace a file, and a watch on it would end
    began = _identity(folder)
    async for _ in awatch(folder, watch_filter=None, debounce=_DEBOUNCE_MS, step=_STEP_MS):
        changed()
        if _identity(folder) != began:
            return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # follows links, as the watch does
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own, which does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not done.done():  # cancelled meanwhile
            outcome()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # it is raised again where it is awaited
            failure = error
            outcome = lambda: done.set_exception(failure)  # noqa: E731  # named, it would read no better
        else:
            outcome = lambda: done.set_result(result)  # noqa: E731  # as above
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:  # the loop has closed: nobody waits any more
            return

    threading.Thread(target=run, daemon=True, name="authz-load").start()
    return await done


def log_broken(logger: FilteringBoundLogger, error: Exception, *, still: str) -> None:
    """Write down why a policy was not taken, every finding on its own line."""
    match error:
        case PolicyError():
            _log_findings(logger, "policy_error", error.diagnostics)
            logger.error("policy_broken", problem=str(error), errors=len(error.diagnostics), still_serving=still)
        case AuthzError():
            logger.error("policy_broken", problem=str(error), still_serving=still)
        case _:
            logger.error("policy_broken", problem="defect", still_serving=still, exc_info=error)


async def log_warnings(logger: FilteringBoundLogger, loaded: LoadedPolicy) -> None:
    """Write down what `lint` says of a policy that was taken; finding it out happens in a thread."""
    try:
        warnings = await in_thread(lambda: loaded.warnings)
    except Exception:  # advice must never keep a valid policy from deciding
        logger.exception("defect", method="lint")
        return
    _log_findings(logger, "policy_warning", warnings)


def _log_findings(logger: FilteringBoundLogger, event: str, findings: Sequence[Diagnostic]) -> None:
    write = logger.warning if event == "policy_warning" else logger.error
    for finding in findings[:_MAX_DIAGNOSTICS]:
        line, column = finding.source.place(finding.span.start)
        write(
            event,
            code=finding.code,
            message=finding.message,
            file=finding.source.path,
            line=line,
            column=column,
            help=finding.help,
        )
    if len(findings) > _MAX_DIAGNOSTICS:
        write(event, message=f"and {len(findings) - _MAX_DIAGNOSTICS} more")
