"""What can go wrong, as one tree of exceptions.

::

    AuthzError                  could not do what was asked; `str(error)` is one plain line
    ├── InvalidRequestError     the question is malformed: `field` names the part (L60)
    ├── PolicyError             the policy is invalid: `diagnostics` holds every error (L5)
    ├── LoadError               a file, directory or manifest cannot be read
    └── StoreError              the store cannot be used: missing, read-only, out of space
        ├── StoreBusyError      another process kept it locked for longer than we wait
        ├── StoreCorruptError   it is damaged, foreign, or written by a newer version: nothing in it is believed
        ├── NotStoredError      what was asked for is not in it
        └── LogUnavailableError a record that must be kept cannot be

A denial is never an error: it is a `Decision`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authz.lang.diagnostics import Diagnostic


class AuthzError(Exception):
    """Stand for every failure that authz names; raised only through its subclasses."""


class InvalidRequestError(AuthzError):
    """Raised when a request breaks L60 and is therefore not evaluated.

    `field` is the path of the offending part in the JSON form of CheckRequest
    (`resource.attributes.size`, `scopes[2]`); `problem` says what is wrong with it.
    Neither repeats a value: requests may hold secrets.
    """

    def __init__(self, field: str, problem: str) -> None:
        """Keep the path and the problem beside the one-line text."""
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class PolicyError(AuthzError):
    """Raised when policy text is invalid; `diagnostics` is sorted by file and place."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        """Use the first diagnostic as the text, and say how many more there are."""
        more = f" (and {len(diagnostics) - 1} more)" if len(diagnostics) > 1 else ""
        super().__init__(f"{diagnostics[0]}{more}")
        self.diagnostics = diagnostics


class LoadError(AuthzError):
    """Raised when a policy path cannot be read: missing, unreadable, not a regular file."""


class StoreError(AuthzError):
    """Raised when the store cannot be read or written; nothing was changed by the call that raised it."""


class StoreBusyError(StoreError):
    """Raised when another process kept the store locked for longer than the call may wait."""


class StoreCorruptError(StoreError):
    """Raised when a file is no store of ours, is damaged, or was written by a newer version."""


class NotStoredError(StoreError):
    """Raised when a version, an entity or a record that was named is not in the store."""


class LogUnavailableError(StoreError):
    """Raised when a record that must be in the decision log could not be written to it."""
