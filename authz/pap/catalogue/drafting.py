"""A catalogue → the text of a first policy and of its tests, least privilege by the hints of the tools.

Hints are claims of the server, so they only ever sort a tool into a stricter group when they are
missing. Every name from outside is quoted or, in a comment, escaped; the text is parsed and printed
in canonical form, and `authz-eval init` runs its tests before it writes anything.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.json_form.text import shown
from authz.lang.formatter import format_policy, quote
from authz.lang.parser import parse_policy, parse_tests
from authz.lang.source import Source
from authz.pap.catalogue.drafted_tests import tests_of
from authz.pap.catalogue.signatures import Signature, signature, written
from authz.pap.catalogue.tools import CatalogueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from authz.pap.catalogue.tools import Catalogue, Tool

POLICY_NAME: Final = "tools.authz"
TESTS_NAME: Final = "tools_test.authz"
DEFAULT_PREFIX: Final = "tools"

_WIDTH: Final = 100
_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_FIRST_WORD: Final = re.compile(r"([A-Za-z][A-Za-z0-9]{0,19})[_.\-/]", re.ASCII)
_VERBS: Final = frozenset({"add", "create", "delete", "fetch", "find", "get", "list", "read", "run", "search", "write"})
"""First words that say what a tool does, not whose it is."""
_OTHER: Final = "other"


class Draft(NamedTuple):
    """The text of a policy, in canonical form, and of its tests."""

    policy: str
    tests: str


class Group(NamedTuple):
    """Tools that need the same of a caller."""

    name: str
    meaning: str
    tools: tuple[Tool, ...]


class Names(NamedTuple):
    """What the policy calls its scopes and its role."""

    read: str
    write: str
    operator: str


def draft(catalogue: Catalogue, prefix: str = "") -> Draft:
    """Write a policy for the tools of a server.

    Scopes and the role start with `prefix`, or with what the names of the tools have in common.
    Raises `CatalogueError` for a catalogue without tools, or with a tool that no pattern can name alone.
    """
    if not catalogue.tools:
        raise CatalogueError(f"`{catalogue.source.path}` holds no tool, so there is nothing to write rules for")
    for tool in catalogue.tools:
        if "*" in tool.name:
            name = shown(tool.name)
            raise CatalogueError(f"the tool `{name}` has a `*` in its name: a policy cannot name it and no other")
    shared = shared_word(catalogue.tools)
    prefix = prefix or shared or DEFAULT_PREFIX
    names = Names(f"{prefix}:read", f"{prefix}:write", f"{prefix}_operator")
    groups = group(catalogue.tools)
    return Draft(
        _canonical(_policy(groups, names, shared), POLICY_NAME), _canonical(tests_of(groups, names), TESTS_NAME)
    )


def is_prefix(text: str) -> bool:
    """Say whether scopes can start with this: letters, digits, dots, underscores and hyphens (RFC 6749, 3.3)."""
    return _PREFIX.fullmatch(text) is not None


def shared_word(tools: Sequence[Tool]) -> str:
    """Return the word that the names of all tools start with and that says whose they are; "" where there is none."""
    words = {match[1] if (match := _FIRST_WORD.match(tool.name)) else "" for tool in tools}
    word = words.pop() if len(words) == 1 and len(tools) > 1 else ""
    return "" if word.lower() in _VERBS else word


def group(tools: Iterable[Tool]) -> tuple[Group, ...]:
    """Sort tools by what their hints say; a hint that is missing counts as the specification says (R21)."""
    tools = tuple(tools)
    groups = (
        Group("reading", "it says that they change nothing", tuple(tool for tool in tools if tool.read_only)),
        Group(
            "writing",
            "they change something, and it says that they destroy nothing",
            tuple(tool for tool in tools if not tool.read_only and not tool.destructive),
        ),
        Group(
            "destructive",
            "they may overwrite or delete, or it does not say that they do not",
            tuple(tool for tool in tools if tool.destructive),
        ),
    )
    return tuple(one for one in groups if one.tools)


# --- The policy -----------------------------------------------------------------------------


def _policy(groups: Sequence[Group], names: Names, shared: str) -> str:
    kinds = {one.name for one in groups}
    parts = ["\n".join(_heading(groups)), "\n".join(_declarations(kinds, names))]
    parts.append("\n".join(line for one in groups for line in _group_lines(one, shared)))
    parts += ["\n".join(_rules(one.name, names)) for one in groups]
    tools = [tool for one in groups for tool in one.tools]
    parts += [text for text in (_outside(tools), _signatures(groups)) if text]
    return "\n\n".join(parts) + "\n"


def _comment(text: str, indent: str = "") -> list[str]:
    """Break a sentence into comment lines; what it names may not break them."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"# {indent}",
        subsequent_indent=f"# {indent}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _heading(groups: Sequence[Group]) -> Iterator[str]:
    yield "# Who may call which tool of this server: a first draft, made from its answer to tools/list."
    yield "#"
    yield from _comment(
        "What no rule allows is denied, so a tool that the server gets later is denied until somebody names it here. "
        "The tools are sorted by the hints that the server gives of them:"
    )
    width = max(len(one.name) for one in groups)
    for one in groups:
        yield f"#   {one.name:<{width}}  {one.meaning}"
    yield from _comment(
        "A hint is what the server claims. Where you know better, move the tool to a stricter group, and then ask "
        "`authz-eval lint --tools` whether policy and server still fit."
    )


