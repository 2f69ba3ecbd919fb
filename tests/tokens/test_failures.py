"""Failures are counted within bounds, and a flood makes no room for itself (issue 4, item 7; threats 3d-49)."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tokens.failures import Failures


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_a_source_is_refused_after_its_failures_and_again_let_in_when_the_first_is_past() -> None:
    """Issue 4, item 7: a window that moves, and how long to wait."""
    clock = Clock()
    failures = Failures(per_source=3, window=60, clock=clock)
    for _ in range(3):
        assert not failures.too_many("10.0.0.1", "https://id.example.com")
        failures.failed("10.0.0.1", "https://id.example.com")
        clock.now += 10
    assert failures.too_many("10.0.0.1", "https://id.example.com")
    assert failures.retry_after("10.0.0.1", "https://id.example.com") == 30
    assert not failures.too_many("10.0.0.2", "https://id.example.com")
    clock.now += 30
    assert not failures.too_many("10.0.0.1", "")
    failures.failed("10.0.0.1", "")
    assert failures.retry_after("10.0.0.1", "") == 10


def test_an_issuer_is_refused_after_the_failures_of_all_sources() -> None:
    """Issue 4, item 7: by claimed issuer, so that many sources cannot wear an issuer down together."""
    failures = Failures(per_source=3, per_issuer=5, clock=Clock())
    for number in range(5):
        failures.failed(f"10.0.0.{number}", "https://id.example.com")
    assert failures.too_many("10.0.1.1", "https://id.example.com")
    assert not failures.too_many("10.0.1.1", "https://other.example.com")


def test_sources_that_cannot_be_told_apart_are_not_counted_together() -> None:
    """Otherwise one of them would lock all of them out."""
    failures = Failures(per_source=1, per_issuer=100, clock=Clock())
    failures.failed("", "https://id.example.com")
    failures.failed("", "")
    assert not failures.too_many("", "https://id.example.com")
    assert not failures.too_many("", "")


def test_a_flood_of_sources_keeps_those_refused_that_were_refused() -> None:
    """Threats 3d-49: a bound, and nothing is allowed by eviction."""
    clock = Clock()
    failures = Failures(per_source=2, per_issuer=10**9, sources=100, clock=clock)
    for _ in range(2):
        failures.failed("attacker", "")
    for number in range(5_000):
        failures.failed(f"flood-{number}", "")
    assert failures.too_many("attacker", "")
    for _ in range(2):
        failures.failed("latecomer", "")
    assert failures.too_many("latecomer", "")
    assert len(failures) <= 101
    clock.now += 61
    failures.failed("after", "")
    assert not failures.too_many("attacker", "")
    assert not failures.too_many("latecomer", "")
    assert len(failures) == 1


@pytest.mark.slow
def test_a_great_many_sources_take_bounded_memory() -> None:
    """Threats 3d-49: a table flood."""
    failures = Failures(clock=Clock())
    tracemalloc.start()
    for number in range(200_000):
        failures.failed(f"{number}" * 3, "https://id.example.com")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20_000_000


def test_long_names_from_outside_are_not_kept() -> None:
    """Bound everything that comes from outside; half a surrogate pair is no reason to fail either."""
    failures = Failures(per_source=1, clock=Clock())
    tracemalloc.start()
    for number in range(50):
        failures.failed(f"{number}" + "x" * 1_000_000, "")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
    failures.failed("\ud800", "\udfff")
    assert failures.too_many("\ud800", "")


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 30)), max_size=80), st.integers(1, 4))
def test_no_source_is_ever_let_in_that_an_unbounded_table_would_refuse(
    events: list[tuple[str, int]], room: int
) -> None:
    """The bound may refuse sooner, never later: compared with plain lists of times."""
    clock = Clock()
    failures = Failures(per_source=3, window=60, sources=room, clock=clock)
    plain: dict[str, list[float]] = defaultdict(list)
    for source, pause in events:
        clock.now += pause
        recent = [at for at in plain[source] if at > clock.now - 60]
        if len(recent) >= 3:
            assert failures.too_many(source, "")
        elif room >= 8:
            assert not failures.too_many(source, "")
        failures.failed(source, "")
        plain[source].append(clock.now)
