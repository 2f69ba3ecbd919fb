"""What can go wrong, as one tree of exceptions.

::

    AuthzError                  could not do what was asked; `str(error)` is one plain line
    ├── InvalidRequestError     the question is malformed: `field` names the part (L60)
    ├── PolicyError             the policy is invalid: `diagnostics` holds every error (L5)
    └── LoadError               a file, directory or manifest cannot be read

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
