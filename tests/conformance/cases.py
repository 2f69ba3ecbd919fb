"""Read the conformance data: YAML → cases, each a policy, a question and the answer demanded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

Data: TypeAlias = Any
"""What YAML holds."""

FOLDER: Final = Path(__file__).parent
LANGUAGE: Final = FOLDER.parent.parent / "docs" / "language.md"
NOW: Final = "2026-06-15T12:00:00Z"
"""The time of a decision where a case gives none; a Monday."""

_REPEATED: Final = re.compile(r"⟦(\d+)×([^⟧]*)⟧")  # noqa: RUF001  # a sign that no policy needs
_MARK: Final = re.compile(r"#!\s*([a-z0-9-]*)\s*$")


@dataclass(frozen=True, eq=False)
class Policy:
    """Files as they are to be on disk: text, or a mapping that the README explains.

    `path` names the one file to load; `lock` writes a manifest before `after` changes files.
    """

    files: tuple[tuple[str, Any], ...]
    path: str = ""
    lock: bool = False
    after: tuple[tuple[str, str | None], ...] = ()
    formatted: bool = False

    @cached_property
    def key(self) -> str:
        """Return what tells policies apart."""
        return repr((self.files, self.path, self.lock, self.after, self.formatted))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def on_disk(self) -> bool:
        """Say whether the loader is part of what is tested."""
        return [name for name, _ in self.files] != ["policy.authz"]


@dataclass(frozen=True)
class Case:
    """One question. `expect` is the mapping of the README, never a shorthand."""

    id: str
    name: str
    statements: tuple[str, ...]
    policy: Policy
    expect: Mapping[str, Any]
    request: Any = None
    request_text: str | None = None
    now: str = NOW
    doors: tuple[str, ...] | None = None

    @property
    def time(self) -> datetime:
        """Return `now` as a time."""
        return datetime.fromisoformat(self.now).astimezone(UTC)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # in C where there is one
    """YAML with the scalars of JSON only (no dates, no `yes`), and no key twice."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", "n~\0"),
    ("int", r"-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    loader.flatten_mapping(node)
    found: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in found:
            raise ValueError(f"{key_node.start_mark}: `{key}` stands here twice")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_all() -> tuple[Case, ...]:
    """Return every case of every file."""
    return tuple(case for path in sorted(FOLDER.glob("*.yaml")) for case in read(path))


def read(path: Path) -> Iterator[Case]:
    """Yield the cases of one file; a mistake in the data raises."""
    entries = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    number = 0
    for entry in entries:
        if "conditions" in entry:
            produced = _condition_cases(_repeated(entry))
        elif "cases" in entry:
            shared = {key: value for key, value in entry.items() if key != "cases"}
            produced = (_merged(shared, case) for case in entry["cases"])
        else:
            produced = iter([entry])
        for fields in produced:
            number += 1
            yield _case(f"{path.stem}-{number:03}", fields)


def _merged(shared: Mapping[str, Any], case: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**shared, **case}
    if "request" in shared and "request" in case:
        merged["request"] = _replaced(shared["request"], case["request"])
    if "request_text" in case:
        merged.pop("request", None)
    return merged


def _replaced(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


_KNOWN: Final = frozenset({
    "name", "statement", "policy", "files", "path", "lock", "after", "formatted", "request", "request_text", "now",
    "expect", "related", "doors", "because",
})  # fmt: skip


def _case(number: str, fields: Mapping[str, Any]) -> Case:
    unknown = set(fields) - _KNOWN
    if unknown:
        raise ValueError(f"{number}: unknown keys {sorted(unknown)}")
    if "doors" in fields and not fields.get("because"):
        raise ValueError(f"{number}: `doors` needs a reason")
    files = fields["files"] if "files" in fields else {"policy.authz": fields["policy"]}
    policy = Policy(
        tuple((name, _repeated(content)) for name, content in files.items()),
        fields.get("path", ""),
        fields.get("lock", False),
        tuple(fields.get("after", {}).items()),
        fields.get("formatted", False),
    )
    request = _expanded(_repeated(fields["request"])) if "request" in fields else None
    return Case(
        id=f"{number}: {fields['name']}",
        name=fields["name"],
        statements=tuple(fields["statement"]),
        policy=policy,
        expect=_expectation(fields, policy),
        request=request,
        request_text=fields.get("request_text"),
        now=fields.get("now", NOW),
        doors=tuple(fields["doors"]) if "doors" in fields else None,
    )


def _expectation(fields: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    expect = fields["expect"]
    if isinstance(expect, str):
        decision, _, reason = expect.partition(" ")
        return {"decision": decision} | ({"reason": reason} if reason else {})
    expect = dict(expect)
    if expect.get("errors") == "marked":
        expect["marked"] = marks(policy.files[0][1])
        del expect["errors"]
    if fields.get("related"):
        expect["related"] = True
    return expect


def marks(text: str) -> list[tuple[int, str]]:
    """Return the lines that end in `#! code`, from 1, and the codes."""
    lines = enumerate(text.split("\n"), start=1)
    return [(number, found[1]) for number, line in lines if (found := _MARK.search(line))]


def _repeated(value: Data) -> Data:
    """Write out what the README says of repeated text, everywhere."""
    if isinstance(value, str):
        return _REPEATED.sub(lambda found: int(found[1]) * found[2], value)
    if isinstance(value, list):
        return [_repeated(item) for item in value]
    if isinstance(value, dict):
        return {_repeated(key): _repeated(item) for key, item in value.items()}
    return value


def _expanded(value: Data) -> Data:
    """Write out `$repeat` and `$nest`."""
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$repeat" in value:
        count, item = value["$repeat"]
        return [_expanded(item)] * count
    if "$nest" in value:
        count, item = value["$nest"]
        for _ in range(count):
            item = [item]
        return item
    return {key: _expanded(item) for key, item in value.items()}


# --- Groups of conditions -------------------------------------------------------------------

_TOGETHER: Final = 18
"""Conditions in one policy: the command line is started once for each, the reference reads all of it each time."""


def _condition_cases(group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Turn `{if, is}` into an allow and a deny (L51), or into a line that must be refused."""
    conditions = group["conditions"]
    valid = [condition for condition in conditions if condition["is"] not in {"error", "syntax"}]
    wrong = [condition for condition in conditions if condition["is"] == "error"]
    broken = [condition for condition in conditions if condition["is"] == "syntax"]
    header = group.get("policy", "")
    block = f" {group['block']}" if group.get("block") else ""
    shared = {key: group[key] for key in ("statement", "now") if key in group}
    for first in range(0, len(valid), _TOGETHER):
        some = valid[first : first + _TOGETHER]
        policy = header + "".join(
            f'tool "allow-{n}"{block} {{ allow "a-{n}" public when {condition["if"]} }}\n'
            f'tool "deny-{n}"{block} {{ allow "b-{n}" public  deny "d-{n}" when {condition["if"]} }}\n'
            for n, condition in enumerate(some)
        )
        for number, condition in enumerate(some):
            yield from _twins(shared | {"policy": policy}, group, condition, number)
    for refused in (wrong, broken):
        yield from _refused(shared, header, block, refused)


def _refused(
    shared: Mapping[str, Any], header: str, block: str, conditions: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Put conditions that are errors on a line each: every one of them must be reported (L5)."""
    first = header.count("\n") + 1
    policy = header + "".join(
        f'tool "wrong-{n}"{block} {{ allow when {condition["if"]} }}\n' for n, condition in enumerate(conditions)
    )
    lines = list(range(first, first + len(conditions)))
    for number, condition in enumerate(conditions):
        name = condition.get("name", f"`{condition['if']}` is refused")
        yield {
            **shared,
            "name": name,
            "policy": policy,
            "expect": {"error_on": first + number, "errors_only_on": lines},
        }


_ALLOW: Final = {
    "true": {"decision": "ALLOW", "reason": "ALLOWED", "rules": ["policy:a-{}"]},
    "false": {"decision": "DENY", "reason": "NO_ALLOW", "rules": []},
    "unknown": {"decision": "DENY", "reason": "INDETERMINATE", "rules": ["policy:a-{}"]},
}
_DENY: Final = {
    "true": {"decision": "DENY", "reason": "EXPLICIT_DENY", "rules": ["policy:d-{}"]},
    "false": {"decision": "ALLOW", "reason": "ALLOWED", "rules": ["policy:b-{}"]},
    "unknown": {"decision": "DENY", "reason": "INDETERMINATE", "rules": ["policy:d-{}"]},
}


def _twins(
    shared: Mapping[str, Any], group: Mapping[str, Any], condition: Mapping[str, Any], number: int
) -> Iterator[dict[str, Any]]:
    value = {True: "true", False: "false"}.get(condition["is"], condition["is"])
    request = _replaced(group.get("request", {}), condition.get("request", {}))
    if "with" in condition:
        request = _with_attributes(request, group["attributes_of"], condition["with"])
    seen = f" with {condition['with']}" if "with" in condition else ""
    seen += f" and {condition['request']}" if "request" in condition else ""
    name = condition.get("name", f"`{condition['if']}` is {value}{seen}")
    for effect, answers in (("allow", _ALLOW), ("deny", _DENY)):
        answer = answers[value]
        expect = answer | {"rules": [rule.format(number) for rule in answer["rules"]]}
        question = request | {"tool": f"{effect}-{number}"}
        yield {**shared, "name": f"{name} ({effect})", "request": question, "expect": expect}


def _with_attributes(request: dict[str, Any], where: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    if where == "resource":
        return request | {"resource": request["resource"] | {"attributes": attributes}}
    return request | {where: {**request.get(where, {}), **attributes}}
