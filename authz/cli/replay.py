"""`authz-eval replay`: decide recorded requests again before another policy does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Command, count, print_json, reported, say
from authz.cli.options import format_option
from authz.cli.progress import progress
from authz.cli.recorded import is_store, is_version, load_stored, opened_log, read_time, version_store_option
from authz.cli.render import BOLD, GREEN, RED, YELLOW, paint_for, printable
from authz.pap.changes import Turn
from authz.pap.jobs import ReplayError, replay
from authz.pap.loader import load
from authz.pap.replay import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from authz.cli.render import Paint
    from authz.pap.loader import LoadedPolicy
    from authz.pap.replay import Answer, Example
    from authz.pap.tally import Group, Report

MAX_JOBS: Final = 64

HEADINGS: Final = {
    Turn.NOW_ALLOWED: ("DENY -> ALLOW", RED),
    Turn.FEWER_OBLIGATIONS: ("ALLOW with fewer obligations", RED),
    Turn.NO_LONGER_ALLOWED: ("ALLOW -> DENY", YELLOW),
    Turn.OTHER_OBLIGATIONS: ("ALLOW with more obligations", GREEN),
}


@click.command("replay", cls=Command, example="authz-eval replay --log decisions.jsonl --policies policies/documents")
@click.option("--log", required=True, metavar="FILE", help="The store whose log it is, or JSON lines; `-` is stdin.")
@click.option("--policies", metavar="PATH", help="Decide by the policy in this directory or file.")
@click.option("--version", metavar="NUMBER", help="Decide by this version in the store, or by the `active` one.")
@version_store_option
@click.option(
    "--fail-on", type=click.Choice(["widening", "any"]), help="End with 7 if an answer became wider, or at all another."
)
@click.option("--jobs", type=click.IntRange(1, MAX_JOBS), help="How many processes decide.  [default: one a core]")
@click.option("--since", callback=read_time, metavar="TIME", help="Decisions of this time or later.")
@click.option("--until", callback=read_time, metavar="TIME", help="Decisions before this time.")
@click.option("--tenant", metavar="TENANT", help="Decisions for callers of this tenant.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after N decisions.")
@format_option
@reported
def main(  # noqa: PLR0913, PLR0917  # one parameter an option
    log: str,
    policies: str | None,
    version: str | None,
    store: Path | None,
    fail_on: Literal["widening", "any"] | None,
    jobs: int | None,
    since: datetime | None,
    until: datetime | None,
    tenant: str | None,
    limit: int | None,
    format_: Literal["human", "json"],
) -> ExitCode:
    """Decide recorded requests again and list whose answers change.

    Answers are compared with those recorded; only records that hold their request in full can be decided again.
    With `--fail-on`, a log in which lines are unreadable, or nothing can be decided again, ends with 1.
    """
    loaded = _policy(policies, version, store, log)
    try:
        with opened_log(log) as opened, progress("records", opened.part) as step:
            report = replay(
                loaded,
                opened.lines,
                wanted=Wanted(tenant, since, until),
                jobs=jobs or _cores(),
                limit=limit,
                progress=step,
            )
            noun = opened.noun
    except ReplayError as error:
        say(str(error))
        return ExitCode.FAILED
    if format_ == "json":
        print_json(_to_json(report, loaded.program.revision), indent=2)
    else:
        for line in _rendered(report, noun, paint_for(sys.stdout)):
            click.echo(line)
    _tell_problems(report, noun)
    return _verdict(report, fail_on)


def _policy(policies: str | None, version: str | None, store: Path | None, log: str) -> LoadedPolicy:
    """Load the policy that is to decide; where the log is a store's, versions are of that store unless one is named."""
    if (policies is None) == (version is None):
        raise click.UsageError("give either `--policies` or `--version`")
    if policies is not None:
        return load(policies)
    assert version is not None  # one of the two is given
    if not is_version(version):
        raise click.UsageError(f"`--version` must be a number or `active`, not `{version}`")
    return load_stored(version, Path(log) if store is None and is_store(log) else store)


def _cores() -> int:
    return min(MAX_JOBS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _verdict(report: Report, fail_on: Literal["widening", "any"] | None) -> ExitCode:
    if fail_on is None:
        return ExitCode.OK
    if report.widens or (fail_on == "any" and report.changed):
        return ExitCode.DIFFERENCE
    if report.malformed:
        return ExitCode.FAILED
    if report.incomplete and not report.decided:
        say("no record holds its request in full, so nothing was decided again")
        return ExitCode.FAILED
    if not report.decided:
        say("the log holds no decision that was asked for, so nothing was decided again")
        return ExitCode.FAILED
    return ExitCode.OK


def _tell_problems(report: Report, noun: str) -> None:
    for problem in report.problems:
        say(f"{noun} {problem.line}: {problem.text}")
    if report.malformed:
        say(f"{count(report.malformed, noun)} could not be read and {_were(report.malformed)} passed over")


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


# --- For people -----------------------------------------------------------------------------


def _rendered(report: Report, noun: str, paint: Paint) -> Iterator[str]:
    for group in report.groups:
        yield from _group(group, noun, paint)
        yield ""
    if report.ungrouped:
        yield f"{count(report.ungrouped, 'more change')} in groups too many to list"
    summary = f"{count(report.decided, 'record')} decided again: {report.equal} equal, {report.changed} changed"
    widened = sum(number for turn, number in report.turns.items() if turn.widens)
    yield f"{summary}, {widened} of them wider" if report.changed else summary
    if report.incomplete:
        yield f"{count(report.incomplete, 'decision')} not recorded in full"


def _group(group: Group, noun: str, paint: Paint) -> Iterator[str]:
    heading, colour = HEADINGS[group.turn]
    tenant = f"tenant {printable(group.tenant)}" if group.tenant else "no tenant"
    yield f"{paint(heading, colour, BOLD)}  {count(group.count, 'record')}, {tenant}"
    yield f"  was: {_answer(group.before)}"
    yield f"  now: {_answer(group.after)}"
    more = "…" if group.count > len(group.examples) else ""
    yield f"  {noun}s: {', '.join(_example(example) for example in group.examples)}{more and ', '}{more}"


def _answer(answer: Answer) -> str:
    text = f"{answer.effect} {printable(answer.reason)}"
    if answer.rules:
        text += f" by {printable(', '.join(answer.rules))}"
    if answer.obligations:
        text += f" then {printable(', '.join(answer.obligations))}"
    return text


def _example(example: Example) -> str:
    number = f"{example.line}" if example.seq in {None, example.line} else f"{example.line} (seq {example.seq})"
    return f"{number} {printable(example.decision_id)}".rstrip()


# --- For programs ---------------------------------------------------------------------------


def _to_json(report: Report, revision: str) -> dict[str, object]:
    return {
        "policy_revision": revision,
        "decided": report.decided,
        "equal": report.equal,
        "changed": report.changed,
        "wider": sum(number for turn, number in report.turns.items() if turn.widens),
        "not_recorded_in_full": report.incomplete,
        "malformed": report.malformed,
        "groups": [_group_to_json(group) for group in report.groups],
        "ungrouped": report.ungrouped,
        "problems": [{"line": problem.line, "message": problem.text} for problem in report.problems],
    }


def _group_to_json(group: Group) -> dict[str, object]:
    return {
        "change": group.turn.name,
        "widening": group.turn.widens,
        "tenant": group.tenant,
        "count": group.count,
        "before": group.before._asdict(),
        "after": group.after._asdict(),
        "examples": [example._asdict() for example in group.examples],
    }
