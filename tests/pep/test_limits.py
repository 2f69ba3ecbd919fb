"""How often one caller may call (R16, S58, S59)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from authz.pep.identity import Identity
from authz.pep.limits import CallLimit

ALICE = Identity("alice", tenant="acme", client="desktop", issuer="https://idp.example")


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        """Begin anywhere."""
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_so_many_calls_go_at_once_and_the_next_waits() -> None:
    """R16, S59: a bucket; the wait is what must pass until the next call goes."""
    clock = Clock()
    limit = CallLimit(3, 60.0, clock=clock)
    assert [limit.take(ALICE) for _ in range(3)] == [0.0, 0.0, 0.0]
    wait = limit.take(ALICE)
    assert 19.9 < wait <= 20.0
    clock.now += wait
    assert limit.take(ALICE) == 0.0


def test_a_refused_call_uses_nothing() -> None:
    """L70's rule, kept here too: who waits for the time that was told goes."""
    clock = Clock()
    limit = CallLimit(1, 10.0, clock=clock)
    limit.take(ALICE)
    for _ in range(50):
        assert limit.take(ALICE) > 0
    clock.now += 10.0
    assert limit.take(ALICE) == 0.0


def test_callers_are_counted_apart() -> None:
    """S58: by issuer, tenant, subject and client; names that only look alike when joined are different."""
    limit = CallLimit(1, 60.0, clock=Clock())
    others = [
        ALICE,
        replace(ALICE, issuer="https://other.example"),
        replace(ALICE, tenant="globex"),
        replace(ALICE, subject="bob"),
        replace(ALICE, client="phone"),
        replace(ALICE, tenant="acm", subject="ealice"),
    ]
    assert [limit.take(one) for one in others] == [0.0] * len(others)
    assert all(limit.take(one) > 0 for one in others)


def test_scopes_and_roles_do_not_make_another_caller() -> None:
    """S58: a new token is not a new bucket."""
    limit = CallLimit(1, 60.0, clock=Clock())
    limit.take(ALICE)
    assert limit.take(replace(ALICE, scopes=("a",), roles=("b",), attributes={"claims": {}})) > 0


def test_a_flood_of_callers_resets_nobody() -> None:
    """S58: bounded, and a caller at the limit stays there however many others come."""
    limit = CallLimit(2, 60.0, most_keys=10, clock=Clock())
    limit.take(ALICE)
    limit.take(ALICE)
    for number in range(5_000):
        limit.take(replace(ALICE, subject=f"flood-{number}"))
    assert limit.take(ALICE) > 0
    assert len(limit) == 10


def test_a_flooder_gets_no_more_by_being_beyond_the_table() -> None:
    """S58: who shares a bucket waits sooner, never later, also when there is room again."""
    clock = Clock()
    limit = CallLimit(2, 60.0, most_keys=1, clock=clock)
    limit.take(ALICE)
    bob = replace(ALICE, subject="bob")
    assert [limit.take(bob) for _ in range(2)] == [0.0, 0.0]
    assert limit.take(bob) > 0
    clock.now += 31.0  # alice's bucket is full again and given up; bob has room for one more
    assert limit.take(bob) == 0.0
    assert limit.take(bob) > 0


def test_buckets_that_are_full_again_are_given_up() -> None:
    """S58: memory is bounded, and empties."""
    clock = Clock()
    limit = CallLimit(5, 10.0, clock=clock)
    for number in range(100):
        limit.take(replace(ALICE, subject=str(number)))
    clock.now += 11.0
    limit.take(ALICE)
    assert len(limit) == 1


@given(
    st.integers(1, 5),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 4, allow_nan=False)), max_size=80),
)
def test_nobody_gets_more_than_a_bucket_holds(calls: int, room: int, arrivals: list[tuple[int, float]]) -> None:
    """S59: within any span, at most `calls` and what flows in meanwhile, whoever else calls."""
    clock = Clock()
    limit = CallLimit(calls, 10.0, most_keys=room, clock=clock)
    went: dict[int, list[float]] = {}
    for who, pause in arrivals:
        clock.now += pause
        wait = limit.take(replace(ALICE, subject=str(who)))
        assert wait >= 0
        if not wait:
            went.setdefault(who, []).append(clock.now)
    for times in went.values():
        for first, begin in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= calls + (times[last] - begin) * calls / 10.0 + 1e-4
