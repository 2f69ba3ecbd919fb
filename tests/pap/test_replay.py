"""Recorded requests, decided again (issue 3, Build 5)."""

from __future__ import annotations

import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.records import NOTHING_MORE
from authz.model import Obligation, Request, Resource
from authz.pap.changes import Turn
from authz.pap.jobs import ReplayError, replay
from authz.pap.replay import MAX_NAMED, MAX_RECORD, Example, Line, Wanted
from authz.pap.tally import MAX_EXAMPLES, MAX_GROUPS
from tests.pap.records import TIME, loaded, log, record
from tests.strategies import Policy, cases, policies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.model import Decision

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EDITORS = loaded({"p.authz": 'tool "t" {\n  allow "e" role "editor"\n}\n'})
EVERYBODY = loaded({"p.authz": 'tool "t" {\n  allow "all" anyone\n}\n'})
NOBODY = loaded({"p.authz": ""})


def asked(count: int) -> list[Request]:
    """Return requests of which every third is an editor's, of two tenants."""
    return [
        Request(
            tool="t",
            subject=f"s{number}",
            roles=("editor",) if number % 3 == 0 else (),
            tenant=f"tenant{number % 2}",
            now=NOW,
        )
        for number in range(count)
    ]


def texts(policy: Policy) -> dict[str, str]:
    """Return the texts of a policy's files."""
    return {file.name: str(file) for file in policy.files}


# --- What is found --------------------------------------------------------------------------


@given(cases())
def test_the_same_policy_changes_no_answer(case: tuple[Policy, list[Request]]) -> None:
    """Issue 3: a request that is recorded in full is decided again exactly."""
    policy = loaded(texts(case[0]))
    report = replay(policy, log(policy.program, case[1]))
    assert (report.equal, report.changed, report.malformed, report.incomplete) == (len(case[1]), 0, 0, 0)
    assert report.groups == ()


@given(cases(), st.data())
def test_changes_are_those_that_deciding_by_both_shows(case: tuple[Policy, list[Request]], data: st.DataObject) -> None:
    """Issue 3: compared with the naive way, for random policies and requests."""
    old, new = loaded(texts(case[0])), loaded(texts(data.draw(policies())))
    report = replay(new, log(old.program, case[1]))
    expected = [
        (before.effect.name, after.effect.name, after.rules, _names(before), _names(after))
        for before, after in ((old.program.decide(r), new.program.decide(r)) for r in case[1])
        if before.effect is not after.effect or set(_names(before)) != set(_names(after))
    ]
    found = [
        (g.before.effect, g.after.effect, g.after.rules, g.before.obligations, g.after.obligations)
        for g in report.groups
        for _ in range(g.count)
    ]
    assert sorted(found) == sorted(expected)
    assert report.decided == len(case[1])


def _names(decision: Decision) -> tuple[str, ...]:
    return tuple(obligation.name for obligation in decision.obligations)


def test_changes_are_grouped_by_rule_and_tenant_with_allows_first() -> None:
    """Issue 3: grouped by rule and tenant, DENY→ALLOW first, with the first examples of each."""
    policy = loaded({"p.authz": 'tool "t" {\n  allow "all" anyone\n  deny "no" role "editor"\n}\n'})
    report = replay(policy, log(EDITORS.program, asked(12)))
    told = [(g.turn, g.before.rules, g.after.rules, g.tenant, g.count) for g in report.groups]
    assert told == [
        (Turn.NOW_ALLOWED, (), ("p:all",), "tenant1", 4),
        (Turn.NOW_ALLOWED, (), ("p:all",), "tenant0", 4),
        (Turn.NO_LONGER_ALLOWED, ("p:e",), ("p:no",), "tenant0", 2),
        (Turn.NO_LONGER_ALLOWED, ("p:e",), ("p:no",), "tenant1", 2),
    ]
    assert report.groups[0].examples == (Example(2, 2, "d2"), Example(6, 6, "d6"), Example(8, 8, "d8"))
    assert (report.equal, report.changed, report.widens) == (0, 12, True)


