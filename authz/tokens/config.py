"""A TOML file → the issuers of tokens, and how what they say is kept; what would weaken a check is refused.

Each setting's name, meaning and default is in `docs/tokens.md`. All problems are told at once.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003  # the type of a field, which dataclasses look at
from typing import Final
from urllib.parse import urlsplit

from authz.tokens.addresses import private_networks
from authz.tokens.endpoints import is_loopback
from authz.tokens.errors import TokenConfigError
from authz.tokens.issuer import Issuer  # noqa: TC001  # the type of a field, which dataclasses look at
from authz.tokens.issuer_checks import MIN_SECRET
from authz.tokens.issuer_table import read_issuer
from authz.tokens.secret import is_secret_given, read_secret
from authz.tokens.settings import Table, read_bounded

MAX_FILE: Final = 1024 * 1024
"""Bytes of the file."""
MAX_ISSUERS: Final = 256


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """How much of what was validated is kept."""

    entries: int = 10_000


@dataclass(frozen=True, slots=True)
class FailureSettings:
    """How many tokens may be refused within `window` seconds before the next are refused unseen."""

    per_source: int = 100
    per_issuer: int = 10_000
    window: float = 60.0
    sources: int = 10_000
    """Sources that are counted one by one; more of them share counters."""


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """A Redis or Valkey that replicas share."""

    url: str
    """`rediss://host:port/0`; `redis://` on loopback; `unix:///path`. It holds no password."""
    username: str = ""
    password: str = field(default="", repr=False)
    prefix: str = "authz"
    timeout: float = 0.5
    ca_file: Path | None = None
    key: bytes = field(default=b"", repr=False)
    """The same for all replicas: names are hashed with it, and what is shared is sealed with it."""
    share_cache: bool = False
    """Whether validated tokens are shared, beside revocations."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Everything that the file says."""

    issuers: tuple[Issuer, ...]
    cache: CacheSettings = CacheSettings()
    failures: FailureSettings = FailureSettings()
    redis: RedisSettings | None = None
    max_token_bytes: int = 16 * 1024
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, for issuers of one's own."""
    fresh_tools: tuple[str, ...] = ()
    """Patterns of tools for which a token is validated anew, whatever is remembered of it."""
    networks: tuple[str, ...] = ()
    """Private networks where issuers may be, such as `10.20.0.0/16`; no others are ever connected to."""

    @property
    def loopback_http(self) -> bool:
        """Say whether any issuer is a development one, on loopback without TLS."""
        return any(issuer.insecure_loopback for issuer in self.issuers)


def load_issuers(path: Path) -> Tokens:
    """Read a file.

    Raises `TokenConfigError` with all problems: what cannot be read, unknown settings, and what
    would weaken a check.
    """
    try:
        text = read_bounded(path, MAX_FILE).decode()
    except UnicodeDecodeError as error:
        raise TokenConfigError(f"`{path}` is not valid UTF-8 at byte {error.start + 1}") from None
    return read_tokens(text, path.parent, str(path))


def read_tokens(text: str, folder: Path, name: str = "") -> Tokens:
    """Read TOML text; relative paths in it start from `folder`, and problems from `name`. Raises `TokenConfigError`."""
    start = f"{name}: " if name else ""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise TokenConfigError(f"{start}this is not TOML: {told[:1].lower()}{told[1:]}") from None
    problems: list[str] = []
    top = Table(values, "", problems)
    tokens = Tokens(
        issuers=_issuers(top, folder, problems),
        cache=_cache(Table(top.table("cache"), "[cache]", problems)),
        failures=_failures(Table(top.table("failures"), "[failures]", problems)),
        redis=_redis(Table(top.table("redis"), "[redis]", problems), folder) if top.has("redis") else None,
        max_token_bytes=top.whole("max_token_bytes", 16 * 1024, 1_024, 64 * 1024, "bytes"),
        ca_file=_ca_file(top, folder),
        fresh_tools=top.texts("fresh_tools"),
        networks=_networks(top),
    )
    top.ignore("redis")
    top.finish()
    if problems:
        raise TokenConfigError(*(start + problem for problem in problems))
    return tokens


def _issuers(top: Table, folder: Path, problems: list[str]) -> tuple[Issuer, ...]:
    given = top.tables("issuer")
    if not given:
        top.problem("names no issuer: begin a table with `[[issuer]]`")
    if len(given) > MAX_ISSUERS:
        top.problem(f"names more than {MAX_ISSUERS} issuers")
        given = given[:MAX_ISSUERS]
    found: dict[str, Issuer] = {}
    for number, values in enumerate(given, start=1):
        before = len(problems)
        issuer = read_issuer(values, f"[[issuer]] {number}", folder, problems)
        if issuer.issuer in found:
            problems.append(f"[[issuer]] {number}: `issuer` names `{issuer.issuer}`, as another table does")
        if len(problems) == before:
            found[issuer.issuer] = issuer
    _tell_apart(tuple(found.values()), problems)
    return tuple(found.values())


