"""Decide recorded requests again by another policy, and say whose answers would be different.

What was decided stands in the record; what is decided now is compared with it. Only records that
hold their request in full can be decided again. A log may come from anywhere: a line that is no
record spoils only itself, and is counted and named.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.errors import InvalidRequestError
from authz.json_form import read_json, request_from_recorded
from authz.lang import checked
from authz.model import Effect
from authz.pap.changes import Turn, turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from authz.model import Decision, Request
    from authz.pdp.program import Program

MAX_RECORD: Final = 32 * 1024 * 1024
"""Characters of one record: more than a request of 4 Mi characters (L60) comes to in JSON."""
MAX_NAMED: Final = 20
"""Lines that are no records and are named one by one; the others are counted."""
_MAX_TEXT: Final = 256
_MAX_LIST: Final = 16
_RECORDED_TEXT: Final = 1_024
_RECORDED_LIST: Final = 50
"""What a record holds of a decision's obligations is cut to this; so is what it is compared with."""
_PSEUDONYM: Final = "p:"

_EFFECTS: Final = {effect.name: effect for effect in Effect}


class Line(NamedTuple):
    """One record of a log as it was read, and where it stands there, counted from 1."""

    number: int
    text: bytes | str


class Wanted(NamedTuple):
    """Which decisions are decided again: those of one tenant, and of a time from `since` until before `until`."""

    tenant: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERY_DECISION: Final = Wanted()


class Verdict(IntEnum):
    """What came of one line."""

    EQUAL = 0
    DIFFERENT = 1
    INCOMPLETE = 2
    """A decision whose record does not hold the request, or not the subject that the policy asks for."""
    PASSED_OVER = 3
    """Another kind of record, or not wanted."""
    MALFORMED = 4


class Answer(NamedTuple):
    """What was or is answered, by their names, long lists and texts cut."""

    effect: str
    reason: str
    rules: tuple[str, ...]
    obligations: tuple[str, ...]


class Difference(NamedTuple):
    """One record that would be answered differently."""

    turn: Turn
    before: Answer
    after: Answer
    tenant: str
    example: Example


class Example(NamedTuple):
    """Where to find a record: its line, and what it says its number and decision id are."""

    line: int
    seq: int | None
    decision_id: str


class Problem(NamedTuple):
    """A line that is no record, and why."""

    line: int
    text: str


class Judged(NamedTuple):
    """What came of some lines: a `Verdict` each, and more on some, each with its place among the lines."""

    verdicts: bytes
    differences: Sequence[tuple[int, Difference]]
    problems: Sequence[tuple[int, Problem]]


class Judge(NamedTuple):
    """What decides again, and which records; `reads_subject` says that a pseudonym would not do."""

    program: Program
    wanted: Wanted
    reads_subject: bool


def prepared(program: Program, wanted: Wanted) -> Judge:
    """Return what judges records by this program."""
    return Judge(program, wanted, reads_subject(program))


def judge(by: Judge, lines: Iterable[Line]) -> Judged:
    """Decide the records of these lines again, and compare."""
    verdicts = bytearray()
    differences: list[tuple[int, Difference]] = []
    problems: list[tuple[int, Problem]] = []
    for index, line in enumerate(lines):
        try:
            found = _judge(by, line)
        except InvalidRequestError as error:
            found = Verdict.MALFORMED
            if len(problems) < MAX_NAMED:
                problems.append((index, Problem(line.number, _cut(str(error)))))
        if isinstance(found, Difference):
            differences.append((index, found))
            found = Verdict.DIFFERENT
        verdicts.append(found)
    return Judged(bytes(verdicts), differences, problems)


def _judge(by: Judge, line: Line) -> Verdict | Difference:
    """Decide one record again. Raises `InvalidRequestError` for a line that is no record."""
    decision = read_decision(line, by.wanted)
    if decision is None:
        return Verdict.PASSED_OVER
    request, record = decision
    if request is None or (by.reads_subject and has_pseudonym(request)):
        return Verdict.INCOMPLETE
    before, after = _recorded(record), _decided(by.program.decide(request))
    changed = turn(_EFFECTS[before.effect], _EFFECTS[after.effect], set(before.obligations), set(after.obligations))
    if changed is None:
        return Verdict.EQUAL
    seq = record.get("seq")
    example = Example(line.number, seq if type(seq) is int else None, _cut(_text(record, "decision_id")))
    return Difference(changed, _shortened(before), _shortened(after), _cut(_text(record, "tenant")), example)


