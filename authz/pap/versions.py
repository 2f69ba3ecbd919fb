"""Put a version, activate it, take it back: the one way to do each, whatever door it is asked through.

A version is kept in canonical text. Its digest covers every file, tests among them; its revision
covers the policy files alone (L66). Text that is read back is believed only where both still agree
with what was put.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from authz.errors import AuthzError, InvalidRequestError, NotStoredError, PolicyError, StoreCorruptError
from authz.lang.ast import Span
from authz.lang.diagnostics import Diagnostic
from authz.lang.formatter import format_policy
from authz.lang.limits import DEFAULT_LIMITS
from authz.lang.source import SUFFIX, TEST_SUFFIX
from authz.model import MAX_IDENTIFIER
from authz.pap.history import NewVersion, PolicyText
from authz.pap.loader import ReadFile, load_files, load_test_files
from authz.pap.testing import TestReport, run_tests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from authz.lang.ast import PolicyFile, TestFile
    from authz.lang.limits import Limits
    from authz.lang.source import Source
    from authz.model import Act
    from authz.pap.history import Activation, ActivationKind, PolicyStore, PolicyVersion
    from authz.pap.loader import LoadedPolicy

MAX_FILES: Final = 10_000
"""Files of one version."""
MAX_NOTE: Final = 1_024
"""Characters of a note: as many as a record of the log keeps."""
_MAX_NAMED: Final = 5
_MAX_NAME: Final = 100
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class TestsFailedError(AuthzError):
    """Raised when a version's own tests fail, so that it does not become active; `report` says how."""

    __test__ = False  # pytest collects classes by this name

    def __init__(self, number: int, report: TestReport) -> None:
        """Name the version and the first of the tests."""
        failed = [f"`{result.name[:_MAX_NAME]}`" for result in report.failures]
        named = ", ".join(failed[:_MAX_NAMED]) + (", …" if len(failed) > _MAX_NAMED else "")
        super().__init__(f"version {number} fails {len(failed)} of its {len(report.results)} tests: {named}")
        self.number = number
        self.report = report


class NoRollbackError(AuthzError):
    """Raised when there is nothing to roll back to, or what is named is not older than what is active."""


# --- Putting --------------------------------------------------------------------------------


def new_version(files: Iterable[ReadFile], limits: Limits = DEFAULT_LIMITS) -> NewVersion:
    """Check a policy and its tests, run these, and return what a store is to keep.

    Tests that fail are counted; such a version can be kept, not activated. Raised are
    `InvalidRequestError` for a name or a number of files that cannot be, and `PolicyError` for a
    policy or tests with errors.
    """
    files = _checked_files(files)
    loaded, tests = load_files(files, limits), load_test_files(files, limits)
    report = run_tests(loaded.program, tests)
    texts = _canonical((*loaded.checked.files, *tests), limits)
    failed = len(report.failures)
    return NewVersion(texts, loaded.program.revision, digest(texts), len(report.results) - failed, failed)


def put(store: PolicyStore, files: Iterable[ReadFile], act: Act) -> PolicyVersion:
    """Keep a policy as a version; the same files again are the version that they were.

    Raises as `new_version` does, and `StoreError`; nothing is kept then.
    """
    check_act(act)
    return keep(store, new_version(files), act)


def keep(store: PolicyStore, version: NewVersion, act: Act) -> PolicyVersion:
    """Keep a version that `new_version` has made. Raised are `InvalidRequestError` and `StoreError`."""
    check_act(act)
    return store.put(version, act)


def check_act(act: Act) -> None:
    """Refuse an act without an author, or with one that is no identifier. Raises `InvalidRequestError`."""
    if not act.author:
        raise InvalidRequestError("author", "must not be empty")
    if len(act.author) > MAX_IDENTIFIER:
        raise InvalidRequestError("author", f"is longer than {MAX_IDENTIFIER} characters")
    if _UNPRINTABLE.search(act.author):
        raise InvalidRequestError("author", "holds a control character")
    if not unicodedata.is_normalized("NFC", act.author):
        raise InvalidRequestError("author", "is not in Unicode normal form NFC")
    if len(act.note) > MAX_NOTE:
        raise InvalidRequestError("note", f"is longer than {MAX_NOTE} characters")
    if re.search(r"[\x00\ud800-\udfff]", act.note):
        raise InvalidRequestError("note", "is no text")


def _checked_files(files: Iterable[ReadFile]) -> tuple[ReadFile, ...]:
    """Return the files after looking at their number and names: what a directory could hold by L1, and no more."""
    checked: dict[str, ReadFile] = {}
    for index, file in enumerate(files):
        if index >= MAX_FILES:
            raise InvalidRequestError("files", f"holds more than {MAX_FILES} files")
        problem = name_problem(file.name) or ("stands twice" if file.name in checked else "")
        if problem:
            raise InvalidRequestError(f"files[{index}].name", problem)
        checked[file.name] = file
    if all(name.endswith(TEST_SUFFIX) for name in checked):
        raise InvalidRequestError("files", "holds no policy file")
    return tuple(checked.values())


def name_problem(name: str) -> str:
    """Return what is wrong with the name of a file, "" for nothing: a relative path that stays below its folder."""
    if len(name) > MAX_IDENTIFIER:
        return f"is longer than {MAX_IDENTIFIER} characters"
    if _UNPRINTABLE.search(name) or "\\" in name:
        return "holds a control character or a backslash"
    *folders, last = name.split("/")
    if not last.endswith(SUFFIX) or last.startswith("."):
        return f"is not the path of a file that ends in `{SUFFIX}`"
    if any(not folder or folder.startswith(".") or folder.endswith(SUFFIX) for folder in folders):
        return "is not a path below the policy directory"
    return ""


