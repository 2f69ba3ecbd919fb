"""A table of settings, read key by key; every problem is noted, so that all of them are told at once."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from authz.json_form import shown
from authz.tokens.errors import TokenConfigError

if TYPE_CHECKING:
    from pathlib import Path

MAX_TEXT: Final = 2_048
"""Characters of one setting."""


class Table:
    """One table: each method reads one setting, and gives a harmless value where there is a problem."""

    def __init__(
        self, values: Mapping[str, object], name: str, problems: list[str], page: str = "docs/tokens.md"
    ) -> None:
        """Read these values; problems are noted as the table's, by this name. `page` names all settings."""
        self._values = values
        self._page = page
        self._name = name
        self._known: list[str] = []
        self._problems = problems

    def problem(self, text: str) -> None:
        """Note a problem of this table, on one line: a key may hold any character."""
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        self._problems.append(f"{self._name}: {text}" if self._name else text)

    def has(self, key: str) -> bool:
        """Say whether a setting is given."""
        return key in self._values

    def keys(self) -> tuple[str, ...]:
        """Return the names of what is given."""
        return tuple(self._values)

    def given(self, key: str) -> object:
        """Return what is given, unchecked; None where nothing is. It still has to be read."""
        return self._values.get(key)

    def below(self, key: str) -> Table:
        """Read a table below this one, to be read key by key; an empty one where none is given."""
        return Table(self.table(key), f"{self._name}.{key}" if self._name else f"[{key}]", self._problems, self._page)

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """Read one of some words; the first is the usual."""
        found = self.text(key, choices[0])
        if found in choices:
            return found
        self.problem(f"`{key}` must be {' or '.join(f'`{choice}`' for choice in choices)}, not `{shown(found)}`")
        return choices[0]

    def text(self, key: str, default: str = "") -> str:
        """Read a text that is not empty and on one line."""
        value = self._value(key, default)
        if key not in self._values:
            return default
        if problem := _text_problem(value):
            self.problem(f"`{key}` {problem}")
            return default
        return str(value)

    def texts(self, key: str, default: tuple[str, ...] = (), *, empty: bool = False) -> tuple[str, ...]:
        """Read a list of different texts; `empty` allows the empty text among them."""
        value = self._value(key, default)
        if key not in self._values:
            return default
        if not isinstance(value, list | tuple):
            self.problem(f'`{key}` must be a list of texts: `{key} = ["…"]`')
            return default
        for item in value:
            if problem := "" if empty and item == "" else _text_problem(item):
                self.problem(f"`{key}`: an item {problem}")
                return default
        found = tuple(dict.fromkeys(str(item) for item in value))
        if len(found) < len(value):
            self.problem(f"`{key}` names the same thing twice")
        return found

    def number(self, key: str, default: float, low: float, high: float, unit: str = "seconds") -> float:
        """Read a number from `low` to `high`."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124  # NaN
            self.problem(f"`{key}` must be a number of {unit}")
            return default
        if not low <= value <= high:
            self.problem(f"`{key}` must be from {low:g} to {high:g} {unit}")
            return default
        return value

    def whole(self, key: str, default: int, low: int, high: int, unit: str) -> int:
        """Read a whole number from `low` to `high`."""
        if isinstance(self._values.get(key), float):
            self.problem(f"`{key}` must be a whole number of {unit}")
            self.ignore(key)
            return default
        return int(self.number(key, default, low, high, unit))

    def flag(self, key: str) -> bool:
        """Read a setting that is off unless it is `true`."""
        value = self._value(key, False)
        if not isinstance(value, bool):
            self.problem(f"`{key}` must be `true` or `false`")
        return value is True

    def path(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Read where a claim is: `realm_access.roles`, or a list of names where a name itself holds a dot."""
        if isinstance(self._values.get(key), list | tuple):
            return self.texts(key, default)
        found = self.text(key)
        if any(not part for part in found.split(".")) and found:
            self.problem(f"`{key}` must be names joined by dots, as in `realm_access.roles`, not `{shown(found)}`")
            return default
        return tuple(found.split(".")) if found else default

    def table(self, key: str) -> Mapping[str, object]:
        """Read a table below this one."""
        value = self._value(key, {})
        if not isinstance(value, Mapping):
            self.problem(f"`{key}` must be a table: `[{key}]`")
            return {}
        return value

    def tables(self, key: str) -> list[Mapping[str, object]]:
        """Read a list of tables."""
        value = self._value(key, [])
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            self.problem(f"`{key}` must be a list of tables: `[[{key}]]`")
            return []
        return list(value)

    def ignore(self, *keys: str) -> None:
        """Take settings as known that were read elsewhere."""
        self._known += keys

    def finish(self) -> None:
        """Note the settings that nobody knows, with the nearest name."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                help_ = f"did you mean `{near[0]}`?" if near else f"`{self._page}` names those there are"
                self.problem(f"`{shown(key)}` is no setting: {help_}")

    def _value(self, key: str, default: object) -> object:
        self._known.append(key)
        return self._values.get(key, default)


def read_bounded(path: Path, max_bytes: int, *, private: bool = False) -> bytes:
    """Read a regular file; raises `TokenConfigError`, also where a private one can be read by others than its owner."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            mode = os.fstat(file.fileno()).st_mode
            found = file.read(max_bytes + 1) if stat.S_ISREG(mode) else b""
    except IsADirectoryError:
        raise TokenConfigError(f"`{path}` is not a regular file") from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "it is no path"
        raise TokenConfigError(f"`{path}` cannot be read: {reason.lower()}") from None
    if not stat.S_ISREG(mode):
        raise TokenConfigError(f"`{path}` is not a regular file")
    if private and mode & 0o077:
        raise TokenConfigError(f"`{path}` can be read by others than its owner: `chmod 600 {path}`")
    if len(found) > max_bytes:
        raise TokenConfigError(f"`{path}` is larger than {max_bytes} bytes")
    return found


def _text_problem(value: object) -> str:
    if not isinstance(value, str):
        return "must be a text in quotes"
    if not value:
        return "must not be empty"
    if len(value) > MAX_TEXT:
        return f"is longer than {MAX_TEXT} characters"
    if not value.isprintable():
        return "holds a character that cannot be seen"
    return ""
