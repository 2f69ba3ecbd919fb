"""Serve the version that was activated last in a store, by whichever process, and follow it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authz.errors import StoreError
from authz.pap.versions import active_policy
from authz.server.config import ConfigError
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from authz.pap.loader import LoadedPolicy

_POLL_S: Final = 0.1
"""How often the store is asked for its active version; one indexed read."""
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ActiveVersion:
    """The active version as a source of policy (`authz.server.reload.Source`)."""

    path: Path

    @property
    def name(self) -> str:
        """Return where the policy comes from, for the log."""
        return f"the active version in {self.path}"

    def load(self) -> LoadedPolicy:
        """Load the active version. Raises `ConfigError` where none was ever activated."""
        store = open_store(self.path, readonly=True)
        try:
            active = active_policy(store.policies)
        finally:
            store.close()
        if active is None:
            raise ConfigError(f"no policy is active in `{self.path}`: `authz-eval policy put PATH --activate`")
        return active[1]

    async def watch(self, changed: Callable[[], None], logger: FilteringBoundLogger) -> None:
        """Ask the store for its last activation; one that does not answer is asked again."""
        store = open_store(self.path, readonly=True)
        try:
            seen = store.policies.active()
            while True:
                await asyncio.sleep(_POLL_S)
                try:
                    active = store.policies.active()
                except StoreError as error:
                    logger.warning("policy_not_watched", problem=str(error), help="the store is asked again")
                    await asyncio.sleep(_RETRY_S)
                    continue
                if active != seen:
                    seen = active
                    changed()
        finally:
            store.close()