def _canonical(trees: Iterable[tuple[Source, PolicyFile | TestFile]], limits: Limits) -> tuple[PolicyText, ...]:
    """Return the canonical texts in the order of their names, after checking that they can be read back (L6)."""
    texts: list[PolicyText] = []
    left = limits.policy_bytes
    for source, tree in sorted(trees, key=lambda pair: pair[0].name.encode()):
        text = format_policy(source, tree)
        size = len(text.encode())
        left -= size
        if size > limits.file_bytes:
            message = f"the file is larger than {limits.file_bytes} bytes in its canonical form"
            raise PolicyError((Diagnostic("file-too-large", message, source, Span(0, 0), "split it"),))
        if left < 0:
            message = f"with this file the policy is larger than {limits.policy_bytes} bytes in canonical form"
            raise PolicyError((Diagnostic("policy-too-large", message, source, Span(0, 0)),))
        texts.append(PolicyText(source.name, text))
    return tuple(texts)


def digest(texts: Iterable[PolicyText]) -> str:
    """Return the SHA-256 of files, each after its name, in hexadecimal digits.

    Over the policy files in canonical text alone it is the revision (L66).
    """
    sum_ = hashlib.sha256()
    for name, text in texts:
        data = text.encode()
        sum_.update(b"%s\0%d\0" % (name.encode(), len(data)))
        sum_.update(data)
    return sum_.hexdigest()


# --- Reading back ---------------------------------------------------------------------------


def version_files(store: PolicyStore, number: int) -> tuple[PolicyVersion, tuple[PolicyText, ...]]:
    """Return a version and its files.

    Raises `StoreError`: `NotStoredError` where there is no such version, `StoreCorruptError` where
    its files are not those that were put.
    """
    version = store.version(number)
    texts = tuple(sorted(store.files(number), key=lambda text: text.name.encode()))
    policies = (text for text in texts if not text.name.endswith(TEST_SUFFIX))
    sound = digest(texts) == version.digest and digest(policies) == version.revision
    if not sound or any(name_problem(text.name) for text in texts):
        raise StoreCorruptError(f"version {number} in the store is not what was put: restore a backup")
    return version, texts


def load_version(store: PolicyStore, number: int) -> LoadedPolicy:
    """Compile a version. Raises as `version_files` does, and `PolicyError` for text that is no policy any more."""
    return load_files(_as_read(version_files(store, number)[1]))


def number_or_active(store: PolicyStore, number: int | None) -> int:
    """Return the number, or for None that of the active version. Raises `NotStoredError` where none is active."""
    if number is not None:
        return number
    activation = store.active()
    if activation is None:
        raise NotStoredError("no version is active yet")
    return activation.version


def active_policy(store: PolicyStore) -> tuple[Activation, LoadedPolicy] | None:
    """Return what decides now, compiled, or None where nothing was ever activated. Raises as `load_version` does."""
    activation = store.active()
    return (activation, load_version(store, activation.version)) if activation is not None else None


def _as_read(texts: Iterable[PolicyText]) -> tuple[ReadFile, ...]:
    return tuple(ReadFile(name, name, text.encode()) for name, text in texts)


# --- Activating -----------------------------------------------------------------------------


def activate(store: PolicyStore, number: int, act: Act) -> tuple[Activation, LoadedPolicy]:
    """Compile a version, run its tests, and let it decide; what is older than one that did is a rollback.

    Raises `TestsFailedError`, and as `load_version` does; what decided before goes on then.
    """
    check_act(act)
    newest = max((activation.version for activation in store.activations()), default=0)
    return _activate(store, number, "rollback" if number < newest else "activate", act)


def rollback(store: PolicyStore, number: int | None, act: Act) -> tuple[Activation, LoadedPolicy]:
    """Activate an older version: the one that decided last of those older than the active one, unless one is named.

    So a second rollback goes further back, and never to what the first one took away.
    Raises `NoRollbackError`, and as `activate` does.
    """
    check_act(act)
    activations = store.activations()
    if not activations:
        raise NoRollbackError("no version is active: there is nothing to roll back from")
    active = activations[0].version
    if number is None:
        number = next((before.version for before in activations if before.version < active), None)
        if number is None:
            raise NoRollbackError(
                f"no version older than {active} has been active: `authz-eval policy list` shows what there is"
            )
    elif number >= active:
        store.version(number)  # one that is not there is the more helpful thing to say
        raise NoRollbackError(f"version {number} is not older than the active version {active}: activate it instead")
    return _activate(store, number, "rollback", act)


def _activate(store: PolicyStore, number: int, kind: ActivationKind, act: Act) -> tuple[Activation, LoadedPolicy]:
    files = _as_read(version_files(store, number)[1])
    loaded = load_files(files)
    report = run_tests(loaded.program, load_test_files(files))
    if report.failures:
        raise TestsFailedError(number, report)
    return store.activate(number, kind, act), loaded


# --- Watching -------------------------------------------------------------------------------


def activations_since(store: PolicyStore, seen: int | None) -> Sequence[Activation]:
    """Return the activations after number `seen`, the oldest first; only the last one where `seen` is None.

    Nothing new costs no more than asking for the active version.
    """
    active = store.active()
    if active is None or active.sequence == seen:
        return ()
    if seen is None or active.sequence == seen + 1:
        return (active,)
    return tuple(activation for activation in reversed(store.activations()) if activation.sequence > seen)
