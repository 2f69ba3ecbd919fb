"""Bytes → text, and what is found out about a file before anyone parses it (L1, L6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.lang.ast import Span
from authz.lang.diagnostics import Diagnostic
from authz.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.lang.limits import Limits
    from authz.pap.walk import FoundFile

MAX_RUNS: Final = 20
"""Places with invalid bytes that are reported one by one; a file with more of them is another kind of file."""

_ESCAPED_BYTES: Final = r"[\udc80-\udcff]+"
"""Not compiled here: start-up, and hardly a file has any."""


class ReadFile(NamedTuple):
    """A file and the bytes it had."""

    name: str
    shown: str
    data: bytes


def too_large(file: FoundFile, limits: Limits) -> Diagnostic:
    """Return the finding for a file over its limit (L6)."""
    message = f"the file is larger than {limits.file_bytes} bytes"
    help_ = "split it: a policy is made of all the files in its directory"
    return Diagnostic("file-too-large", message, without_text(file), Span(0, 0), help_)


def too_much(file: FoundFile, limits: Limits) -> Diagnostic:
    """Return the finding for the file with which a policy is over its limit (L6)."""
    message = f"with this file the policy is larger than {limits.policy_bytes} bytes"
    help_ = "put what grows with users or documents into attributes, and let a rule compare them"
    return Diagnostic("policy-too-large", message, without_text(file), Span(0, 0), help_)


def without_text(file: FoundFile) -> Source:
    """Return a source for a finding about a file as a whole: it has no text to show."""
    return Source(file.name, "", file.shown)


def decode(file: ReadFile) -> tuple[Source, tuple[Diagnostic, ...]]:
    """Turn bytes into text, with a finding for a byte order mark and each run that is not UTF-8 (L1).

    A byte order mark is left out of the text, so that columns are those an editor shows; bytes
    that are not UTF-8 stand as U+FFFD.
    """
    # Undecodable bytes become lone surrogates, which UTF-8 itself can never yield: one pass finds
    # them all, where decoding up to each error again would be quadratic.
    text = file.data.decode("utf-8", "surrogateescape")
    marked = text.startswith("\ufeff")
    text = text[1:] if marked else text
    runs = [] if text.isascii() else list(re.finditer(_ESCAPED_BYTES, text))
    if runs:
        source = Source(file.name, re.sub(_ESCAPED_BYTES, lambda run: "\ufffd" * len(run[0]), text), file.shown)
    else:
        source = Source(file.name, text, file.shown)
    findings: list[Diagnostic] = []
    if marked:
        help_ = "save the file as UTF-8 without a byte order mark"
        message = "the file starts with a byte order mark"
        findings.append(Diagnostic("byte-order-mark", message, source, Span(0, 0), help_))
    if len(runs) > MAX_RUNS:
        message = f"the file is not UTF-8 text: {len(runs)} places in it hold other bytes"
        findings.append(Diagnostic("invalid-utf8", message, source, Span(*runs[0].span()), "save the file as UTF-8"))
        return source, tuple(findings)
    for run in runs:
        some = " ".join(f"{byte:02x}" for byte in run[0][:4].encode("utf-8", "surrogateescape"))
        message = f"bytes that are not valid UTF-8: `{some}{' …' if len(run[0]) > 4 else ''}`"
        findings.append(Diagnostic("invalid-utf8", message, source, Span(*run.span()), "save the file as UTF-8"))
    return source, tuple(findings)


def unreadable(problems: Sequence[Diagnostic]) -> bool:
    """Say whether `decode` has found bytes that are no text."""
    return any(problem.code == "invalid-utf8" for problem in problems)
