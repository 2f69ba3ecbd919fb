"""The policy history against a model that anybody can follow: lists, and a number."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from authz.errors import NotStoredError
from authz.pap.versions import NoRollbackError, TestsFailedError, activate, active_policy, put, rollback
from tests.pap.versions_support import ACT, allows, opened, policy

TOOLS = ("one", "two", "three", "four", "five")


class History(RuleBasedStateMachine):
    """Issue 3: put, activate, roll back and list in any order, with the store closed and opened in between."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.ends = contextlib.ExitStack()
        self.path = Path(self.ends.enter_context(tempfile.TemporaryDirectory())) / "authz.db"
        self.open = self.ends.enter_context(contextlib.ExitStack())
        self.store = self.open.enter_context(opened(self.path)).policies
        self.kept: list[tuple[str, bool]] = []
        self.activated: list[int] = []

    def teardown(self) -> None:
        """Close the store and remove it."""
        self.ends.close()

    @rule(tool=st.sampled_from(TOOLS), passing=st.sampled_from((True, True, False)))
    def put(self, tool: str, passing: bool) -> None:  # noqa: FBT001  # drawn by name
        """Put a policy whose test passes or fails."""
        version = put(self.store, policy(tool, passing=passing), ACT)
        if (tool, passing) not in self.kept:
            self.kept.append((tool, passing))
        assert version.number == self.kept.index((tool, passing)) + 1
        assert (version.tests_passed, version.tests_failed) == ((1, 0) if passing else (0, 1))

    @rule(number=st.integers(min_value=0, max_value=6))
    def activate(self, number: int) -> None:
        """Activate a version, or one that is not there."""
        if not 1 <= number <= len(self.kept):
            with pytest.raises(NotStoredError):
                activate(self.store, number, ACT)
        elif not self.kept[number - 1][1]:
            with pytest.raises(TestsFailedError):
                activate(self.store, number, ACT)
        else:
            activation, _ = activate(self.store, number, ACT)
            assert activation.kind == ("rollback" if number < max(self.activated, default=0) else "activate")
            self.activated.append(number)

    @rule()
    def roll_back(self) -> None:
        """Roll back to the version before."""
        older = [number for number in self.activated if number < self.activated[-1]]
        if not older:
            with pytest.raises(NoRollbackError):
                rollback(self.store, None, ACT)
        else:
            assert rollback(self.store, None, ACT)[0].version == older[-1]
            self.activated.append(older[-1])

    @precondition(lambda self: self.activated)
    @rule(number=st.integers(min_value=1, max_value=6))
    def roll_back_to(self, number: int) -> None:
        """Roll back to a version, or to one that cannot be."""
        if number > len(self.kept):
            with pytest.raises(NotStoredError):
                rollback(self.store, number, ACT)
        elif number >= self.activated[-1]:
            with pytest.raises(NoRollbackError):
                rollback(self.store, number, ACT)
        elif not self.kept[number - 1][1]:
            with pytest.raises(TestsFailedError):
                rollback(self.store, number, ACT)
        else:
            activation, _ = rollback(self.store, number, ACT)
            assert (activation.version, activation.kind) == (number, "rollback")
            self.activated.append(number)

    @rule()
    def reopen(self) -> None:
        """Close the store and open it again."""
        self.open.close()
        self.store = self.open.enter_context(opened(self.path)).policies

    @invariant()
    def lists_what_was_put(self) -> None:
        """Have every version and every activation, in their order."""
        versions = self.store.versions()
        assert [version.number for version in versions] == list(range(len(self.kept), 0, -1))
        assert [activation.version for activation in self.store.activations()] == self.activated[::-1]

    @invariant()
    def decides_as_the_last_activation_says(self) -> None:
        """Have exactly the active version's tool allowed."""
        active = active_policy(self.store)
        if not self.activated:
            assert active is None
            return
        assert active is not None
        allowed = self.kept[self.activated[-1] - 1][0]
        assert [tool for tool in TOOLS if allows(active[1], tool)] == [allowed]


TestHistory = History.TestCase
TestHistory.settings = settings(stateful_step_count=20)
