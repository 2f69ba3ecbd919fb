"""`authz-eval`: decide, explain, validate and test policies without a server.

Each command parses its arguments, calls one function and renders what that returns. Imports that
only one command needs stand inside it: how soon `check` answers is a published figure.
"""

# ruff: noqa: PLC0415  # what only one command needs is imported in it; see above
from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Program, complain, count, print_json, reported
from authz.cli.options import (
    VALUES_NOTE,
    RequestFlags,
    format_option,
    now_option,
    policies_argument,
    request_flags,
    stored_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from authz.cli.questions import Question
    from authz.json_form import Call
    from authz.model import Decision, Explanation, Fact, Request
    from authz.pdp.program import Program as Compiled

    Answer: TypeAlias = tuple[Decision, Explanation | None]
    Format: TypeAlias = Literal["human", "json"]

_EXAMPLE = "policies/documents --subject alice --role viewer --scope docs:read --tool list_documents"
_WIDTH = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


_ELSEWHERE = {name: f"authz.cli.{name}" for name in ("directory", "init", "lint", "log", "policy", "replay", "token")}


@click.group(cls=Program, context_settings=_WIDTH, no_args_is_help=False, elsewhere=_ELSEWHERE)
@click.version_option(package_name="authz", message="%(prog)s %(version)s")
def main() -> None:
    """Decide, explain, check and test authz policies.

    Exit codes: 0 allowed or fine, 1 could not run, 2 wrong usage or malformed request, 3 denied, 4 policy invalid,
    5 tests failed, 6 coverage too low, 7 difference or warning found.
    """


@main.command(epilog=VALUES_NOTE, example=f"authz-eval check {_EXAMPLE}")
@click.argument("policies", type=click.Path(), required=False)
@click.option("--request", "request_file", metavar="FILE", help="A request, or JSON lines of them; `-` is stdin.")
@click.option("--lines", is_flag=True, help="The file holds JSON lines, whatever it looks like.")
@click.option("--server", metavar="HOST:PORT", help="Ask this running server instead of evaluating POLICIES.")
@stored_option
@click.option("--timeout", type=float, default=5.0, metavar="SECONDS", help="How long to wait.", show_default=True)
@request_flags(call=True)
@now_option
@format_option
@reported
def check(  # noqa: PLR0913, PLR0917  # one parameter an option
    policies: str | None,
    request_file: str | None,
    lines: bool,  # noqa: FBT001  # click passes it by name
    server: str | None,
    store: str | None,
    timeout: float,
    flags: RequestFlags,
    now: str | None,
    format_: Format,
) -> ExitCode:
    """Decide one request, or many.

    JSON lines are answered in their order, one line each; one that is malformed gets an error in its place.
    """
    if (policies is None) == (server is None):
        raise click.UsageError("give either POLICIES or `--server`")
    if server is not None and store is not None:
        raise click.UsageError("`--server` and `--store` cannot be given together: a server completes from its own")
    if server is not None and now is not None:
        raise click.UsageError("`--now` cannot be sent: a server decides by its own clock")
    if request_file is None:
        if lines:
            raise click.UsageError("`--lines` needs `--request`")
        value = _from_flags(flags)
        with _asker(policies, server, store, timeout) as ask:
            return _ask_one(ask, _call(value, now), format_)
    _no_flags_beside_a_file(flags)
    with _asker(policies, server, store, timeout) as ask:
        return _ask_file(ask, request_file, lines, now, format_)


@main.command(epilog=VALUES_NOTE, example=f"authz-eval explain {_EXAMPLE}")
@policies_argument
@click.option("--request", "request_file", metavar="FILE", help="A request; `-` is stdin.")
@stored_option
@request_flags(call=True)
@now_option
@format_option
@reported
def explain(  # one parameter an option
    policies: str, request_file: str | None, store: str | None, flags: RequestFlags, now: str | None, format_: Format
) -> ExitCode:
    """Decide one request and show how.

    Prints each rule that could have had a say, each condition with the values it saw, and the nearest miss.
    """
    if request_file is None:
        value = _from_flags(flags)
    else:
        _no_flags_beside_a_file(flags)
        value = _only(request_file)
    with _asker(policies, None, store) as ask:
        _, explanation = ask(replace(_call(value, now), explain=True, min_policy_revision=""))
    assert explanation is not None  # it was asked for
    if format_ == "json":
        print_json(_answer_to_json(explanation.decision, explanation), indent=2)
    else:
        from authz.cli.render import paint_for, render_explanation

        click.echo(render_explanation(explanation, paint_for(sys.stdout)))
    return _verdict(explanation.decision)


@main.command(example="authz-eval validate policies/documents")
@policies_argument
@format_option
@reported
def validate(policies: str, format_: Format) -> ExitCode:
    """Check a policy and say every error in it."""
    from authz.errors import PolicyError
    from authz.pap.loader import load

    try:
        loaded = load(policies)
    except PolicyError as error:
        complain(error.diagnostics, format_, err=False)
        return ExitCode.INVALID_POLICY
    rules = len(loaded.program.outline())
    if format_ == "json":
        files = [source.path for source in loaded.sources]
        answer = {"valid": True, "files": files, "rules": rules, "revision": loaded.program.revision, "diagnostics": []}
        print_json(answer)
    else:
        from authz.cli.render import printable

        files_and_rules = f"{count(len(loaded.sources), 'file')}, {count(rules, 'rule')}"
        click.echo(f"{printable(policies)} is valid: {files_and_rules}, revision {loaded.program.revision}")
    return ExitCode.OK


@main.command(example="authz-eval fmt --diff policies/documents")
@click.argument("paths", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--check", "mode", flag_value="check", help="Name the files that would change.")
@click.option("--diff", "mode", flag_value="diff", help="Print what would change.")
@click.option("--write", "mode", flag_value="write", help="Rewrite the files.")
@click.option("--stdin-name", default="stdin.authz", metavar="NAME", help="What `-` is; tests end in `_test.authz`.")
@reported
def fmt(paths: tuple[str, ...], mode: str | None, stdin_name: str) -> ExitCode:
    """Print policies and tests in canonical form.

    Comments stay where they belong.
    """
    from authz.cli import formatting

    if mode == "write" and "-" in paths:
        raise click.UsageError("stdin cannot be rewritten")
    files = formatting.format_paths(paths, stdin_name)
    match mode:
        case "check":
            return formatting.check(files)
        case "diff":
            return formatting.diff(files)
        case "write":
            return formatting.write(files)
        case _:
            return formatting.show(files)


@main.command(example="authz-eval lock policies/documents")
@policies_argument
@reported
def lock(policies: str) -> ExitCode:
    """Write the manifest, `authz.sum`.

    From then on the policy loads only while its files are these very ones, byte for byte.
    """
    from authz.pap.loader import lock_folder

    path, files = lock_folder(policies)
    click.echo(f"{path}: {count(files, 'file')}")
    return ExitCode.OK


@main.command(example="authz-eval test policies/documents --coverage --fail-under 90")
@policies_argument
@click.option("--filter", "select", default="", metavar="TEXT", help="Run the tests whose name or file holds TEXT.")
@click.option("--coverage", "with_coverage", is_flag=True, help="Also say which rules and conditions no test reaches.")
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="PERCENT", help="Fail when less is covered.")
@click.option(
    "--format", "format_", type=click.Choice(["human", "json", "junit"]), default="human", help="How to print."
)
@reported
def test(
    policies: str,
    select: str,
    with_coverage: bool,  # noqa: FBT001  # click passes it by name
    fail_under: float | None,
    format_: Literal["human", "json", "junit"],
) -> ExitCode:
    """Run the tests of a policy, `*_test.authz`."""
    from authz.cli.render import paint_for
    from authz.pap.coverage import measure
    from authz.pap.loader import load, load_tests
    from authz.pap.report import render_human, to_json, to_junit
    from authz.pap.testing import run_tests

    program = load(policies).program
    report = run_tests(program, load_tests(policies), select)
    coverage = measure(program, report.explanations) if with_coverage or fail_under is not None else None
    if format_ == "json":
        print_json(to_json(report) | ({"coverage": to_json(coverage)} if coverage else {}), indent=2)
    else:
        colour = paint_for(sys.stdout).on
        click.echo(to_junit(report) if format_ == "junit" else render_human(report, color=colour), nl=False)
        if coverage:
            click.echo(render_human(coverage, color=colour), nl=False, err=format_ == "junit")
    if not report.passed:
        return ExitCode.TESTS_FAILED
    if coverage and fail_under is not None and coverage.percent < fail_under:
        return ExitCode.COVERAGE_TOO_LOW
    return ExitCode.OK


@main.command(
    epilog=VALUES_NOTE,
    example="authz-eval tools policies/documents --subject alice --role viewer --scope docs:read",
)
@policies_argument
@click.option("--tools", "tools_file", metavar="FILE", help="A server's answer to tools/list; `-` is stdin.")
@request_flags(call=False)
@now_option
@format_option
@reported
def tools(policies: str, tools_file: str | None, flags: RequestFlags, now: str | None, format_: Format) -> ExitCode:
    """Say which of the known tools a caller may use.

    Each is asked for without arguments.
    The known tools are those that the policy names without a `*`, and those of `--tools`.
    """
    from authz.cli import catalogue
    from authz.pap.loader import load

    loaded = load(policies)
    known = catalogue.known_tools(loaded.checked, catalogue.read_tools(tools_file) if tools_file else ())
    asked = [(tool.name, _call(tool.ask(flags.to_json()), now).request) for tool in known]
    answers = [(name, loaded.program.decide(request)) for name, request in asked]
    if format_ == "json":
        print_json(catalogue.answers_to_json(answers), indent=2)
    else:
        from authz.cli.render import paint_for

        click.echo(catalogue.render_answers(answers, paint_for(sys.stdout)), nl=False)
    return ExitCode.OK


@main.command(example="authz-eval scopes policies/documents")
@policies_argument
@click.option("--tools", "tools_file", metavar="FILE", help="A server's answer to tools/list; `-` is stdin.")
@format_option
@reported
def scopes(policies: str, tools_file: str | None, format_: Format) -> ExitCode:
    """Print which scopes each tool needs."""
    from authz.cli import catalogue
    from authz.pap.loader import load

    loaded = load(policies)
    rows = catalogue.scope_rows(loaded.checked, catalogue.read_tools(tools_file) if tools_file else ())
    if format_ == "json":
        print_json(catalogue.rows_to_json(rows), indent=2)
    else:
        click.echo(catalogue.render_rows(rows), nl=False)
    return ExitCode.OK


@main.command(example='eval "$(authz-eval completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> ExitCode:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click.Choice allows only shells that click knows
    script = kind(main, {}, "authz-eval", "_AUTHZ_EVAL_COMPLETE")
    click.echo(script.source_template % script.source_vars())
    return ExitCode.OK


# --- Asking ---------------------------------------------------------------------------------


@contextmanager
def _asker(
    policies: str | None, server: str | None, store: str | None, timeout: float = 0
) -> Iterator[Callable[[Call], Answer]]:
    if server is not None:
        from authz.cli.remote import connect

        yield connect(server, timeout)
        return
    from authz.errors import InvalidRequestError
    from authz.pap.loader import load

    assert policies is not None  # checked by the command
    program = load(policies).program
    with _completer(store) as complete:

        def ask(call: Call) -> Answer:
            if call.min_policy_revision not in {"", program.revision}:
                raise InvalidRequestError("min_policy_revision", "is not the revision of this policy")
            request, facts = complete(call.request, program)
            if call.explain:
                explanation = program.explain(request, facts)
                return explanation.decision, explanation
            return program.decide(request), None

        yield ask


@contextmanager
def _completer(path: str | None) -> Iterator[Callable[[Request, Compiled], tuple[Request, tuple[Fact, ...]]]]:
    """Give what completes a request from a store; without one, requests stay as they are."""
    if path is None:
        yield lambda request, _: (request, ())
        return
    from pathlib import Path

    from authz.directory.completion import Completer
    from authz.stores.sqlite.store import open_store

    store = open_store(Path(path), readonly=True)
    try:
        completer = Completer(store.directory)

        def complete(request: Request, program: Compiled) -> tuple[Request, tuple[Fact, ...]]:
            completed = completer.complete(request, program)
            return completed.request, completed.facts

        yield complete
    finally:
        store.close()


def _from_flags(flags: RequestFlags) -> object:
    if flags.tool is None:
        raise click.UsageError("give a request with `--request`, or `--tool` and the caller's flags")
    return flags.to_json()


def _no_flags_beside_a_file(flags: RequestFlags) -> None:
    given = flags.given()
    if given:
        raise click.UsageError(f"`--request` and `{given[0]}` cannot be given together")


def _call(value: object, now: str | None) -> Call:
    from authz.json_form import call_from_json

    return call_from_json(value, now=_time(now) if now is not None else None)


def _time(text: str) -> datetime:
    from datetime import UTC, datetime, timedelta

    from authz.lang.values import read_time

    nanoseconds = read_time(text)
    if nanoseconds is None or nanoseconds % 1000:  # a finer fraction would be decided at another time
        example = "`2026-01-31T08:00:00Z`, with six fractional digits at most"
        raise click.UsageError(f"`--now` must be a time such as {example}, not `{text}`")
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)


def _only(path: str) -> object:
    from authz.cli.questions import opened, read_questions

    with opened(path) as stream:
        many, items = read_questions(stream)
        if many:
            raise click.UsageError("one request at a time can be explained")
        return _value(next(items))


def _value(question: Question) -> object:
    if question.problem is not None:
        raise question.problem
    return question.value


def _ask_one(ask: Callable[[Call], Answer], call: Call, format_: Format) -> ExitCode:
    decision, explanation = ask(call)
    if format_ == "json":
        print_json(_answer_to_json(decision, explanation))
    else:
        from authz.cli.render import paint_for, render_decision, render_explanation

        paint = paint_for(sys.stdout)
        click.echo(render_explanation(explanation, paint) if explanation else render_decision(decision, paint))
    return _verdict(decision)


def _ask_file(
    ask: Callable[[Call], Answer],
    path: str,
    lines: bool,  # noqa: FBT001  # private, one caller
    now: str | None,
    format_: Format,
) -> ExitCode:
    from authz.cli.progress import part_of, progress
    from authz.cli.questions import opened, read_questions

    with opened(path) as stream:
        many, items = read_questions(stream, lines=lines)
        if not many:
            return _ask_one(ask, _call(_value(next(items)), now), format_)
        verdicts: set[ExitCode] = set()
        with progress("requests", part_of(stream)) as step:
            for number, (answer, verdict) in enumerate(_answers(ask, items, now, format_), start=1):
                step(number)
                verdicts.add(verdict)
                click.echo(answer)
    return next((code for code in (ExitCode.USAGE, ExitCode.DENIED) if code in verdicts), ExitCode.OK)


def _answers(
    ask: Callable[[Call], Answer], questions: Iterator[Question], now: str | None, format_: Format
) -> Iterator[tuple[str, ExitCode]]:
    """Yield one line and one verdict for each question; a bad one spoils only itself."""
    from authz.cli.questions import problem_to_json
    from authz.cli.render import json_text, paint_for, printable, render_decision_line
    from authz.errors import InvalidRequestError

    paint = paint_for(sys.stdout)
    for question in questions:
        try:
            decision, explanation = ask(_call(_value(question), now))
        except InvalidRequestError as error:
            spoilt = question._replace(problem=error)
            human = f"{paint('ERROR', '31', '1')} line {question.line}: {printable(str(error))}"
            yield (json_text(problem_to_json(spoilt)) if format_ == "json" else human), ExitCode.USAGE
            continue
        if format_ == "json":
            yield json_text(_answer_to_json(decision, explanation)), _verdict(decision)
        else:
            yield render_decision_line(decision, paint), _verdict(decision)


def _answer_to_json(decision: Decision, explanation: Explanation | None) -> dict[str, object]:
    from authz.json_form import decision_to_json

    return decision_to_json(decision, explanation=explanation)


def _verdict(decision: Decision) -> ExitCode:
    return ExitCode.OK if decision.allowed else ExitCode.DENIED


if __name__ == "__main__":
    main()
