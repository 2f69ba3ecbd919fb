"""`authz-eval log`: verify, search, follow and sum up the decision log, and let old records and persons go."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import click

from authz.audit import pseudonyms
from authz.audit.query import Query, moment, span
from authz.audit.records import timestamp
from authz.audit.retention import retain as retire
from authz.audit.retention import verify_segments
from authz.audit.segments import find_segments
from authz.audit.signing import load_signer, load_verifier, public_path
from authz.audit.stats import sum_up
from authz.audit.verify import verify as verify_log
from authz.audit.witness import append_witness, read_witnesses
from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Group, count, print_json, reported
from authz.cli.log_render import Bar, render_line, render_records, render_stats, stats_to_json
from authz.cli.options import format_option
from authz.cli.render import printable
from authz.cli.stored import act, author_option, key_option, note_option, store_option
from authz.errors import LoadError, StoreCorruptError
from authz.model import Effect, Reason
from authz.stores.sqlite.store import key_path, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.audit.verify import Finding
    from authz.stores.sqlite.store import SqliteStore

    Format: TypeAlias = Literal["human", "json"]

_POLL_MS: Final = 200
_TIMES: Final = "`2026-11-22`, `2026-11-22T05:00:00Z`, or how long ago: `12h`, `90d`."


@click.group(cls=Group)
def main() -> None:
    """Verify, search and look after the decision log."""


@main.command(example="authz-eval log verify --store authz.db")
@store_option
@click.option(
    "--key",
    "public",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The public key.  [default: FILE.key.pub beside the store]",
)
@click.option("--witness", type=click.Path(path_type=Path), metavar="FILE", help="Heads that `log witness` kept.")
@click.option("--archive", type=click.Path(path_type=Path), metavar="DIR", help="Also verify the segments there.")
@format_option
@reported
def verify(store: Path, public: Path | None, witness: Path | None, archive: Path | None, format_: Format) -> ExitCode:
    """Find every edit, gap, change of order, cut end and fork of the log.

    Exit code 7, and the first bad record, where there is one.
    """
    verifier = load_verifier(public or public_path(key_path(store)))
    witnesses = () if witness is None else tuple(read_witnesses(witness))
    segments = find_segments(archive) if archive else []
    with _reading(store) as opened:
        with _bar(opened) as bar:
            seen = verify_log(opened.log, verifier, witnesses=witnesses, step=bar.step)
        with _bar(opened) as bar:
            in_archive = list(verify_segments(archive, verifier, seen, witnesses, bar.step)) if archive else []
    findings = [(str(path), one) for path, one in in_archive] + [(str(store), one) for one in seen.findings]
    if archive and not segments and not findings:
        raise LoadError(f"`{archive}` holds no segments: name the folder that `log retain --archive` wrote to")
    if format_ == "json":
        answer = {
            "verifies": not findings,
            "first": seen.start.seq + 1,
            "last": seen.end.seq,
            "records": seen.records,
            "signatures": seen.signatures,
            "root": seen.end.root.hex(),
            "unwitnessed": 0 if segments else seen.unwitnessed,
            "findings": [_finding_to_json(path, one) for path, one in findings],
        }
        print_json(answer)
    elif findings:
        path, first = findings[0]
        more = f" (and {count(len(findings) - 1, 'more finding')})" if len(findings) > 1 else ""
        click.echo(f"{printable(path)} does not verify: {printable(str(first))}{more}")
    else:
        what = (
            f"{count(seen.records, 'record')}, {seen.start.seq + 1} to {seen.end.seq}" if seen.records else "no records"
        )
        gone = f"; {count(seen.unwitnessed, 'witnessed head')} stand for retired records" if seen.unwitnessed else ""
        joined = f"; {count(len(segments), 'segment')} before them" if segments else ""
        click.echo(f"{printable(str(store))} verifies: {what}, {count(seen.signatures, 'signature')}{joined or gone}")
    return ExitCode.DIFFERENCE if findings else ExitCode.OK


@main.command(example="authz-eval log query --store authz.db --subject alice --decision DENY --since 7d")
@store_option
@click.option("--subject", metavar="ID", help="Also finds the records that hold a pseudonym of theirs.")
@click.option("--tool", metavar="NAME")
@click.option("--tenant", metavar="ID")
@click.option("--client", metavar="ID")
@click.option("--resource", metavar="TYPE:ID")
@click.option("--decision", type=click.Choice([effect.name for effect in Effect], case_sensitive=False))
@click.option("--reason", type=click.Choice([one.name for one in Reason], case_sensitive=False), metavar="NAME")
@click.option("--kind", type=click.Choice(["decision", "authentication", "act", "loss"]))
@click.option("--rule", metavar="NAME")
@click.option("--since", metavar="TIME", help=f"At this time or later: {_TIMES}")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option("--oldest-first", is_flag=True, help="Begin at the oldest record.")
@click.option("--format", "format_", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@reported
def query(  # noqa: PLR0913, PLR0917  # one parameter an option
    store: Path,
    subject: str | None,
    tool: str | None,
    tenant: str | None,
    client: str | None,
    resource: str | None,
    decision: str | None,
    reason: str | None,
    kind: str | None,
    rule: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    oldest_first: bool,  # noqa: FBT001  # click passes it by name
    format_: str,
) -> ExitCode:
    """Search the log; the newest records come first."""
    type_, id_ = _resource(resource)
    now = datetime.now(UTC)
    with _reading(store) as opened:
        asked = Query(
            subjects=None if subject is None else (subject, *pseudonyms.find(opened.pseudonyms, subject, tenant)),
            tool=tool,
            tenant=tenant,
            client=client,
            resource_type=type_,
            resource_id=id_,
            decision=decision,
            reason=reason,
            kind=kind,
            rule=rule,
            since=since and _moment("--since", since, now),
            until=until and _moment("--until", until, now),
            limit=limit,
            newest_first=not oldest_first,
        )
        with _bar(opened) as bar:
            texts = opened.log.query(asked, bar.step)
            _print_lines(render_records(texts, format_))
    return ExitCode.OK


@main.command(example="authz-eval log tail --store authz.db -n 5")
@store_option
@click.option("-n", "number", type=click.IntRange(0, 100_000), default=10, show_default=True, help="How many records.")
@click.option("-f", "--follow", is_flag=True, help="Go on with those that are appended, until interrupted.")
@format_option
@reported
def tail(store: Path, number: int, follow: bool, format_: Format) -> ExitCode:  # noqa: FBT001  # click passes it by name
    """Print the last records, and follow the log."""
    with _reading(store) as opened, contextlib.suppress(KeyboardInterrupt):
        _print_lines(_tail(opened, number, follow=follow, format_=format_))
    return ExitCode.OK


@main.command(example="authz-eval log stats --store authz.db --since 7d --per day")
@store_option
@click.option("--since", metavar="TIME", help=f"Only records of this time or later: {_TIMES}")
@click.option("--until", metavar="TIME", help="Only records before this time.")
@click.option("--per", type=click.Choice(["day", "hour"]), default="day", show_default=True)
@format_option
@reported
def stats(store: Path, since: str | None, until: str | None, per: str, format_: Format) -> ExitCode:
    """Count decisions, reasons, tools and tenants, and say how quick the decisions were."""
    now = datetime.now(UTC)
    asked = Query(
        since=since and _moment("--since", since, now),
        until=until and _moment("--until", until, now),
        newest_first=False,
    )
    with _reading(store) as opened, _bar(opened) as bar:
        try:
            summed = sum_up(opened.log.query(asked, bar.step), per)
        except ValueError:
            raise StoreCorruptError(
                f"`{store}` holds a record that is no JSON: `authz-eval log verify` names it"
            ) from None
    if format_ == "json":
        print_json(stats_to_json(summed, per))
    else:
        _print_lines(render_stats(summed, per))
    return ExitCode.OK


@main.command(example="authz-eval log witness --store authz.db --append heads.jsonl")
@store_option
@click.option("--append", "file", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@reported
def witness(store: Path, file: Path) -> ExitCode:
    """Note the log's signed head in a file; keep that where who can write to the log cannot.

    `log verify --witness FILE` then sees whether the log was put back to an older state, or forked.
    """
    with _reading(store) as opened:
        head = opened.log.head()
    appended = append_witness(file, head)
    state = f"noted the head at record {head.head.seq}" if appended else "nothing new to note"
    click.echo(f"{state}: {printable(str(file))}")
    return ExitCode.OK


@main.command(example="authz-eval log retain --store authz.db --keep 90d --archive archive")
@store_option
@key_option
@click.option("--keep", required=True, metavar="TIME", help="How old records may grow, such as `90d`.")
@click.option(
    "--archive", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write them there first."
)
@author_option
@note_option
@format_option
@reported
def retain(
    store: Path, key: Path | None, keep: str, archive: Path | None, author: str | None, note: str, format_: Format
) -> ExitCode:
    """Let records go that are older than that, in sealed segments.

    What is left verifies, and what went stands in the log. Records go up to the last checkpoint that is old
    enough, so up to a thousand old ones stay.
    """
    try:
        before = timestamp(datetime.now(UTC) - span(keep))
    except (ValueError, OverflowError):
        raise click.UsageError(f"`--keep` must be a length of time such as `90d` or `12h`, not `{keep}`") from None
    verifier = load_signer(key or key_path(store)).public
    gone = []
    with contextlib.closing(open_store(store, key=key)) as opened, _bar(opened) as bar:
        for segment in retire(opened.log, verifier, before, act(author, note), archive):
            gone.append(segment)
            bar.step(segment.last)
    records = sum(segment.records for segment in gone)
    paths = [str(segment.path) for segment in gone if segment.path is not None]
    if format_ == "json":
        print_json({"retired": records, "last": gone[-1].last if gone else 0, "segments": paths})
    else:
        where = f", archived in {count(len(paths), 'segment')}" if paths else ""
        click.echo(f"retired {count(records, 'record')}{where}")
    return ExitCode.OK


@main.command(example="authz-eval log erase --store authz.db --tenant acme --subject alice")
@store_option
@key_option
@click.option("--tenant", required=True, metavar="ID", help="The tenant; empty in an installation without tenants.")
@click.option("--subject", metavar="ID", help="Only this person, and not the whole tenant.")
@author_option
@note_option
@reported
def erase(store: Path, key: Path | None, tenant: str, subject: str | None, author: str | None, note: str) -> ExitCode:
    """Forget whose pseudonym is whose; the records stay as they are, and verify.

    Does nothing for records that were written without pseudonyms. The note stands in the log: name nobody in it.
    """
    with contextlib.closing(open_store(store, key=key)) as opened:
        gone = pseudonyms.erase(opened.pseudonyms, tenant, subject, act(author, note))
    who = "the person" if subject is not None else "the tenant"
    click.echo(f"erased {who}" if gone else f"nothing to erase: {who} has no pseudonyms")
    return ExitCode.OK


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[SqliteStore]:
    with contextlib.closing(open_store(path, readonly=True)) as opened:
        yield opened


@contextlib.contextmanager
def _bar(opened: SqliteStore) -> Iterator[Bar]:
    bar = Bar(opened.log.head().head.seq)
    try:
        yield bar
    finally:
        bar.close()


def _tail(opened: SqliteStore, number: int, *, follow: bool, format_: Format) -> Iterator[str]:
    log = opened.log
    with log.frozen():
        after = log.head().head.seq
        last = list(log.query(Query(limit=number))) if number else []
    yield from (render_line(text, format_) for text in reversed(last))
    seen = None
    while follow:
        if seen == (now := log.changes()):
            _wait()
            continue
        seen = now
        for link in log.links(after + 1):
            after = link.seq
            yield render_line(link.text, format_)


def _wait() -> None:
    """Wait a moment; less where nobody reads what is printed any more."""
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError):  # a stdout without a descriptor
        poll.register(sys.stdout.fileno(), 0)
    if any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(_POLL_MS)):
        raise BrokenPipeError


def _print_lines(lines: Iterable[str]) -> None:
    """Print lines until there are no more, or nobody reads them."""
    try:
        for line in lines:
            click.echo(line)
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):  # what is left in the buffer has nowhere to go
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _resource(text: str | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    type_, colon, id_ = text.partition(":")
    if not colon or not type_ or not id_:
        raise click.UsageError(f"`--resource` must be TYPE:ID, not `{text}`")
    return type_, id_


def _moment(option: str, text: str, now: datetime) -> str:
    try:
        return moment(text, now)
    except (ValueError, OverflowError):
        raise click.UsageError(f"`{option}` must be a time such as {_TIMES[:-1]}, not `{text}`") from None


def _finding_to_json(path: str, finding: Finding) -> dict[str, object]:
    return {"file": path, "record": finding.seq, "since": finding.since, "problem": finding.problem}
