"""Make the decision log that the settings ask for: what it is kept in, where else it goes, who hears of losses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from authz.audit.records import Contents, loss_record
from authz.audit.sinks import JsonLines
from authz.audit.writer import Writer
from authz.server.config import ConfigError
from authz.server.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from authz.audit.appending import Keeping
    from authz.audit.sinks import Sink
    from authz.server.config import DecisionLogConfig

_STDOUT: Final = 1
STDOUT: Final = Path("-")
"""Stands for stdout where a file for the log is named."""


class Stream:
    """Writes lines to a descriptor as a sink of the log; a reader that stops reading holds nobody up."""

    def __init__(self, descriptor: int = _STDOUT) -> None:
        """Write to a descriptor; a line in their place says how many had to be dropped."""
        self._outlet = Outlet(descriptor, lambda count: loss_record(count, datetime.now(UTC)))

    def write(self, lines: Sequence[str]) -> int:
        """Have lines written soon, and return 0: what is dropped later, the outlet counts."""
        for line in lines:
            self._outlet.line(line)
        return 0

    def close(self) -> None:
        """Write what waits, but wait for no reader."""
        self._outlet.close()


def decision_log(
    config: DecisionLogConfig, open_log: Callable[[], Keeping] | None, logger: FilteringBoundLogger
) -> Writer:
    """Return what keeps the decisions; `start` it before the first and `close` it after the last.

    `open_log` opens the store for it, in its own thread; None where there is no store. Raises
    `ConfigError` for settings that cannot be used, `LoadError` for a file that cannot be written.
    """
    if config.mode == "required" and open_log is None:
        raise ConfigError("a required decision log needs `--store`: a file alone does not tell what is in it for good")
    try:
        contents = Contents(config.attributes, config.requests)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    sinks: tuple[Sink, ...] = ()
    if config.file is not None:
        sinks = (Stream() if config.file == STDOUT else JsonLines(config.file),)

    def alarm(problem: str, lost: int) -> None:
        logger.error("decision_log", problem=problem, lost=lost)

    return Writer(open_log, required=config.mode == "required", contents=contents, sinks=sinks, alarm=alarm)