def _tell_apart(issuers: tuple[Issuer, ...], problems: list[str]) -> None:
    """Note where it would not be clear whose a token is."""
    asked = [issuer.issuer for issuer in issuers if issuer.introspection is not None]
    if len(asked) > 1:
        problems.append(
            f"`{asked[0]}` and `{asked[1]}` both have an `introspection`: an opaque token does not say whose it is, "
            "so only one issuer can be asked"
        )
    flags = {issuer.insecure_loopback: issuer.issuer for issuer in issuers}
    if len(flags) > 1:  # requests to all issuers go through one client, which then would go to loopback for any
        problems.append(
            f"`{flags[True]}` has `insecure_loopback`, and `{flags[False]}` has not: "
            "keep development issuers in a file of their own"
        )
    for template in issuers:
        before, brace, after = template.issuer.partition("{tenantid}")
        for other in issuers if brace else ():
            middle = len(before) + len(after)
            fits = other.issuer.startswith(before) and other.issuer.endswith(after) and len(other.issuer) > middle
            if other is not template and fits:
                problems.append(
                    f"`{other.issuer}` is also an issuer of `{template.issuer}`: "
                    "remove it, and name its tenant in `tenants` there"
                )


def _cache(table: Table) -> CacheSettings:
    usual = CacheSettings()
    found = CacheSettings(
        entries=table.whole("entries", usual.entries, 1, 1_000_000, "entries"),
    )
    table.finish()
    return found


def _failures(table: Table) -> FailureSettings:
    usual = FailureSettings()
    found = FailureSettings(
        per_source=table.whole("per_source", usual.per_source, 1, 1_000, "failures"),
        per_issuer=table.whole("per_issuer", usual.per_issuer, 1, 100_000, "failures"),
        window=table.number("window", usual.window, 1, 3_600),
        sources=table.whole("sources", usual.sources, 100, 100_000, "sources"),
    )
    table.finish()
    return found


def _redis(table: Table, folder: Path) -> RedisSettings:
    usual = RedisSettings(url="")
    url = table.text("url")
    if problem := _redis_problem(url):
        table.problem(problem)
    key = read_secret(table, "key", folder)
    if not is_secret_given(table, "key"):
        table.problem("has no key: name a file that all replicas share in `key_file`, or a variable in `key_env`")
    elif key and len(key) < MIN_SECRET:
        table.problem(f"the key has {len(key)} bytes, and must have {MIN_SECRET}: `openssl rand -base64 48`")
    found = RedisSettings(
        url=url,
        username=table.text("username"),
        password=read_secret(table, "password", folder).decode(errors="replace"),
        prefix=table.text("prefix", usual.prefix),
        timeout=table.number("timeout", usual.timeout, 0.05, 10),
        ca_file=_ca_file(table, folder),
        key=key,
        share_cache=table.flag("share_cache"),
    )
    table.finish()
    return found


def _redis_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "`url` is no URL: use `rediss://host:6379/0`"
    if not url:
        return "`url` is missing: `rediss://host:6379/0`, or `unix:///run/redis.sock`"
    if parts.username is not None or parts.password is not None:
        return "`url` must hold no user and no password: use `username`, and `password_file` or `password_env`"
    if parts.query or parts.fragment:  # the client reads settings from there, such as one that trusts any certificate
        return "`url` must not hold `?` or `#`"
    match parts.scheme:
        case "unix":
            return "" if parts.path.startswith("/") and not host else "`url` must be `unix:///path` for a socket"
        case "rediss":
            return "" if host else "`url` names no host"
        case "redis":
            if is_loopback(host):
                return ""
            return "`url` is not encrypted: use `rediss://`; `redis://` is for loopback only"
        case _:
            return "`url` must begin with `rediss://`, or with `unix://` for a socket"


def _networks(table: Table) -> tuple[str, ...]:
    found = table.texts("networks")
    try:
        private_networks(found)
    except TokenConfigError as error:
        table.problem(f"`networks`: {error}")
    return found


def _ca_file(table: Table, folder: Path) -> Path | None:
    found = table.text("ca_file")
    if not found:
        return None
    path = folder / found
    if not path.is_file():
        table.problem(f"`ca_file`: `{path}` is no file")
    return path
