"""Find the issuer that a token belongs to, by configuration alone, and connect it to its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from authz.json_form import shown
from authz.tokens.claims import TENANT_TEMPLATE, names_issuer
from authz.tokens.discovery import Discovery
from authz.tokens.errors import Refusal, TokenConfigError, refused
from authz.tokens.introspection import Introspector
from authz.tokens.issuer import Issuer  # noqa: TC001 (the type of a field, which dataclasses look at)
from authz.tokens.jwks import KeySource, RemoteKeys, SecretKey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from authz.tokens.http import Http


@dataclass(frozen=True, slots=True)
class Route:
    """An issuer, and what its tokens are validated with: its own keys only, its introspection, or both."""

    issuer: Issuer
    keys: KeySource | None
    introspector: Introspector | None
    under_way: tuple[Closing, ...] = ()

    async def close(self) -> None:
        """End the requests to this issuer."""
        for part in self.under_way:
            await part.close()


class Closing(Protocol):
    """What may have requests under way."""

    async def close(self) -> None:
        """End them."""


class Routes:
    """The routes by issuer. Raises `TokenConfigError` for none at all, and for two of one issuer."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Sort them by how they are found."""
        self.all = tuple(routes)
        self._exact = {route.issuer.issuer: route for route in self.all}
        self._templates = [route for route in self.all if TENANT_TEMPLATE in route.issuer.issuer]
        self._opaque = [route for route in self.all if route.introspector is not None]
        if not self.all:
            raise TokenConfigError("no issuer is configured: no token could be accepted")
        if len(self._exact) < len(self.all):
            raise TokenConfigError("an issuer is configured twice: which settings count would be chance")

    @property
    def take_opaque(self) -> bool:
        """Whether any issuer can be asked about opaque tokens."""
        return bool(self._opaque)

    def of_claims(self, claims: Mapping[str, object]) -> Route:
        """Return the route of the issuer that a JWT claims to be from. Raises `TokenError`."""
        claimed = claims.get("iss")
        if claimed is None:
            raise refused(Refusal.MISSING_CLAIM, "`iss` is missing")
        if not isinstance(claimed, str):
            raise refused(Refusal.INVALID_CLAIM, "`iss` is not text")
        route = self._exact.get(claimed)
        if route is not None and names_issuer(claimed, claims.get("tid"), route.issuer):
            return route
        for route in self._templates:
            if names_issuer(claimed, claims.get("tid"), route.issuer):
                return route
        raise refused(Refusal.UNKNOWN_ISSUER, f"`iss` names no configured issuer: `{shown(claimed)}`")

    def of_opaque(self) -> Route:
        """Return the one route that opaque tokens take; their text says nothing of it. Raises `TokenError`."""
        if len(self._opaque) != 1:
            raise refused(
                Refusal.UNKNOWN_ISSUER,
                f"{len(self._opaque)} issuers have introspection: opaque tokens need exactly one",
            )
        return self._opaque[0]


def connect(issuer: Issuer, http: Http, keys: KeySource | None, report: Callable[[str], None]) -> Route:
    """Connect an issuer to where its keys and its introspection are; `keys` take the place of its own.

    `report` gets a line for the operator about each key that is left out and each request that fails.
    """
    discovery = Discovery(issuer.issuer, http, observe=report) if issuer.discovery else None
    under_way: list[Closing] = [discovery] if discovery is not None else []
    if keys is None and issuer.secret:
        keys = SecretKey(issuer.secret, issuer.algorithms)
    elif keys is None and issuer.algorithms:
        moved = discovery.doubt if discovery is not None else _stay
        where = discovery.jwks_uri if discovery is not None else _always(issuer.jwks_uri)
        keys = remote = RemoteKeys(where, http, issuer.algorithms, moved=moved, observe=report)
        under_way.append(remote)
    introspector = None
    if issuer.introspection is not None:
        # Where configuration names an endpoint, nobody is asked for it.
        where = discovery.introspection_endpoint if discovery is not None else _always(issuer.introspection.endpoint)
        introspector = Introspector(issuer, http, where)
    return Route(issuer, keys, introspector, tuple(under_way))


def _always(address: str) -> Callable[[], Awaitable[str]]:
    async def where() -> str:
        return address

    return where


def _stay() -> None:
    """Do nothing about an address that is gone: configuration says that it is there."""
