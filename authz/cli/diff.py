"""`authz-eval policy diff`: what differs between two policies, rule by rule, and whose answers would change."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Command, count, print_json, reported, say
from authz.cli.options import format_option
from authz.cli.progress import part_of, progress
from authz.cli.questions import opened, read_questions
from authz.cli.recorded import is_store, is_version, load_policy, opened_log, version_store_option
from authz.cli.render import BOLD, GREEN, RED, YELLOW, paint_for, printable, render_decision_line
from authz.cli.replay import HEADINGS
from authz.errors import InvalidRequestError
from authz.json_form import decision_to_json, request_from_json
from authz.pap.changes import AnswerChange, Turn, answer_changes, policy_changes, turn_of
from authz.pap.replay import has_pseudonym, read_decision, reads_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from authz.cli.questions import Question
    from authz.cli.render import Paint
    from authz.model import Decision, Request
    from authz.pap.changes import PolicyChange
    from authz.pap.replay import Line
    from authz.pdp.program import Program

MAX_LISTED: Final = 1_000
"""Changed answers of one kind that are listed; the others are counted."""
_MAX_PROBLEMS: Final = 20


@click.command("diff", cls=Command, example="authz-eval policy diff policies/documents policies/filesystem")
@click.argument("old")
@click.argument("new")
@click.option("--requests", metavar="FILE", help="Requests to decide by both: one, or JSON lines; `-` is stdin.")
@click.option("--log", metavar="FILE", help="A log whose requests to decide by both: a store, or JSON lines.")
@version_store_option
@format_option
@reported
def main(
    old: str,
    new: str,
    requests: str | None,
    log: str | None,
    store: Path | None,
    format_: Literal["human", "json"],
) -> ExitCode:
    """Say what differs between two policies, rule by rule, and whose answers would change.

    OLD and NEW are numbers of versions or `active`, or directories or files.
    Ends with 7 when any of the requests is answered differently.
    """
    if requests is not None and log is not None:
        raise click.UsageError("give either `--requests` or `--log`")
    if store is None and log is not None and is_store(log) and (is_version(old) or is_version(new)):
        store = Path(log)
    before, after = load_policy(old, store), load_policy(new, store)
    changes = policy_changes(before, after)
    answers = Answers({}, {}, 0, 0, 0, ())
    if requests is not None or log is not None:
        exact = reads_subject(before.program) or reads_subject(after.program)
        with _asked(requests, log, exact=exact) as asked:
            answers = _compare(before.program, after.program, asked)
    if format_ == "json":
        print_json(_to_json(changes, answers), indent=2)
    else:
        for line in _rendered(changes, answers, asked=requests is not None or log is not None):
            click.echo(line)
    for problem in answers.problems:
        say(problem)
    if answers.malformed:
        say(f"{count(answers.malformed, 'line')} could not be read and passed over")
    if answers.counts:
        return ExitCode.DIFFERENCE
    return ExitCode.USAGE if answers.malformed else ExitCode.OK


# --- Asking ---------------------------------------------------------------------------------


class Asked(NamedTuple):
    """One request and its line; `request` is None where the record does not hold it, or for a `problem`."""

    line: int
    request: Request | None = None
    problem: str = ""


class Asking(NamedTuple):
    """What is asked, and what to tell how many have been."""

    items: Iterator[Asked]
    step: Callable[[int], None]


class Changed(NamedTuple):
    """One changed answer, short enough to keep: where the request stands, and whose it is."""

    line: int
    who: dict[str, str]
    before: Decision
    after: Decision


class Answers(NamedTuple):
    """What came of the requests: the first changes of each kind, and how many there are of each."""

    listed: dict[Turn, list[Changed]]
    counts: dict[Turn, int]
    decided: int
    incomplete: int
    malformed: int
    problems: tuple[str, ...]


@contextmanager
def _asked(requests: str | None, log: str | None, *, exact: bool) -> Iterator[Asking]:
    """Open what is to be decided by both; `exact` says that a pseudonym would not do for the subject."""
    if log is not None:
        with opened_log(log) as source, progress("records", source.part) as step:
            yield Asking(_from_log(source.lines, source.noun, exact=exact), step)
        return
    assert requests is not None  # checked by the command
    with opened(requests) as stream, progress("requests", part_of(stream)) as step:
        yield Asking(_from_requests(read_questions(stream).items), step)


def _compare(old: Program, new: Program, asking: Asking) -> Answers:
    """Decide what is asked by both, counting on the way what could not be."""
    listed: dict[Turn, list[Changed]] = {turn: [] for turn in Turn}
    counts = dict.fromkeys(Turn, 0)
    problems: list[str] = []
    decided = incomplete = malformed = 0
    line = 0

    def valid() -> Iterator[Request]:
        nonlocal decided, incomplete, malformed, line
        for number, asked in enumerate(asking.items, 1):
            asking.step(number)
            if asked.request is not None:
                decided += 1
                line = asked.line
                yield asked.request
            elif asked.problem:
                malformed += 1
                problems[len(problems) : _MAX_PROBLEMS] = [asked.problem]
            else:
                incomplete += 1

    for change in answer_changes(old, new, valid()):  # lazy: `line` is that of the request just decided
        turn = turn_of(change)
        counts[turn] += 1
        if len(listed[turn]) < MAX_LISTED:
            listed[turn].append(Changed(line, _who(change), change.before, change.after))
    counts = {turn: number for turn, number in counts.items() if number}
    return Answers(listed, counts, decided, incomplete, malformed, tuple(problems))


def _from_requests(questions: Iterable[Question]) -> Iterator[Asked]:
    for question in questions:
        try:
            if question.problem is not None:
                raise question.problem
            yield Asked(question.line, request_from_json(question.value))
        except InvalidRequestError as error:
            yield Asked(question.line, problem=f"line {question.line}: {error}")


def _from_log(lines: Iterable[Line], noun: str, *, exact: bool) -> Iterator[Asked]:
    for line in lines:
        try:
            found = read_decision(line)
        except InvalidRequestError as error:
            yield Asked(line.number, problem=f"{noun} {line.number}: {error}")
            continue
        if found is not None:
            request = found.request
            yield Asked(line.number, None if request is None or (exact and has_pseudonym(request)) else request)


def _who(change: AnswerChange) -> dict[str, str]:
    request = change.request
    resource = f"{request.resource.type}:{request.resource.id}" if request.resource is not None else ""
    who = {"subject": request.subject, "tenant": request.tenant, "tool": request.tool, "resource": resource}
    return {name: text for name, text in who.items() if text}


# --- For people -----------------------------------------------------------------------------


def _rendered(changes: Sequence[PolicyChange], answers: Answers, *, asked: bool) -> Iterator[str]:
    paint = paint_for(sys.stdout)
    for change in changes:
        yield from _change(change, paint)
        yield ""
    for turn, found in answers.listed.items():
        for changed in found:
            yield from _changed(turn, changed, paint)
            yield ""
        if (more := answers.counts.get(turn, 0) - len(found)) > 0:
            yield f"{HEADINGS[turn][0]}: {more} more\n"
    added = sum(not change.before for change in changes)
    removed = sum(not change.after for change in changes)
    yield f"rules and declarations: {added} added, {removed} removed, {len(changes) - added - removed} changed"
    if asked:
        yield _summary(answers)
    if answers.incomplete:
        yield f"{count(answers.incomplete, 'decision')} not recorded in full"


def _summary(answers: Answers) -> str:
    changed = sum(answers.counts.values())
    wider = sum(number for turn, number in answers.counts.items() if turn.widens)
    text = f"{count(answers.decided, 'request')} decided by both: {answers.decided - changed} equal, {changed} changed"
    return f"{text}, {wider} of them wider" if changed else text


def _change(change: PolicyChange, paint: Paint) -> Iterator[str]:
    sign, colour = ("+", GREEN) if not change.before else ("-", RED) if not change.after else ("~", YELLOW)
    yield paint(f"{sign} {printable(change.name)}", colour, BOLD)
    for mark, text, shade in (("-", change.before, RED), ("+", change.after, GREEN)):
        for line in text.split("\n") if text else ():
            yield paint(f"    {mark} {printable(line)}", shade)


def _changed(turn: Turn, changed: Changed, paint: Paint) -> Iterator[str]:
    heading, colour = HEADINGS[turn]
    who = ", ".join(f"{name} {printable(text)}" for name, text in changed.who.items())
    yield f"{paint(heading, colour, BOLD)}  line {changed.line}: {who}"
    for word, decision in (("was", changed.before), ("now", changed.after)):
        then = ", ".join(printable(obligation.name) for obligation in decision.obligations)
        yield f"  {word}: {render_decision_line(decision)}{f' then {then}' if then else ''}"


# --- For programs ---------------------------------------------------------------------------


def _to_json(changes: Sequence[PolicyChange], answers: Answers) -> dict[str, object]:
    return {
        "changes": [change._asdict() for change in changes],
        "answers": [
            {
                "change": turn.name,
                "widening": turn.widens,
                "line": changed.line,
                **changed.who,
                "before": decision_to_json(changed.before),
                "after": decision_to_json(changed.after),
            }
            for turn, found in answers.listed.items()
            for changed in found
        ],
        "counts": {turn.name: number for turn, number in answers.counts.items()},
        "decided": answers.decided,
        "not_recorded_in_full": answers.incomplete,
        "malformed": answers.malformed,
    }
