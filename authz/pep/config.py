"""Everything that an operator sets for the guard of one MCP server, and what is refused of it.

Each setting's name, meaning and default is in `docs/mcp.md`. All problems are told at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003  # the type of a field, which dataclasses look at
from typing import Final

from authz.errors import AuthzError, InvalidRequestError
from authz.json_form import shown
from authz.model import Attributes, Request
from authz.pep.guard import ListMode  # noqa: TC001  # as above
from authz.pep.http.challenge import Mode, is_quotable, writable
from authz.pep.identity import Identity
from authz.pep.mapping import Rule  # noqa: TC001  # as above
from authz.pep.redaction import REDACTED
from authz.pep.uris import canonical
from authz.server.config import DecisionLogConfig, StoreConfig  # noqa: TC001  # as above
from authz.tokens.endpoints import is_loopback
from authz.tokens.errors import HttpError
from authz.tokens.urls import read_url

MIB: Final = 1024 * 1024
MAX_REMEMBER: Final = 60.0
"""Seconds that an ALLOW may be remembered."""

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s*]+\Z")


class GuardConfigError(AuthzError):
    """Raised when the settings of a guard cannot be used, or would weaken a check.

    `problems` holds every problem in one line each, which names the setting and what to do.
    """

    def __init__(self, *problems: str) -> None:
        """Use the first problem as the text, and say how many more there are."""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class PdpTls:
    """How the server that decides proves who it is, and the guard to it: files in PEM."""

    ca: Path
    """Whose certificates count."""
    cert: Path | None = None
    key: Path | None = None
    name: str = ""
    """What the server's certificate names, where that is not how it is addressed."""


@dataclass(frozen=True, slots=True)
class Stdio:
    """Who calls where there is no HTTP, so that credentials come from the environment (R1).

    Either a token, in the variable `token_env`, or a subject, its name here or in the variable
    `subject_env`, with everything else that is said of it here.
    """

    subject: str = ""
    subject_env: str = ""
    token_env: str = ""
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tenant: str = ""
    client: str = ""
    attributes: Attributes = field(default_factory=dict)

    def caller(self, subject: str) -> Identity:
        """Return the caller of this name."""
        return Identity(subject, self.scopes, self.roles, self.tenant, self.client, self.attributes)


@dataclass(frozen=True, slots=True)
class Limits:
    """How often one caller may call: `calls` at once, and in `seconds` on average."""

    calls: int
    seconds: float
    callers: int = 10_000
    """Callers that are counted one by one; more of them share counters."""


@dataclass(frozen=True, slots=True)
class ObligationSettings:
    """How the guard meets obligations by itself; times in seconds."""

    redacted: str = REDACTED
    """What stands for content that cannot be looked into."""
    approval_timeout: float = 120.0
    log_notices: bool = False
    """Whether a notice in the log is enough for `notify`; without, it needs a handler of yours."""


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """The settings of one guard. Sizes are in bytes, times in seconds.

    Exactly one of `pdp`, `policies` and `follow` says who decides: a server (any of its replicas),
    this process by a policy directory, or this process by what a server (any of them) shares with it.
    Raises `GuardConfigError` for what cannot be, or would weaken a check.
    """

    pdp: tuple[str, ...] = ()
    policies: Path | None = None
    follow: tuple[str, ...] = ()
    pdp_tls: PdpTls | None = None
    """Of `pdp` and `follow`; without, they must be on this machine."""
    resource: str = ""
    """This server's identifier and address (RFC 8707); HTTP needs it."""
    issuers: Path | None = None
    """Whose tokens count (`docs/tokens.md`); HTTP needs them."""
    audiences: frozenset[str] = frozenset()
    """What tokens must be issued for, one of these; none is `resource`."""
    realm: str = ""
    """"" is the resource's host."""
    authorization_servers: tuple[str, ...] = ()
    """None are the issuers."""
    scopes_supported: tuple[str, ...] | None = None
    """None is what the policy says (R13)."""
    challenge: Mode = "required"
    max_body: int = 4 * MIB
    open_paths: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    server: str = ""
    """What policies know the server by, `tool.server`; "" is its own name."""
    list_mode: ListMode = "grantable"
    deadline: float = 0.25
    remember: float = 0.0
    """For how long an ALLOW is remembered; 0 is not at all."""
    stdio: Stdio | None = None
    limits: Limits | None = None
    decision_log: DecisionLogConfig | None = None
    """Of decisions in this process; a server keeps its own."""
    store: StoreConfig | None = None
    """Where the decision log is kept."""
    mapping: tuple[Rule, ...] = ()
    obligations: ObligationSettings = ObligationSettings()

    def __post_init__(self) -> None:
        """Refuse what cannot be used."""
        if problems := (*_who_decides(self), *_http(self), *_bounds(self), *_caller(self)):
            raise GuardConfigError(*problems)