def _declarations(kinds: set[str], names: Names) -> Iterator[str]:
    writes = not kinds.isdisjoint({"writing", "destructive"})
    if "reading" in kinds:
        yield f"scope {quote(names.read)}"
    if writes:
        implied = f" implies {quote(names.read)}" if "reading" in kinds else ""
        yield f"scope {quote(names.write)}{implied}"
    if "destructive" in kinds:
        yield ""
        yield "# Held by the people who may overwrite and delete; it comes with their token."
        yield f"role {quote(names.operator)}"


def _group_lines(one: Group, shared: str) -> Iterator[str]:
    """Declare a group; one that is too long for a line is made of smaller ones, by the first words of their tools.

    `shared` is what the names of all tools start with, which tells none of them apart.
    """
    names = {tool.name: quote(tool.name) for tool in one.tools}
    words = Counter(_first_word(name, shared) for name in names)
    parts: dict[str, list[str]] = {}
    for name, quoted in names.items():
        word = _first_word(name, shared)
        parts.setdefault(word if words[word] > 1 else _OTHER, []).append(quoted)
    if len(_group_line(one.name, names.values())) <= _WIDTH or len(parts) == 1:
        yield from _in_lines(one.name, [*names.values()])
        return
    ordered = sorted(parts, key=lambda word: (word == _OTHER, word))
    for word in ordered:
        yield from _in_lines(f"{one.name}_{word}", parts[word])
    yield _group_line(one.name, [f"@{one.name}_{word}" for word in ordered])


def _first_word(name: str, shared: str) -> str:
    match = _FIRST_WORD.match(name.removeprefix(shared).lstrip("_.-/"))
    return match[1].lower() if match else _OTHER


def _in_lines(name: str, members: Sequence[str]) -> Iterator[str]:
    """Declare a group, by numbered ones where it is too long for a line."""
    lots = list(_lots(members, len(f"tools {name}_10 = ")))
    if len(_group_line(name, members)) <= _WIDTH or len(lots) == 1:
        yield _group_line(name, members)
        return
    for number, lot in enumerate(lots, 1):
        yield _group_line(f"{name}_{number}", lot)
    yield _group_line(name, [f"@{name}_{number}" for number in range(1, len(lots) + 1)])


def _group_line(name: str, members: Iterable[str]) -> str:
    return f"tools {name} = {', '.join(members)}"


