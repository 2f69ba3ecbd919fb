"""The manifest of a policy directory, `authz.sum` (L7).

It names every policy file with its SHA-256, so that a policy that was copied by halves, cut
short or added to is refused instead of half believed. `verify` looks at the very bytes that are
parsed afterwards; a second reading of the files could see other ones.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.lang.ast import Span
from authz.lang.diagnostics import Diagnostic
from authz.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from authz.pap.loader import ReadFile

MAX_DEFECTS: Final = 20
"""Lines that are reported one by one; a file with more wrong lines is another kind of file."""

_LINE: Final = re.compile(r"([0-9A-Fa-f]{64})  ([^\x00-\x1f\x7f\udc80-\udcff]+)")
_ESCAPED_BYTE: Final = re.compile(r"[\udc80-\udcff]")
_RESTORE: Final = "bring the files back as they were locked, or run `authz-eval lock` if this is meant"
_WRITE_ANEW: Final = "write it anew with `authz-eval lock`, after looking through the policy"


class _Entry(NamedTuple):
    """The digest that one line gives a file, in lower case, and where the line stands."""

    digest: str
    span: Span


def render(files: Iterable[tuple[str, bytes]]) -> str:
    """Return the manifest of these files, paths relative to the directory and bytes (L7)."""
    ordered = sorted(files, key=lambda file: file[0].encode())
    return "".join(f"{_digest(data)}  {name}\n" for name, data in ordered)


def verify(manifest: ReadFile, files: Iterable[ReadFile], unread: Collection[str] = ()) -> tuple[Diagnostic, ...]:
    """Return a finding for each file that is missing, added or changed, or for each line that L7 does not describe.

    `unread` names files that are there and were not read for a reason that is reported elsewhere.
    """
    # Undecodable bytes become lone surrogates, one each, and the pattern takes none of them.
    text = manifest.data.decode("utf-8", "surrogateescape")
    source = Source(manifest.name, _ESCAPED_BYTE.sub("\ufffd", text), manifest.shown)
    entries, defects = _parse(text, source)
    # A manifest that is itself not as it was written says nothing about the files.
    return tuple(defects or _differences(entries, files, unread, source))


def _parse(text: str, source: Source) -> tuple[dict[str, _Entry], list[Diagnostic]]:
    entries: dict[str, _Entry] = {}
    defects: list[Diagnostic] = []
    previous = b""
    at = 0
    while at < len(text) and len(defects) < MAX_DEFECTS:
        end = text.find("\n", at)
        span = Span(at, end if end >= 0 else len(text))
        at = span.end + 1
        match = _LINE.fullmatch(text, *span)
        if match is None:
            message = "this is not a line of 64 hexadecimal digits, two spaces and a path"
        elif end < 0:
            message = f"`{source.name}` is cut short: its last line has no end"
        elif match[2].encode() <= previous:
            message = f"`{match[2]}` {'stands twice' if match[2] in entries else 'is out of order'}"
        else:
            previous = match[2].encode()
            entries[match[2]] = _Entry(match[1].lower(), span)
            continue
        defects.append(Diagnostic("manifest-mismatch", message, source, span, _WRITE_ANEW))
    return entries, defects


def _differences(
    entries: dict[str, _Entry], files: Iterable[ReadFile], unread: Collection[str], source: Source
) -> Iterator[Diagnostic]:
    missing = entries.keys() - set(unread)
    for file in files:
        missing.discard(file.name)
        if file.name not in entries:
            message = f"`{file.name}` is not listed in `{source.name}`"
        elif entries[file.name].digest != _digest(file.data):
            message = f"`{file.name}` has changed since `{source.name}` was written"
        else:
            continue
        # The finding is about the file as a whole, so there is no line to show.
        yield Diagnostic("manifest-mismatch", message, Source(file.name, "", file.shown), Span(0, 0), _RESTORE)
    for name in missing:
        message = f"`{name}` is missing, and `{source.name}` lists it"
        yield Diagnostic("manifest-mismatch", message, source, entries[name].span, _RESTORE)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
