"""What one record says, as the JSON object that the log keeps: one line of ASCII, whatever is in it.

Records hold names, ids and outcomes. Of arguments, attributes and context they hold what `Contents`
names, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.audit.canonical import cut, digest, encoder, quoted
from authz.json_form import abridged, recorded_to_json, request_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from authz.model import Act, Attributes, Decision, Fact, Request, Value
    from authz.tokens.caller import Caller

MAX_NAMES: Final = 50
"""Rules, obligations or contradictions in one record."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ROOTS: Final = ("arguments", "client.attributes", "context", "resource.attributes", "subject_attributes")


_line: Final = encoder(sort_keys=False)


class Decided(NamedTuple):
    """One decision as it is handed to the log: references only, so that handing over costs nothing."""

    request: Request
    decision: Decision
    time: int
    """Nanoseconds since 1970, UTC."""
    latency_us: int
    decision_id: str
    request_id: str = ""
    pep: str = ""
    trace_id: str = ""
    facts: Sequence[Fact] = ()
    directory_revision: int = 0
    caller: Caller | None = None
    """Who a token said it is, where one came with the request."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What records hold beside what all do: attributes by their paths, and whole requests.

    Raised is `ValueError` for a path that begins nowhere in a request.
    """

    attributes: tuple[str, ...] = ()
    requests: bool = False
    _steps: tuple[tuple[str, str, tuple[str, ...]], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Take the paths apart, once."""
        object.__setattr__(self, "_steps", tuple(_steps(path) for path in self.attributes))

    def of(self, request: Request) -> dict[str, Value]:
        """Return those attributes that the request has, by their paths, cut to a bearable length."""
        found: dict[str, Value] = {}
        for path, root, names in self._steps:
            value: Value = _root(request, root)
            for name in names:
                if not isinstance(value, Mapping) or name not in value:
                    break
                value = value[name]
            else:
                found[path] = abridged(value)
        return found


NOTHING_MORE: Final = Contents()


def decision_record(
    decided: Decided,
    contents: Contents = NOTHING_MORE,
    pseudonym: Callable[[str, str], str] | None = None,
) -> str:
    """Return the body of a decision's record.

    `pseudonym` gives, for a tenant and a subject of it, what stands in the record for the subject;
    whole requests, which would name the subject all the same, then hold the pseudonym as well.
    """
    request, decision, time, latency_us, decision_id, request_id, pep, trace_id, facts, directory_revision, caller = (
        decided
    )
    subject = request.subject
    if pseudonym is not None and subject:
        subject = pseudonym(request.tenant, subject)
    digested, who, tenant, tool, resource = digest(request, subject)
    outcome = _outcome(decision)
    # The members before the latency, which is always there, each end with a comma; those after it begin with one.
    if pep:
        who = f'"pep":{quoted(cut(pep))},{who}'
    if request.anonymous:
        who += '"anonymous":true,'
    if caller is not None and (token := _token(caller)):
        who += f'"token":{_line(token)},'
    if request.client is not None and request.client.id:
        who += f'"client":{quoted(request.client.id)},'
    found = f'"request_digest":"{digested}",'
    if directory_revision:
        found = f'"directory_revision":{directory_revision},{found}'
    if contents.attributes and (attributes := contents.of(request)):
        found += f'"attributes":{_line(attributes)},'
    ids = f',"request_id":{quoted(cut(request_id))}' if request_id else ""
    if decision_id:
        ids += f',"decision_id":{quoted(decision_id)}'
    if trace_id:
        ids += f',"trace_id":{quoted(trace_id)}'
    if facts and (contradictions := _contradictions(facts)):
        ids += f',"contradictions":{_line(contradictions)}'
    whole = _whole(request, subject) if contents.requests else ""
    return (
        f'{{"time":"{_time(time)}","kind":"decision",{who}{tenant}{tool}{resource}'
        f'{outcome.text}{found}"latency_us":{latency_us}{ids}{outcome.obligations}{whole}}}'
    )


def _whole(request: Request, subject: str) -> str:
    form = request_to_json(request)
    if subject:
        form["subject"] = subject
    return f',"request":{_line({**recorded_to_json(request), "check": form})}'


def request_digest(request: Request) -> str:
    """Return the SHA-256, in hex, of a question in its canonical form: two spellings of it have one digest."""
    return digest(request, request.subject)[0]


class _Outcome(NamedTuple):
    """What all records of one decision say of it; it holds the decision, so that its `id` is no other's."""

    decision: Decision
    text: str
    """The members from `decision` to `policy_revision`, with a comma after each."""
    obligations: str
    """`,"obligations":[…]`, or nothing."""


_OUTCOMES: Final = 512
_outcomes: Final[dict[int, _Outcome]] = {}


def _outcome(decision: Decision) -> _Outcome:
    """Return what is said of a decision, written down once: a program answers alike with the very same decision."""
    known = _outcomes.get(id(decision))
    if known is not None:
        return known
    members: dict[str, object] = {
        "decision": decision.effect.name,
        "reason": decision.reason.name,
        "rules": [cut(name) for name in decision.rules[:MAX_NAMES]],
        "policy_revision": decision.policy_revision,
    }
    obligations = [cut(obligation.name) for obligation in decision.obligations[:MAX_NAMES]]
    made = _Outcome(
        decision,
        _line({name: value for name, value in members.items() if value})[1:-1] + ",",
        f',"obligations":{_line(obligations)}' if obligations else "",
    )
    if len(_outcomes) >= _OUTCOMES:
        _outcomes.clear()
    _outcomes[id(decision)] = made
    return made


def _token(caller: Caller) -> dict[str, str]:
    """Return what names a token without being one."""
    names = {"issuer": caller.issuer, "id": caller.token_id, "key": caller.key_id, "digest": caller.digest}
    return {name: cut(value) for name, value in names.items() if value}


def authentication_record(  # noqa: PLR0913  # each says one thing about the event
    outcome: str,
    *,
    pep: str = "",
    method: str = "",
    reason: str = "",
    issuer: str = "",
    client: str = "",
    audience: Sequence[str] = (),
    key: str = "",
    digest: str = "",
    time: datetime | None = None,
) -> str:
    """Return the body of an authentication event's record: who asked to come in, how, and what came of it.

    `outcome` is "accepted" or "refused". Credentials are no argument, and so never in the log.
    """
    record: dict[str, object] = {
        "time": timestamp(time or datetime.now(UTC)),
        "kind": "authentication",
        "outcome": outcome,
    }
    said = {"pep": pep, "method": method, "reason": reason, "issuer": issuer, "client": client}
    record |= {name: cut(value) for name, value in {**said, "key": key, "digest": digest}.items() if value}
    if audience:
        record["audience"] = [cut(name) for name in audience[:MAX_NAMES]]
    return _line(record)


def act_record(name: str, act: Act, details: Mapping[str, object], time: datetime | None = None) -> str:
    """Return the body of an administrative act's record: `policy.activate`, `directory.import`…."""
    record: dict[str, object] = {
        "time": timestamp(time or datetime.now(UTC)),
        "kind": "act",
        "act": name,
        "author": cut(act.author),
        "via": act.via,
    }
    if act.note:
        record["note"] = cut(act.note)
    return _line({**record, **details})


def loss_record(dropped: int, since: datetime, time: datetime | None = None) -> str:
    """Return the body of the record that says how many others are missing, and since when."""
    return _line(
        {
            "time": timestamp(time or datetime.now(UTC)),
            "kind": "loss",
            "dropped": dropped,
            "since": timestamp(since),
        }
    )


def timestamp(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1_000:06}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds").removesuffix("+00:00")


def _contradictions(facts: Sequence[Fact]) -> list[dict[str, object]]:
    found = [fact for fact in facts if fact.contradicted][:MAX_NAMES]
    return [
        {"path": cut(fact.path), "given": abridged(fact.given), "directory": abridged(fact.value)} for fact in found
    ]


def _steps(path: str) -> tuple[str, str, tuple[str, ...]]:
    for root in _ROOTS:
        names = path.removeprefix(f"{root}.")
        if names != path and all(names.split(".")):
            return path, root, tuple(names.split("."))
    roots = ", ".join(f"`{root}.`" for root in _ROOTS)
    raise ValueError(f"`{path}` is no path of an attribute: it must begin with one of {roots} and go on with names")


def _root(request: Request, root: str) -> Attributes:
    match root:
        case "arguments":
            return request.arguments
        case "context":
            return request.context
        case "subject_attributes":
            return request.subject_attributes
        case "resource.attributes":
            return request.resource.attributes if request.resource is not None else {}
        case _:
            return request.client.attributes if request.client is not None else {}
