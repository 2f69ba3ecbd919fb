"""The two doors to a policy history, a store's file and a running server, behind one Protocol."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

import click
from click.core import ParameterSource

from authz.cli.stored import key_option
from authz.pap import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from authz.model import Act
    from authz.pap.history import Activation, NewVersion, PolicyStore, PolicyText, PolicyVersion

    Command: TypeAlias = Callable[..., Any]

_POLL_S: Final = 0.1


class Door(Protocol):
    """What the commands ask for. Raised are `AuthzError`s."""

    def put(self, version: NewVersion, act: Act) -> PolicyVersion:
        """Keep a version."""

    def versions(self) -> tuple[Sequence[PolicyVersion], Activation | None]:
        """Return all versions, the newest first, and what decides now."""

    def version(self, number: int | None) -> tuple[PolicyVersion, Sequence[PolicyText]]:
        """Return one version with its files; None is the active one."""

    def activate(self, number: int, act: Act) -> Activation:
        """Let a version decide."""

    def rollback(self, number: int | None, act: Act) -> Activation:
        """Let an older version decide again; None is the one before."""

    def watch(self) -> Iterator[Activation]:
        """Yield the active version, and each activation as it comes, without end."""


class StoreDoor:
    """A store's file, used directly."""

    def __init__(self, store: PolicyStore) -> None:
        """Use this store."""
        self._store = store

    def put(self, version: NewVersion, act: Act) -> PolicyVersion:
        """Keep a version."""
        return versions.keep(self._store, version, act)

    def versions(self) -> tuple[Sequence[PolicyVersion], Activation | None]:
        """Return all versions, and what decides now."""
        return self._store.versions(), self._store.active()

    def version(self, number: int | None) -> tuple[PolicyVersion, Sequence[PolicyText]]:
        """Return one version with its files."""
        return versions.version_files(self._store, versions.number_or_active(self._store, number))

    def activate(self, number: int, act: Act) -> Activation:
        """Let a version decide."""
        return versions.activate(self._store, number, act)[0]

    def rollback(self, number: int | None, act: Act) -> Activation:
        """Let an older version decide again."""
        return versions.rollback(self._store, number, act)[0]

    def watch(self) -> Iterator[Activation]:
        """Ask the store again and again."""
        seen: int | None = None
        while True:
            for activation in versions.activations_since(self._store, seen):
                seen = activation.sequence
                yield activation
            time.sleep(_POLL_S)


class Where(NamedTuple):
    """Which door was asked for."""

    store: Path | None
    key: Path | None
    server: str | None
    token_file: Path | None


_OPTIONS: Final = (
    click.option(
        "--store",
        envvar="AUTHZ_STORE",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The store.  [env: AUTHZ_STORE]",
    ),
    key_option,
    click.option(
        "--server",
        metavar="ADDRESS",
        help="Ask the administration listener of a running server: `unix:/PATH` or `127.0.0.1:PORT`.",
    ),
    click.option(
        "--token-file",
        envvar="AUTHZ_ADMIN_TOKEN_FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The administration token for `--server`.  [env: AUTHZ_ADMIN_TOKEN_FILE]",
    ),
)


def door_options(command: Command) -> Command:
    """Give a command the options that say which door, as one `where` argument."""

    @functools.wraps(command)
    def with_where(**given: Any) -> Any:  # noqa: ANN401  # click passes what the command asks for
        return command(where=_where(**{name: given.pop(name) for name in Where._fields}), **given)

    for option in reversed(_OPTIONS):
        with_where = option(with_where)
    return with_where


def _where(store: Path | None, key: Path | None, server: str | None, token_file: Path | None) -> Where:
    if server is None:
        if store is None:
            raise click.UsageError("give either `--store` or `--server`")
        return Where(store, key, None, None)
    if click.get_current_context().get_parameter_source("store") is ParameterSource.COMMANDLINE:
        raise click.UsageError("give either `--store` or `--server`, not both")
    if not is_local(server):
        raise click.UsageError(
            f"`--server` must be `unix:/PATH` or a port of this machine, not `{server}`: "
            "administration is not reached over a network"
        )
    return Where(None, None, server, token_file)


def is_local(address: str) -> bool:
    """Say whether an address leads nowhere but to this machine: the token is sent as it is."""
    if address.startswith("unix:"):
        return True
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return False
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    return host == "localhost"


@contextlib.contextmanager
def opened(where: Where, *, writes: bool = False, create: bool = False) -> Iterator[Door]:
    """Open the door; `create` makes a store where there is none. Raised are `StoreError` and `LoadError`."""
    if where.server is not None:
        from authz.cli.policy_remote import ServerDoor  # noqa: PLC0415  # gRPC is slow to import

        with contextlib.closing(ServerDoor(where.server, where.token_file)) as door:
            yield door
        return
    from authz.stores.sqlite.store import open_store  # noqa: PLC0415  # as above

    assert where.store is not None  # _where() has seen to it
    new = create and not where.store.exists()
    store = open_store(where.store, key=where.key, create=create, readonly=not writes)
    with contextlib.closing(store):
        if new:
            click.echo(f"created the store `{where.store}`, and the key that signs its log", err=True)
        yield StoreDoor(store.policies)