class RecordedDecision(NamedTuple):
    """A decision's record; `request` is None where it does not hold the request."""

    request: Request | None
    record: Mapping[str, object]


def read_decision(line: Line, wanted: Wanted = EVERY_DECISION) -> RecordedDecision | None:
    """Read a decision's record; None is another kind of record, or one that is not wanted.

    Raises `InvalidRequestError` for a line that is no record.
    """
    record = _read(line.text)
    if _text(record, "kind") != "decision":
        return None
    time = _time(record)
    if not _is_wanted(wanted, _text(record, "tenant"), time):
        return None
    value = record.get("request")
    return RecordedDecision(None if value is None else request_from_recorded(value, now=time), record)


def _read(text: bytes | str) -> dict[str, object]:
    if len(text) > MAX_RECORD:
        raise InvalidRequestError("record", f"is larger than {MAX_RECORD} bytes")
    try:
        value = read_json(text if isinstance(text, str) else text.decode())
    except UnicodeDecodeError as error:
        raise InvalidRequestError("record", f"is not valid UTF-8 at byte {error.start + 1}") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("record", "must be an object")
    return value if "kind" in value else _unsealed(value)


def _unsealed(value: dict[str, object]) -> dict[str, object]:
    """Return the record in a line of a sealed segment, where each stands beside its hash."""
    record = value.get("record")
    if isinstance(record, dict) and "kind" in record:
        return record
    if "segment" in value:  # the first line, which says where the segment begins
        return {"kind": "segment"}
    raise InvalidRequestError("kind", "is not given: this is no record of a decision log")


def _is_wanted(wanted: Wanted, tenant: str, time: datetime | None) -> bool:
    if wanted.tenant is not None and tenant != wanted.tenant:
        return False
    if wanted.since is None and wanted.until is None:
        return True
    if time is None:  # neither in nor out of a span of time: not to be passed over in silence
        raise InvalidRequestError("time", "is not given")
    return (wanted.since is None or time >= wanted.since) and (wanted.until is None or time < wanted.until)


def _recorded(record: Mapping[str, object]) -> Answer:
    """Return what the record says was answered."""
    effect = _text(record, "decision")
    if effect not in _EFFECTS:
        raise InvalidRequestError("decision", "is none of ALLOW, DENY and CONDITIONAL")
    return Answer(effect, _text(record, "reason"), _texts(record, "rules"), _texts(record, "obligations"))


def _decided(decision: Decision) -> Answer:
    obligations = tuple(_cut(o.name, _RECORDED_TEXT) for o in decision.obligations[:_RECORDED_LIST])
    return Answer(decision.effect.name, decision.reason.name, decision.rules, obligations)


def _text(record: Mapping[str, object], name: str) -> str:
    value = record.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequestError(name, "must be a string")
    return value


def _texts(record: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = record.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequestError(name, "must be a list of strings")
    return tuple(value)


def _time(record: Mapping[str, object]) -> datetime | None:
    text = _text(record, "time")
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidRequestError("time", "must be a time as in RFC 3339")
    return time


def _cut(text: str, most: int = _MAX_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _shortened(answer: Answer) -> Answer:
    """Return an answer that may be kept: a log can name as many rules as it likes."""
    rules, obligations = (tuple(map(_cut, names[:_MAX_LIST])) for names in (answer.rules, answer.obligations))
    return Answer(answer.effect, _cut(answer.reason), rules, obligations)


def has_pseudonym(request: Request) -> bool:
    """Say whether the log has put a pseudonym in the place of the subject."""
    return request.subject.startswith(_PSEUDONYM)


def reads_subject(program: Program) -> bool:
    """Say whether an answer may depend on who the subject is, and not only on what is known of them."""
    rules = (rule.condition for block in program.policy.blocks for rule in block.rules)
    waiting: list[object] = [*rules, *(role.condition for role in program.policy.derived)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, checked.InEntity) and node.root == "subject":
            return True
        if isinstance(node, checked.Builtin) and node.name.startswith("subject"):
            return True
        if isinstance(node, tuple) and not isinstance(node, checked.Place):
            waiting.extend(node)
    return False
