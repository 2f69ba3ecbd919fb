"""Secrets, from files and the environment: never from the configuration itself, which is copied and committed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from authz.json_form import shown
from authz.tokens.errors import TokenConfigError
from authz.tokens.settings import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from authz.tokens.settings import Table

MAX_SECRET: Final = 16 * 1024
"""Bytes of a secret."""


def read_secret(table: Table, name: str, folder: Path) -> bytes:
    """Read the secret that `NAME_file` or `NAME_env` names; b"" where neither is given.

    A line break at a file's end is not part of it. What is wrong is noted as a problem of the
    table, which never holds any of the secret.
    """
    by_file, by_env = f"{name}_file", f"{name}_env"
    if table.has(name):
        table.ignore(name)
        table.problem(f"`{name}` must not be in this file: name a file in `{by_file}`, or a variable in `{by_env}`")
    path, variable = table.text(by_file), table.text(by_env)
    if path and variable:
        table.problem(f"`{by_file}` and `{by_env}` cannot be given together")
    elif path:
        return _from_file(table, by_file, folder / path)
    elif variable:
        found = os.environb.get(os.fsencode(variable), b"")
        if not found:
            table.problem(f"`{by_env}`: the variable `{shown(variable)}` is not set, or is empty")
        return found
    return b""


def is_secret_given(table: Table, name: str) -> bool:
    """Say whether a secret is named, whatever is wrong with it."""
    return any(table.has(key) for key in (name, f"{name}_file", f"{name}_env"))


def _from_file(table: Table, setting: str, path: Path) -> bytes:
    try:
        found = read_bounded(path, MAX_SECRET, private=True)
    except TokenConfigError as error:
        table.problem(f"`{setting}`: {error}")
        return b""
    found = found.removesuffix(b"\n").removesuffix(b"\r")
    if not found:
        table.problem(f"`{setting}`: `{path}` is empty")
    return found
