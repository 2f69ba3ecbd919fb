"""Who calls, as the enforcement point knows it: from a validated token, or from configuration where there is none."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from authz.model import Attributes, Client
from authz.tokens.asking import CLAIMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.tokens.caller import Caller


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller. Without a subject it is anonymous: only what is `public` is open to it."""

    subject: str = ""
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tenant: str = ""
    client: str = ""
    """The OAuth client: `azp` or `client_id`."""
    attributes: Attributes = field(default_factory=dict)
    issuer: str = ""

    @property
    def agent(self) -> Client | None:
        """Return the client as a request names it."""
        return Client(self.client) if self.client else None


ANONYMOUS: Final = Identity()


def identity_of(caller: Caller) -> Identity:
    """Return the identity that a validated token stands for."""
    return Identity(
        subject=caller.subject,
        scopes=caller.scopes,
        roles=caller.roles,
        tenant=caller.tenant,
        client=caller.client,
        attributes={CLAIMS: dict(caller.claims)} if caller.claims else {},
        issuer=caller.issuer,
    )


_current: Final[ContextVar[Identity | None]] = ContextVar("authz_identity", default=None)


def caller() -> Identity:
    """Return who makes the call that is being answered, inside a guarded tool, resource or prompt (S8).

    Raises `LookupError` outside of one.
    """
    found = _current.get()
    if found is None:
        raise LookupError("nobody is calling: `caller()` is for what a guard has let through")
    return found


@contextmanager
def calling(identity: Identity) -> Iterator[None]:
    """Let `caller()` return this identity meanwhile."""
    token = _current.set(identity)
    try:
        yield
    finally:
        _current.reset(token)
