"""What the HTTP gate needs of the settings, with everything filled in that may be left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authz.pep.config import GuardConfigError
from authz.pep.uris import canonical

if TYPE_CHECKING:
    from authz.pep.config import GuardConfig
    from authz.pep.http.challenge import Mode
    from authz.tokens.config import Tokens


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The settings of a server that is reached over HTTP; see `GuardConfig`."""

    resource: str
    audiences: frozenset[str]
    """Canonical, as they are compared."""
    realm: str
    authorization_servers: tuple[str, ...]
    """At least one (R2)."""
    scopes_supported: tuple[str, ...] | None
    challenge: Mode
    max_body: int
    open_paths: frozenset[str]
    allowed_origins: frozenset[str]
    fresh_tools: tuple[str, ...]
    """Of the issuers' file."""


def gate_settings(config: GuardConfig, issuers: Tokens | None) -> GateSettings:
    """Fill in what may be left out. Raises `GuardConfigError` for what may not: `resource`, and issuers of tokens."""
    problems = []
    if not config.resource:
        problems.append(
            '`resource` is missing: this server\'s own URL, as in `resource = "https://mcp.example/mcp"`; '
            "a server that is not reached over HTTP takes `protect_local`"
        )
    if issuers is None:
        problems.append("`issuers` is missing: the file that says whose tokens count, without which anyone could call")
    servers = config.authorization_servers or _servers(issuers)
    if issuers is not None and not servers:
        problems.append("`authorization_servers` is missing: where clients get tokens, which no issuer's name says")
    if problems or issuers is None:
        raise GuardConfigError(*problems)
    return GateSettings(
        resource=config.resource,
        audiences=accepted_audiences(config),
        realm=config.realm or urlsplit(config.resource).netloc,
        authorization_servers=servers,
        scopes_supported=config.scopes_supported,
        challenge=config.challenge,
        max_body=config.max_body,
        open_paths=config.open_paths,
        allowed_origins=config.allowed_origins,
        fresh_tools=issuers.fresh_tools,
    )


def accepted_audiences(config: GuardConfig) -> frozenset[str]:
    """Return what a token must be issued for, one of these, in canonical form."""
    return frozenset(canonical(one) for one in config.audiences or {config.resource})


def _servers(issuers: Tokens | None) -> tuple[str, ...]:
    """Return the issuers that are addresses; a template is none, since it stands for many."""
    found = issuers.issuers if issuers is not None else ()
    return tuple(
        one.issuer for one in found if one.issuer.startswith(("https://", "http://")) and "{" not in one.issuer
    )
