"""Write the log: one line per record on stderr, nothing in it that could forge another line.

A record holds names, ids and outcomes. Attributes, arguments, context and tokens never enter it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import structlog

from authz.server.outlet import Outlet

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

    from authz.model import Decision, Request
    from authz.server.config import LogFormat, LogLevel

_STDERR: Final = 2
_MAX_TEXT: Final = 1_024
_MAX_NAMES: Final = 50
_FIRST: Final = ("timestamp", "level", "event")


def configure(format_: LogFormat, level: LogLevel) -> tuple[FilteringBoundLogger, Outlet]:
    """Set up structlog for this process; return the server's logger, and what writes its records and must be closed."""
    renderer: Processor = structlog.processors.JSONRenderer() if format_ == "json" else console_line
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

    def lost(count: int) -> str:
        record = stamp(None, "error", {"event": "records_lost", "records": count, "level": "error"})
        return str(renderer(None, "error", record))

    outlet = Outlet(_STDERR, lost)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: outlet,
        cache_logger_on_first_use=True,
    )
    logger: FilteringBoundLogger = structlog.get_logger("authz")
    return logger, outlet


def console_line(_logger: WrappedLogger, _method: str, record: EventDict) -> str:
    """Render a record for people: time, level, event, then every value by its Python literal.

    A literal has no line breaks, terminal escapes or bidirectional controls.
    """
    head = f"{record['timestamp']} {record['level']:<7} {record['event']}"
    return " ".join((head, *(f"{name}={value!r}" for name, value in record.items() if name not in _FIRST)))


def log_decision(
    logger: FilteringBoundLogger,
    request: Request,
    decision: Decision,
    *,
    request_id: str,
    decision_id: str,
    latency_us: int,
) -> None:
    """Write the one record of a decision."""
    resource = request.resource
    logger.info(
        "decision",
        request_id=request_id,
        decision_id=decision_id,
        subject=request.subject,
        anonymous=request.anonymous,
        tenant=request.tenant,
        client=request.client.id if request.client else None,
        tool=request.tool,
        resource_type=resource.type if resource else None,
        resource_id=_cut(resource.id) if resource else None,
        decision=decision.effect.name,
        reason=decision.reason.name,
        rules=decision.rules[:_MAX_NAMES],
        policy_revision=decision.policy_revision,
        latency_us=latency_us,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