def test_an_obligation_less_than_recorded_is_a_widening() -> None:
    """L64: obligations are recorded by name, and belong to the answer."""
    old = loaded({"p.authz": 'tool "t" {\n  allow public then "a" then "b" { n: 1 }\n}\n'})
    new = loaded({"p.authz": 'tool "t" {\n  allow public then "b" { n: 2 }\n}\n'})
    lines = log(old.program, asked(1))
    assert old.program.decide(asked(1)[0]).obligations == (Obligation("a"), Obligation("b", {"n": 1}))
    assert replay(old, lines).changed == 0
    assert dict(replay(new, lines).turns) == {Turn.FEWER_OBLIGATIONS: 1}
    assert dict(replay(old, log(new.program, asked(1))).turns) == {Turn.OTHER_OBLIGATIONS: 1}


def test_only_what_is_wanted_is_decided() -> None:
    """Issue 3: since, until and tenant; from `since` until before `until`."""
    lines = log(EDITORS.program, asked(10))
    start = datetime.fromtimestamp(TIME / 1e9, UTC)

    def decided(wanted: Wanted) -> int:
        return replay(EDITORS, lines, wanted=wanted).decided

    assert decided(Wanted()) == 10
    assert decided(Wanted(tenant="tenant0")) == 5
    assert decided(Wanted(tenant="tenant")) == 0
    assert decided(Wanted(since=start + timedelta(seconds=3))) == 8
    assert decided(Wanted(until=start + timedelta(seconds=3))) == 2
    assert decided(Wanted("tenant0", start + timedelta(seconds=3), start + timedelta(seconds=5))) == 1


def test_records_without_their_request_are_counted() -> None:
    """Issue 3: a full request is recorded only when asked for."""
    short = record(EDITORS.program, asked(1)[0], contents=NOTHING_MORE)
    report = replay(EVERYBODY, [Line(1, short), *log(EDITORS.program, asked(1))])
    assert (report.incomplete, report.decided) == (1, 1)


def test_other_kinds_of_records_are_passed_over() -> None:
    """Issue 3: a log holds acts and authentications as well."""
    others = [Line(n, json.dumps({"seq": n, "kind": kind})) for n, kind in enumerate(("act", "loss", "authentication"))]
    report = replay(EVERYBODY, others)
    assert (report.decided, report.incomplete, report.malformed) == (0, 0, 0)


def test_a_sealed_segment_is_a_log_as_well() -> None:
    """Issue 3, retention: what was retired can be decided again; each record stands beside its hash there."""
    decision = record(EDITORS.program, asked(1)[0])
    segment = ['{"segment":1,"log":"00","start":{},"checkpoints":[]}', f'{{"hash":"00","record":{decision}}}']
    report = replay(EVERYBODY, [Line(number, text) for number, text in enumerate(segment, 1)])
    assert (report.decided, report.malformed) == (1, 0)


def test_a_pseudonym_is_no_subject_to_compare_with_an_owner() -> None:
    """Issue 3, pseudonyms: an answer that may hang on the subject cannot be had again, and is not made up."""
    request = Request(
        tool="t", subject="ann", tenant="a", resource=Resource("doc", "1", "a", {"owner": "ann"}), now=NOW
    )
    for rule in ("when resource.owner == subject.id", 'when subject in "group:x"'):
        owners = loaded({"p.authz": f'tool "t" {{\n  allow "o" anyone {rule}\n}}\n'})
        line = Line(1, record(owners.program, request, subject="p:0123"))
        assert replay(owners, [line]).incomplete == 1
        assert replay(EVERYBODY, [line]).decided == 1


def test_a_pseudonym_hidden_in_a_role_counts_as_well() -> None:
    """L11: a derived role may compare the subject."""
    policy = loaded(
        {"p.authz": 'role "owner" when resource.owner == subject.id\ntool "t" {\n  allow "o" role "owner"\n}\n'}
    )
    line = Line(1, record(policy.program, asked(1)[0], subject="p:0123"))
    assert replay(policy, [line]).incomplete == 1


# --- Bounds ---------------------------------------------------------------------------------


