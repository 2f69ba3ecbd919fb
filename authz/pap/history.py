"""Policies and their history: a version is what somebody put, an activation is what decides since then.

What a version says never changes. Activating one compiles it, runs its own tests and only then
lets it decide; a rollback is an activation of an older one. Each of these acts stands in the
decision log, written in the same transaction as the act itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 (the type of a field, which dataclasses look at)
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.model import Act

ActivationKind: TypeAlias = Literal["activate", "rollback"]


class PolicyText(NamedTuple):
    """One file of a version: its path below the policy directory, and its canonical text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version that is about to be put: valid, in canonical text, its tests run."""

    files: tuple[PolicyText, ...]
    """Policy files and tests, bytewise in the order of their names."""
    revision: str
    """The digest of what it means (L66): the revision that its decisions carry."""
    digest: str
    """SHA-256 over its files, tests among them: the same files have the same digest."""
    tests_passed: int
    tests_failed: int


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A version in the store, without its files; `number` counts from 1."""

    number: int
    revision: str
    digest: str
    author: str
    time: datetime
    note: str
    tests_passed: int
    tests_failed: int


@dataclass(frozen=True, slots=True)
class Activation:
    """From `time` on, this version decided; `sequence` counts from 1."""

    sequence: int
    version: int
    revision: str
    kind: ActivationKind
    author: str
    time: datetime
    note: str


class PolicyStore(Protocol):
    """Keeps versions and activations. Every writing call is whole or not there, with its record in the log.

    All raise `StoreError`; what names a version that is not there raises `NotStoredError`.
    """

    def put(self, version: NewVersion, act: Act) -> PolicyVersion:
        """Keep a version and return it with its number; the same files again are the version that they were."""

    def versions(self) -> Sequence[PolicyVersion]:
        """Return all versions, the newest first."""

    def version(self, number: int) -> PolicyVersion:
        """Return one version."""

    def files(self, number: int) -> tuple[PolicyText, ...]:
        """Return the files of one version."""

    def activate(self, number: int, kind: ActivationKind, act: Act) -> Activation:
        """Let a version decide from now on."""

    def activations(self) -> Sequence[Activation]:
        """Return all activations, the newest first."""

    def active(self) -> Activation | None:
        """Return the last activation, None before the first; quick enough to ask ten times a second."""
