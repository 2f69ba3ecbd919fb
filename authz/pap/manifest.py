"""The manifest of a policy directory, `authz.sum` (L7).

It names every policy file with its SHA-256, so that a policy that was copied by halves, cut
short or added to is refused instead of half believed. `verify` looks at the very bytes that are
parsed afterwards; a second reading of the files could see other ones.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from authz.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MANIFEST: Final = "authz.sum"
"""The manifest's name, directly in the policy directory."""

_LINE: Final = re.compile(r"([0-9A-Fa-f]{64})  ([^\x00-\x1f\x7f]+)")


def render(files: Iterable[tuple[str, bytes]]) -> str:
    """Return the manifest of these files, paths relative to the directory and bytes (L7)."""
    ordered = sorted(files, key=lambda file: file[0].encode())
    return "".join(f"{_digest(data)}  {name}\n" for name, data in ordered)


def parse(data: bytes, shown: str) -> Mapping[str, str]:
    """Return path → digest in lower case; raises `LoadError` for anything that L7 does not describe."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LoadError(f"`{shown}` is not valid UTF-8 at byte {error.start + 1}") from None
    if text and not text.endswith("\n"):
        raise LoadError(f"`{shown}` is cut short: its last line has no end")
    entries: dict[str, str] = {}
    previous = b""
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise LoadError(f"{shown}:{number}: not a line of 64 hexadecimal digits, two spaces and a path")
        digest, name = match.groups()
        key = name.encode()
        if key <= previous:
            problem = "stands twice" if name in entries else "is out of order"
            raise LoadError(f"{shown}:{number}: `{name}` {problem}")
        previous = key
        entries[name] = digest.lower()
    return entries


def verify(manifest: bytes, files: Sequence[tuple[str, bytes]], shown: str = MANIFEST) -> None:
    """Raise `LoadError`, naming each file that is missing, added or changed, unless all agree (L7)."""
    expected = parse(manifest, shown)
    found = {name: _digest(data) for name, data in files}
    problems = [
        *(f"`{name}` is missing" for name in expected if name not in found),
        *(f"`{name}` is not listed" for name in found if name not in expected),
        *(f"`{name}` has changed" for name in found if expected.get(name, found[name]) != found[name]),
    ]
    if problems:
        raise LoadError(f"the policy is not the one in `{shown}`: {', '.join(problems)}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