def test_as_many_groups_are_kept_as_there_is_room_for() -> None:
    """Threat model: bound everything that comes from outside; the count stays exact."""
    line = record(EDITORS.program, Request(tool="t", subject="ann", tenant="TENANT", now=NOW))
    many = (Line(n, line.replace("TENANT", f"t{n}")) for n in range(MAX_GROUPS + 50))
    report = replay(EVERYBODY, many)
    assert (len(report.groups), report.ungrouped, report.changed) == (MAX_GROUPS, 50, MAX_GROUPS + 50)


def test_texts_of_a_log_are_cut() -> None:
    """Threat model: bound everything that comes from outside."""
    rules = ["r" * 10_000] * 100
    line = json.loads(record(EDITORS.program, asked(2)[1])) | {"rules": rules, "reason": "x" * 100_000}
    (group,) = replay(EVERYBODY, [Line(1, json.dumps(line))]).groups
    assert len(repr(group)) < 10_000


def test_the_limit_is_exact() -> None:
    """Issue 3: stop after N decisions, wherever the others lie between them."""
    lines = [line for pair in zip(log(EDITORS.program, asked(2_000)), junk(), strict=False) for line in pair]
    whole = replay(EVERYBODY, lines[:20])
    limited = replay(EVERYBODY, iter(lines), limit=10)
    assert limited.decided == whole.decided == 10
    assert limited.groups == whole.groups


def junk() -> Iterator[Line]:
    """Yield lines that are no decisions."""
    while True:
        yield Line(0, '{"kind":"act"}')


def test_only_as_much_is_read_as_is_needed() -> None:
    """Issue 3: bounded memory; a log without an end can be replayed up to a limit."""

    def endless() -> Iterator[Line]:
        line = log(EDITORS.program, asked(1))[0]
        while True:
            yield line

    assert replay(EVERYBODY, endless(), limit=1_000).decided == 1_000
    assert replay(EVERYBODY, endless(), limit=3_000, jobs=2).decided == 3_000


# --- Lines from anywhere --------------------------------------------------------------------

GOOD = json.loads(record(EDITORS.program, asked(1)[0]))
DEEP = '{"kind":"decision","request":' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"not json", "is not valid JSON"),
        (b"\xff\xfe", "is not valid UTF-8 at byte 1"),
        (b"[]", "must be an object"),
        (b'"kind"', "must be an object"),
        (b"{}", "kind: is not given"),
        (b'{"subject":"ann","tool":"t"}', "kind: is not given"),
        (b'{"record":{"tool":"t"}}', "kind: is not given"),
        (b'{"record":"x"}', "kind: is not given"),
        (b'{"kind":"decision","kind":"act"}', "holds the name `kind` twice"),
        (b'{"kind":1}', "kind: must be a string"),
        (b'{"kind":"decision","tenant":5}', "tenant: must be a string"),
        (b'{"kind":"decision","time":"yesterday"}', "time: must be a time"),
        (b'{"kind":"decision","time":"2026-01-01T00:00:00"}', "time: must be a time"),
        (b'{"kind":"decision","request":5}', "request: must be an object"),
        (b'{"kind":"decision","request":{}}', "must be an object"),
        (b'{"kind":"decision","request":{"check":{"tool":""}}}', "tool: must not be empty"),
        (b'{"kind":"decision","x":1e999}', "x: is not a finite number"),
        (b'{"kind":"decision","x":NaN}', "holds `NaN`"),
        (DEEP.encode(), "nests deeper than"),
        (DEEP[:-2].encode(), "nests deeper than"),
        (json.dumps(GOOD | {"decision": "MAYBE"}).encode(), "decision: is none of ALLOW"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "decision"}).encode(), "decision: is none of ALLOW"),
        (json.dumps(GOOD | {"rules": "p:e"}).encode(), "rules: must be a list of strings"),
        (json.dumps(GOOD | {"obligations": [1]}).encode(), "obligations: must be a list of strings"),
        (json.dumps(GOOD | {"decision_id": {}}).encode(), "decision_id: must be a string"),
    ],
)
def test_a_line_that_is_no_record_spoils_only_itself(text: bytes, problem: str) -> None:
    """Issue 3, Bad input: named with what is wrong, and the others are decided all the same."""
    policy = NOBODY if problem.startswith("decision_id") else EDITORS
    lines = [Line(7, text), *log(EDITORS.program, asked(1))]
    report = replay(policy, lines)
    assert (report.malformed, report.decided) == (1, 1)
    assert report.problems[0].line == 7
    assert problem in report.problems[0].text


