"""Find the files of a policy (L1).

Nothing here trusts a name: a policy directory may be written by someone else than the one who
reads it.
"""

# The care taken here needs what pathlib does not give.
# ruff: noqa: PTH118, PTH119
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from authz.errors import LoadError
from authz.lang.source import SUFFIX, TEST_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind: TypeAlias = Literal["policies", "tests", "all"]


class FoundFile(NamedTuple):
    """One file that belongs to a policy: its name (L1), and its path as the user would type it."""

    name: str
    shown: str


def twins(path: str, kind: Kind) -> tuple[FoundFile, ...]:
    """Return a policy file, its tests, or both; the tests are in the twin `NAME_test.authz`, if any."""
    name = os.path.basename(path)
    if name.endswith(TEST_SUFFIX):
        if kind == "policies":
            raise LoadError(f"`{path}` holds tests, not a policy")
        return (FoundFile(name, path),)
    twin = path.removesuffix(SUFFIX) + TEST_SUFFIX
    tests = (FoundFile(os.path.basename(twin), twin),) if os.path.lexists(twin) else ()
    match kind:
        case "policies":
            return (FoundFile(name, path),)
        case "tests":
            return tests
        case "all":
            return (FoundFile(name, path),)


class _Entry(NamedTuple):
    """One name in a folder, as found by the walk."""

    name: str
    path: str
    is_link: bool
    is_folder: bool
    is_file: bool


def find_below(root: str, kind: Kind, most: int) -> tuple[FoundFile, ...]:
    """Return the files below a directory, bytewise in the order of their names (L1).

    Raises `LoadError`, naming everything that L1 does not allow, or where there are more than
    `most` files and folders.
    """
    real_root = os.path.realpath(root)
    found: list[str] = []
    problems: list[tuple[str, str]] = []
    pending: list[tuple[str, tuple[str, ...]]] = [("", (real_root,))]
    seen = 0
    while pending:
        folder, chain = pending.pop()
        for entry in _entries(root, folder, problems):
            seen += 1
            if seen > most:
                raise LoadError(f"`{root}` holds more than {most} files and folders")
            name = f"{folder}/{entry.name}" if folder else entry.name
            policy = entry.name.endswith(SUFFIX)
            problem, real = _judge(entry, name, real_root, chain)
            if problem:
                problems.append((name, problem))
            elif entry.is_folder:
                pending.append((name, (*chain, real)))
            elif policy and kind in ("all", "tests" if name.endswith(TEST_SUFFIX) else "policies"):
                found.append(name)
    if problems:
        raise LoadError("; ".join(f"`{shown(root, name)}` {problem}" for name, problem in sorted(problems)))
    return tuple(FoundFile(name, shown(root, name)) for name in sorted(found, key=str.encode))


def _judge(entry: _Entry, name: str, real_root: str, chain: tuple[str, ...]) -> tuple[str, str]:
    """Return what L1 has against an entry, "" for nothing, and where a folder really is."""
    policy = entry.name.endswith(SUFFIX)
    if not policy and not entry.is_folder:
        return "", ""
    if any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in name):
        return "has a name that is not printable UTF-8", ""
    real = os.path.realpath(entry.path) if entry.is_link else f"{chain[-1]}/{entry.name}"
    if entry.is_link and not inside(real_root, real):
        return "is a symbolic link that leads out of the policy directory", ""
    if entry.is_folder and (policy or real in chain):
        return "is a folder, not a file" if policy else "is a symbolic link to a folder that holds it", ""
    if not entry.is_folder and not entry.is_file:
        return "is a symbolic link that leads nowhere" if entry.is_link else "is not a regular file", ""
    return "", real


def _entries(root: str, folder: str, problems: list[tuple[str, str]]) -> Iterator[_Entry]:
    """Yield what a folder holds, without hidden names."""
    try:
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                try:
                    kinds = entry.is_symlink(), entry.is_dir(), entry.is_file()
                except OSError as error:  # perhaps a folder of denies: not to be passed over in silence
                    problems.append((f"{folder}/{entry.name}" if folder else entry.name, _unreadable_name(error)))
                    continue
                yield _Entry(entry.name, entry.path, *kinds)
    except OSError as error:
        problems.append((folder, _unreadable_name(error)))


def _unreadable_name(error: OSError) -> str:
    return f"cannot be read: {strerror(error)}"


def inside(root: str, path: str) -> bool:
    """Say whether a path is a directory or below it; both are real paths."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def shown(root: str, name: str) -> str:
    """Return the path of a file below a directory as the user would type it."""
    return name if root in (".", "./") else os.path.join(root, name)


def strerror(error: OSError | ValueError) -> str:
    """Return what the system has to say, beginning in lower case."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:]
