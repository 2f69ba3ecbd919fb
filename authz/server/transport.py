"""What carries the calls of the decision listener, and which of the two ways is taken.

`grpcio` serves everything, with or without TLS. `native` (the extra `authz[native]`) answers Check
and BatchCheck several times as fast and leaves the rest to grpcio behind it. It has no TLS and no
bound on the size of a message that is still coming, so it is for listeners that only this
machine's own processes can reach.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from authz.errors import AuthzError
from authz.server.config import ConfigError

if TYPE_CHECKING:
    from authz.server.config import Config

Way: TypeAlias = Literal["grpcio", "native"]


class TransportError(AuthzError):
    """Raised when a defect has ended what answers the calls."""


class Transport(Protocol):
    """A listener, and the calls on it."""

    @property
    def name(self) -> Way:
        """Return which way it is."""

    async def start(self) -> str:
        """Listen, and return the address. Raises `ListenError`."""

    @property
    def under_way(self) -> int:
        """Return how many calls have arrived and not ended."""

    @property
    def activity(self) -> int:
        """Return a number that grows with every call, so that a drain can wait until it rests."""

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, and end those under way after `grace` seconds; None ends them at once."""


def way(config: Config) -> Way:
    """Return the way that the settings come to. Raises `ConfigError` where `native` is asked for and cannot be."""
    if config.transport == "grpcio":
        return "grpcio"
    why_not = _why_not_native(config)
    if why_not is None:
        return "native"
    if config.transport == "native":
        raise ConfigError(why_not)
    return "grpcio"


def _why_not_native(config: Config) -> str | None:
    if config.tls is not None:
        return "the native transport has no TLS: leave `--transport native` out"
    if not config.listen.loopback:
        return (
            "the native transport is for this machine's own processes: listen on loopback or a Unix socket, "
            "or leave `--transport native` out"
        )
    if find_spec("pygrpc_native") is None:
        return 'the native transport is not installed: `pip install "authz[native]"`'
    return None