def test_a_line_that_is_too_long_is_refused_unread() -> None:
    """Threat model: bound everything that comes from outside."""
    report = replay(EDITORS, [Line(1, b"[" * (MAX_RECORD + 1))])
    assert report.problems[0].text == f"record: is larger than {MAX_RECORD} bytes"


def test_text_with_halves_of_surrogates_is_refused() -> None:
    """Stores hand over bytes that are no text as lone surrogates."""
    line = record(EDITORS.program, asked(1)[0]).replace("s0", "s\udcff")
    assert replay(EDITORS, [Line(1, line)]).malformed == 1


def test_the_first_bad_lines_are_named_and_all_are_counted() -> None:
    """Issue 3, Bad input: with an exact count."""
    report = replay(EDITORS, [Line(n, b"{") for n in range(1, 1_201)], jobs=1)
    assert report.malformed == 1_200
    assert [problem.line for problem in report.problems] == list(range(1, MAX_NAMED + 1))


@given(st.binary(max_size=200))
def test_no_bytes_at_all_are_an_exception(data: bytes) -> None:
    """Issue 3, Bad input: a log may come from anywhere."""
    report = replay(EDITORS, [Line(1, data)])
    assert report.decided == 0


def test_a_span_of_time_wants_a_time() -> None:
    """Issue 3: a decision that may lie within the span is not passed over in silence."""
    timeless = Line(1, json.dumps({name: value for name, value in GOOD.items() if name != "time"}))
    assert replay(EDITORS, [timeless]).decided == 1
    assert replay(EDITORS, [timeless], wanted=Wanted(since=NOW)).malformed == 1


# --- Several processes ----------------------------------------------------------------------


def mixed_log(count: int) -> list[Line]:
    """Return decisions, other records and bad lines, more than one process would decide alone."""
    lines = log(EDITORS.program, asked(count))
    lines[100:100] = [Line(0, b"{"), Line(0, b'{"kind":"act"}')] * 30
    return [Line(number, line.text) for number, line in enumerate(lines, 1)]


def test_any_number_of_processes_finds_the_same() -> None:
    """Issue 3: several processes; results in order whatever their number."""
    lines = mixed_log(2_600)
    alone, shared = (replay(EVERYBODY, iter(lines), jobs=jobs) for jobs in (1, 3))
    assert alone == shared
    assert (alone.decided, alone.malformed, len(alone.problems)) == (2_600, 30, MAX_NAMED)
    assert all(len(group.examples) == MAX_EXAMPLES for group in alone.groups)
    assert replay(EVERYBODY, iter(lines), jobs=2, limit=2_345) == replay(EVERYBODY, iter(lines), limit=2_345)
    assert multiprocessing.active_children() == []


def test_workers_decide_by_the_policy_that_was_read() -> None:
    """Issue 3: one decision function; a large line is no trouble for the pipes either."""
    big = Request(tool="t", subject="ann", arguments={"text": "x" * 3_000_000}, now=NOW)
    lines = [*log(EDITORS.program, asked(2_500)), *log(EDITORS.program, [big])]
    report = replay(EDITORS, lines, jobs=2)
    assert (report.equal, report.changed) == (2_501, 0)


def test_a_worker_that_is_killed_is_one_clear_error() -> None:
    """Threat model: an error never passes for an answer; no process is left behind."""

    def lines() -> Iterator[Line]:
        yield from islice(source := iter(log(EDITORS.program, asked(6_000))), 3_500)
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
        yield from source

    with pytest.raises(ReplayError, match="ended early"):
        replay(EVERYBODY, lines(), jobs=2)
    assert multiprocessing.active_children() == []


def test_what_reading_raises_ends_the_workers() -> None:
    """Threat model: an error never passes for an answer; no process is left behind."""

    def lines() -> Iterator[Line]:
        yield from log(EDITORS.program, asked(3_000))
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        replay(EVERYBODY, lines(), jobs=2)
    assert multiprocessing.active_children() == []