def _who_decides(config: GuardConfig) -> list[str]:
    problems = []
    given = [name for name in ("pdp", "policies", "follow") if getattr(config, name)]
    if len(given) > 1:
        problems.append(f"`{given[0]}` and `{given[1]}` exclude each other: keep the one that decides")
    elif not given:
        problems.append(
            'nothing says who decides: `pdp = "unix:/run/authz.sock"` for a server, `policies = "policies"` for this '
            "process, or `follow` for this process by a server's policy"
        )
    if config.pdp_tls is not None:
        if config.policies is not None:
            problems.append("[pdp_tls] is of no use beside `policies`: nobody is asked")
        if (config.pdp_tls.cert is None) is not (config.pdp_tls.key is None):
            problems.append("[pdp_tls]: `cert` and `key` belong together")
    log = config.decision_log
    if log is None:
        return problems
    if config.pdp:
        problems.append("[decision_log] is of no use beside `pdp`: the server that decides keeps its own")
    if config.store is None and (log.mode == "required" or log.pseudonyms):
        problems.append(
            "[decision_log]: a required log, and pseudonyms, need `store`: "
            'a file alone does not tell what is in it for good; or say `mode = "best-effort"`'
        )
    if config.store is None and log.file is None:
        problems.append("[decision_log]: nothing says where it is kept: give `store`, or `file`")
    if log.pseudonyms and log.requests:
        problems.append("[decision_log]: `pseudonyms` and `requests` exclude each other: a request names its subject")
    return problems


def _http(config: GuardConfig) -> list[str]:
    problems = []
    if config.resource:
        problems += _resource_problems(config.resource)
    elif config.issuers is not None and not config.audiences:
        problems.append(
            "`resource` is missing: this server's own URL, without which tokens for other servers would do: "
            '`resource = "https://mcp.example/mcp"`'
        )
    if config.issuers is None and (config.audiences or config.authorization_servers):
        problems.append("`audiences` and `authorization_servers` are of no use without `issuers`")
    for name in config.authorization_servers:
        problems += [f"`authorization_servers`: `{shown(name)}` {problem}" for problem in _url_problems(name)]
    for scope in config.scopes_supported or ():
        if "*" in scope or not writable((scope,)):
            problems.append(
                f"`scopes_supported` holds `{shown(scope)}`: name the scopes of basic use, each by itself (R12, R13)"
            )
    for path in sorted(config.open_paths):
        if not path.startswith("/") or "?" in path or "#" in path or "*" in path:
            problems.append(f"`open_paths` holds `{shown(path)}`, which is no path: `/health`")
    for origin in sorted(config.allowed_origins):
        if not _ORIGIN.match(origin):
            problems.append(f"`allowed_origins` holds `{shown(origin)}`, which is no origin: `https://app.example`")
    if not is_quotable(config.realm):
        problems.append('`realm` must be plain text without `"` and `\\`')
    return problems


def _resource_problems(resource: str) -> list[str]:
    problems = _url_problems(resource)
    if problems:
        return [f"`resource` {problem}" for problem in problems]
    plain = canonical(resource)
    if resource != plain or "?" in resource:
        return [f"`resource` must be in its canonical form (RFC 8707): `{shown(plain.partition('?')[0])}`"]
    return []


def _url_problems(text: str) -> list[str]:
    try:
        url = read_url(text)
    except HttpError as error:
        return [f"cannot be used: {error}"]
    if url.scheme != "https" and not is_loopback(url.host):
        return ["is not encrypted: use `https`; `http` is for this machine only"]
    return []


def _bounds(config: GuardConfig) -> list[str]:
    limits, obligations = config.limits, config.obligations
    bounds = [
        ("`deadline`", config.deadline, 0.01, 5.0),
        ("`remember`", config.remember, 0.0, MAX_REMEMBER),
        ("`max_body`", config.max_body, 1_024, 64 * MIB),
        ("[obligations.approval]: `timeout`", obligations.approval_timeout, 1.0, 3_600.0),
    ]
    if limits is not None:
        bounds += [
            ("[limits]: `calls`", limits.calls, 1, 1_000_000),
            ("[limits]: `seconds`", limits.seconds, 0.1, 86_400.0),
            ("[limits]: `callers`", limits.callers, 1, 1_000_000),
        ]
    problems = [
        f"{name} must be from {low:g} to {high:g}" for name, value, low, high in bounds if not low <= value <= high
    ]
    if config.list_mode not in {"grantable", "callable"}:
        problems.append("`list_mode` must be `grantable` or `callable`")
    if config.challenge not in {"required", "missing"}:
        problems.append("`challenge` must be `required` or `missing`")
    return problems


def _caller(config: GuardConfig) -> list[str]:
    stdio = config.stdio
    if stdio is None:
        return []
    said = [name for name in ("subject", "subject_env", "token_env") if getattr(stdio, name)]
    if len(said) != 1:
        return ["[stdio]: exactly one of `subject`, `subject_env` and `token_env` says who calls"]
    if stdio.token_env:
        if config.issuers is None:
            return ["[stdio]: `token_env` needs `issuers`: who may sign the token"]
        if stdio != Stdio(token_env=stdio.token_env):
            return ["[stdio]: beside `token_env` nothing is said of the caller: the token says it"]
        return []
    caller = stdio.caller(stdio.subject or "somebody")
    try:
        Request(
            tool="any",
            subject=caller.subject,
            scopes=caller.scopes,
            roles=caller.roles,
            tenant=caller.tenant,
            client=caller.agent,
            subject_attributes=caller.attributes,
        )
    except InvalidRequestError as error:
        return [f"[stdio]: {error}"]
    return []
