"""A TOML file → the settings of a guard."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from authz.pep.config import (
    MAX_REMEMBER,
    MIB,
    GuardConfig,
    GuardConfigError,
    Limits,
    ObligationSettings,
    PdpTls,
    Stdio,
)
from authz.pep.mapping import PAGE, read_rules
from authz.server.config import DecisionLogConfig, StoreConfig
from authz.tokens.errors import TokenConfigError
from authz.tokens.settings import Table, read_bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.model import Attributes

MAX_FILE: Final = 1024 * 1024
"""Bytes of the file."""
_SOCKET: Final = "unix:"


def load_guard(path: str | Path) -> GuardConfig:
    """Read a file; relative paths in it start from its folder.

    Raises `GuardConfigError` with all problems: what cannot be read, unknown settings, and what
    would weaken a check.
    """
    path = Path(path)
    try:
        text = read_bounded(path, MAX_FILE).decode()
    except TokenConfigError as error:
        raise GuardConfigError(str(error)) from None
    except UnicodeDecodeError as error:
        raise GuardConfigError(f"`{path}` is not valid UTF-8 at byte {error.start + 1}") from None
    return read_guard(text, path.parent, str(path))


def read_guard(text: str, folder: Path, name: str = "") -> GuardConfig:
    """Read TOML text; relative paths in it start from `folder`, and problems from `name`. Raises `GuardConfigError`."""
    start = f"{name}: " if name else ""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise GuardConfigError(f"{start}this is not TOML: {told[:1].lower()}{told[1:]}") from None
    problems: list[str] = []
    settings = _settings(Table(values, "", problems, PAGE), folder, problems)
    try:
        config = GuardConfig(**settings)
    except GuardConfigError as error:
        problems += error.problems
    else:
        if not problems:
            return config
    raise GuardConfigError(*(start + problem for problem in dict.fromkeys(problems)))


def _settings(top: Table, folder: Path, problems: list[str]) -> dict[str, Any]:
    usual = GuardConfig(policies=folder)
    store, log = _log(top.below("decision_log"), folder) if top.has("decision_log") else (None, None)
    found = {
        "pdp": _targets(top, "pdp", folder),
        "policies": _path(top, "policies", folder),
        "follow": _targets(top, "follow", folder),
        "pdp_tls": _tls(top.below("pdp_tls"), folder) if top.has("pdp_tls") else None,
        "resource": top.text("resource"),
        "issuers": _file(top, "issuers", folder),
        "audiences": frozenset(top.texts("audiences")),
        "realm": top.text("realm"),
        "authorization_servers": top.texts("authorization_servers"),
        "scopes_supported": top.texts("scopes_supported") if top.has("scopes_supported") else None,
        "challenge": top.one_of("challenge", ("required", "missing")),
        "max_body": top.whole("max_body", usual.max_body, 1_024, 64 * MIB, "bytes"),
        "open_paths": frozenset(top.texts("open_paths")),
        "allowed_origins": frozenset(top.texts("allowed_origins")),
        "server": top.text("server"),
        "list_mode": top.one_of("list_mode", ("grantable", "callable")),
        "deadline": top.number("deadline", usual.deadline, 0.01, 5),
        "remember": top.number("remember", usual.remember, 0, MAX_REMEMBER),
        "stdio": _stdio(top.below("stdio")) if top.has("stdio") else None,
        "limits": _limits(top.below("limits")) if top.has("limits") else None,
        "decision_log": log,
        "store": store,
        "mapping": read_rules(top.tables("tools"), problems),
        "obligations": _obligations(top.below("obligations")),
    }
    top.ignore("pdp_tls", "stdio", "limits", "decision_log")
    top.finish()
    return found


def _targets(table: Table, key: str, folder: Path) -> tuple[str, ...]:
    """Read the address of a server, or a list of its replicas'; sockets start from the folder."""
    if isinstance(table.given(key), str):
        found = table.text(key)
        return (_target(found, folder),) if found else ()
    return tuple(_target(one, folder) for one in table.texts(key))


def _target(text: str, folder: Path) -> str:
    path = text.removeprefix(_SOCKET)
    if path == text or not path or path.startswith("/"):
        return text
    return f"{_SOCKET}{folder.absolute() / path}"


def _tls(table: Table, folder: Path) -> PdpTls:
    if not table.has("ca"):
        table.problem("`ca` is missing: the file with the certificates that count")
    found = PdpTls(
        ca=_file(table, "ca", folder) or folder,
        cert=_file(table, "cert", folder),
        key=_file(table, "key", folder),
        name=table.text("name"),
    )
    table.finish()
    return found


def _stdio(table: Table) -> Stdio:
    found = Stdio(
        subject=table.text("subject"),
        subject_env=table.text("subject_env"),
        token_env=table.text("token_env"),
        scopes=table.texts("scopes"),
        roles=table.texts("roles"),
        tenant=table.text("tenant"),
        client=table.text("client"),
        attributes=_attributes(table.table("attributes")),
    )
    table.finish()
    return found


def _attributes(values: Mapping[str, object]) -> Attributes:
    return values  # type: ignore[return-value]  # what is no JSON is refused with the caller that has it


def _limits(table: Table) -> Limits:
    for name in ("calls", "seconds"):
        if not table.has(name):
            table.problem(f"`{name}` is missing: so many `calls` in so many `seconds`")
    usual = Limits(100, 60.0)
    found = Limits(
        calls=table.whole("calls", usual.calls, 1, 1_000_000, "calls"),
        seconds=table.number("seconds", usual.seconds, 0.1, 86_400),
        callers=table.whole("callers", usual.callers, 1, 1_000_000, "callers"),
    )
    table.finish()
    return found


def _log(table: Table, folder: Path) -> tuple[StoreConfig | None, DecisionLogConfig]:
    path = _path(table, "store", folder)
    key = _path(table, "store_key", folder)
    if key is not None and path is None:
        table.problem("`store_key` is of no use without `store`")
    log = DecisionLogConfig(
        mode="best-effort" if table.one_of("mode", ("required", "best-effort")) == "best-effort" else "required",
        file=_path(table, "file", folder),
        attributes=table.texts("attributes"),
        requests=table.flag("requests"),
        pseudonyms=table.flag("pseudonyms"),
    )
    table.finish()
    return None if path is None else StoreConfig(path, key), log


def _obligations(table: Table) -> ObligationSettings:
    usual = ObligationSettings()
    redact, approval, notify = table.below("redact"), table.below("approval"), table.below("notify")
    found = ObligationSettings(
        redacted=redact.text("with", usual.redacted),
        approval_timeout=approval.number("timeout", usual.approval_timeout, 1, 3_600),
        log_notices=notify.flag("log"),
    )
    for one in (redact, approval, notify, table):
        one.finish()
    return found


def _path(table: Table, key: str, folder: Path) -> Path | None:
    found = table.text(key)
    return folder / found if found else None


def _file(table: Table, key: str, folder: Path) -> Path | None:
    path = _path(table, key, folder)
    if path is not None and not path.is_file():
        table.problem(f"`{key}`: `{path}` is no file")
    return path
