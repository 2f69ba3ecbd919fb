"""Versions and activations as lines to read, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.audit.records import timestamp
from authz.cli.failures import count
from authz.cli.render import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from authz.pap.history import Activation, PolicyText, PolicyVersion

_SHORT = 12
"""Digits of a revision in a table."""


def version_to_json(version: PolicyVersion) -> dict[str, object]:
    """Return a version as a JSON object."""
    return {
        "number": version.number,
        "revision": version.revision,
        "digest": version.digest,
        "author": version.author,
        "time": timestamp(version.time),
        "note": version.note,
        "tests_passed": version.tests_passed,
        "tests_failed": version.tests_failed,
    }


def activation_to_json(activation: Activation) -> dict[str, object]:
    """Return an activation as a JSON object."""
    return {
        "sequence": activation.sequence,
        "version": activation.version,
        "revision": activation.revision,
        "kind": activation.kind,
        "author": activation.author,
        "time": timestamp(activation.time),
        "note": activation.note,
    }


def put_line(version: PolicyVersion) -> str:
    """Return what is said of a version that was put."""
    but = ": it cannot be activated" if version.tests_failed else ""
    return f"version {version.number}, revision {version.revision}, {_tests(version)}{but}"


def activation_line(activation: Activation) -> str:
    """Return what is said of an activation."""
    what = "rolled back to" if activation.kind == "rollback" else "activated"
    why = f": {activation.note}" if activation.note else ""
    line = f"{what} version {activation.version} by {activation.author}, revision {activation.revision}{why}"
    return f"{timestamp(activation.time)}  {printable(line)}"


def version_table(versions: Sequence[PolicyVersion], active: Activation | None) -> str:
    """Return the versions as a table; the active one has a `*`."""
    heads = ("", "VERSION", "REVISION", "TIME", "AUTHOR", "TESTS", "NOTE")
    rows: list[tuple[str, ...]] = [heads]
    for version in versions:
        mark = "*" if active is not None and active.version == version.number else ""
        time, short = timestamp(version.time), version.revision[:_SHORT]
        rows.append((mark, str(version.number), short, time, version.author, _tests(version), version.note))
    rows = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    padded = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in padded)


def version_lines(version: PolicyVersion, files: Iterable[PolicyText]) -> str:
    """Return a version, one line for each thing that is known of it."""
    known = {
        "version": version.number,
        "revision": version.revision,
        "digest": version.digest,
        "author": version.author,
        "time": timestamp(version.time),
        "note": version.note or "-",
        "tests": _tests(version),
        "files": ", ".join(file.name for file in files),
    }
    return "".join(f"{name:<8}  {printable(str(value))}\n" for name, value in known.items())


def _tests(version: PolicyVersion) -> str:
    if not version.tests_passed and not version.tests_failed:
        return "no tests"
    passed = f"{count(version.tests_passed, 'test')} passed"
    return f"{passed}, {version.tests_failed} failed" if version.tests_failed else passed
