"""How `authz-eval` ends, for scripts to rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """One meaning a number, the same for every command."""

    OK = 0
    """Allowed, or nothing to complain about."""
    FAILED = 1
    """Could not run: a file is missing or unreadable, a server does not answer."""
    USAGE = 2
    """The command line or the request is malformed."""
    DENIED = 3
    """A decision was not ALLOW."""
    INVALID_POLICY = 4
    """The policy or its tests hold errors."""
    TESTS_FAILED = 5
    """A test expected another answer."""
    COVERAGE_TOO_LOW = 6
    """The tests cover less than `--fail-under` asks for."""
    DIFFERENCE = 7
    """A check found something: text that `fmt` would change, a warning of `lint`."""