def _lots(words: Sequence[str], taken: int) -> Iterator[Sequence[str]]:
    """Divide words into lots that fit a line of which so many columns are taken."""
    lot: list[str] = []
    width = taken
    for word in words:
        if lot and width + len(word) > _WIDTH:
            yield lot
            lot, width = [], taken
        lot.append(word)
        width += len(word) + len(", ")
    yield lot


def _rules(kind: str, names: Names) -> list[str]:
    read, write, operator = map(quote, names)
    match kind:
        case "reading":
            return [
                "# Reading takes the scope for it, and a caller with a login.",
                f'tool @reading {{ require scope {read} allow "read" anyone }}',
            ]
        case "writing":
            return [
                "# Writing takes its own scope, so that a client that only reads cannot do it.",
                f'tool @writing {{ require scope {write} allow "write" anyone }}',
            ]
        case _:
            required = f"require scope {write} require role {operator}"
            return [
                *_comment(
                    "What may overwrite or delete takes a person with the role as well, whatever the client may do. "
                    "Both are required, apart from the allow: no rule that is added later can get around them."
                ),
                f'tool @destructive {{ {required} allow "destroy" anyone }}',
            ]


def _outside(tools: Sequence[Tool]) -> str:
    """List the tools that reach out of the server, for a person to think about."""
    reaching = [shown(tool.name) for tool in tools if tool.open_world]
    if not reaching:
        return ""
    danger = "what is sent is out of your hands, and what comes back was written by strangers"
    if len(reaching) == len(tools):
        return "\n".join(_comment(f"The server says of no tool that it stays inside the server: {danger}."))
    sentence = f"These reach out of the server, or it does not say that they do not: {danger}."
    return "\n".join([*_comment(sentence), *_comment(", ".join(reaching), "  ")])


# --- Their arguments ------------------------------------------------------------------------


def _signatures(groups: Sequence[Group]) -> str:
    """Declare the arguments of the tools, for the conditions that somebody will want to add."""
    alike: dict[tuple[str, Signature], list[Tool]] = {}
    left_out: list[Tool] = []
    for one in groups:
        for tool in one.tools:
            found = signature(tool.schema)
            if found is None:
                left_out.append(tool)
            elif found:
                alike.setdefault((one.name, found), []).append(tool)
    parts: list[str] = []
    if alike:
        parts.append("\n".join(_introduction([found for _, found in alike])))
        for (_, found), tools in alike.items():
            fields = written(found)
            lots = _lots([quote(tool.name) for tool in tools], len("tool "))
            parts += [f"tool {', '.join(lot)} ({fields}) {{}}" for lot in lots]
        parts[:2] = ["\n".join(parts[:2])]
    if left_out:
        sentence = (
            "Not declared, since the language has no name or type for an argument of theirs, or its schema is open:"
        )
        listed = ", ".join(shown(tool.name) for tool in left_out)
        parts.append("\n".join([*_comment(sentence), *_comment(listed, "  ")]))
    return "\n\n".join(parts)


def _introduction(found: Iterable[Signature]) -> list[str]:
    texts = [field.name for one in found for field in one if field.type == "string" and not field.optional]
    path = next((name for name in texts if re.search("path|file|folder|dir", name, re.IGNORECASE)), None)
    sentence = (
        "What the tools take, with the types of the server's schemas. A block of these is the place for a condition"
    )
    if path is None:
        return _comment(f"{sentence}.")
    return [
        *_comment(f"{sentence}, such as"),
        f'#   deny "elsewhere" unless args.{path} under "/srv/{{tenant}}" because "…"',
    ]


def _canonical(text: str, name: str) -> str:
    """Print a text as `fmt` would."""
    source = Source(name, text)
    tree, findings = (parse_tests if name == TESTS_NAME else parse_policy)(source)
    assert not findings, findings  # every name is quoted, so only this module could be wrong
    return format_policy(source, tree)
