"""Where decision points inside the process tell what becomes of their policy: `logging`, as libraries do.

stdout belongs to MCP where a server speaks over stdio, so nothing here may ever write to it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

NAME: Final = "authz.pep"


def standard_logger() -> FilteringBoundLogger:
    """Return a logger whose records go to `logging` under `authz.pep`, each as one line of JSON."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        logging.getLogger(NAME),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger
