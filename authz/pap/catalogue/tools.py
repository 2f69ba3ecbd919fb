"""A server's answer to `tools/list` → the tools that a policy is compared with.

The answer is somebody else's text: it is read within bounds, and refused as a whole where two
readers could understand it differently. What it says of a tool is a claim of the server.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.directory.entities import MCP_HINTS
from authz.errors import InvalidRequestError, LoadError
from authz.json_form.text import read_json, shown
from authz.lang.ast import Span
from authz.lang.source import Source
from authz.lang.values import glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a catalogue that are read; the largest ones in the wild have a few hundred KiB."""
MAX_TOOLS: Final = 10_000
MAX_NAME: Final = 1_024
"""Characters of a tool's name that a request can carry (L60)."""

METHODS: Final = frozenset(
    {
        "completion/complete",
        "logging/setLevel",
        "prompts/get",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/cancel",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tasks/update",
    }
)
"""What guards ask about by its MCP method: policies name these like tools, and no catalogue lists them."""

_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)


class CatalogueError(LoadError):
    """Raised when a file is no answer to `tools/list`, or one that no policy could be compared with."""


class Tool(NamedTuple):
    """One tool: the hints that its server gives, by the names of L30, and where its name stands."""

    name: str
    hints: Mapping[str, bool]
    schema: object
    """The JSON Schema of its arguments; True where there is none, which allows anything."""
    span: Span

    @property
    def read_only(self) -> bool:
        """Whether the server says that it changes nothing; without a hint it does not (MCP `ToolAnnotations`, R21)."""
        return self.hints.get("read_only", False)

    @property
    def destructive(self) -> bool:
        """Whether it may overwrite or delete; a tool that changes something does, unless its server denies it (R21)."""
        return not self.read_only and self.hints.get("destructive", True)

    @property
    def open_world(self) -> bool:
        """Whether it reaches out of its server; without a hint it does (R21)."""
        return self.hints.get("open_world", True)


@dataclass(frozen=True)
class Catalogue:
    """The tools of one server, in its order, and the text that they were read from."""

    source: Source
    tools: tuple[Tool, ...]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {tool.name: number for number, tool in enumerate(self.tools)}

    @cached_property
    def _names(self) -> list[str]:
        return sorted(self._numbers)

    def named(self, pattern: str) -> Iterator[str]:
        """Yield the names that a pattern matches (L20), looking only at those that start like it."""
        pieces = pattern.split("*")
        for at in range(bisect_left(self._names, pieces[0]), len(self._names)):
            name = self._names[at]
            if not name.startswith(pieces[0]):
                return
            if glob(pieces, name):
                yield name

    def matching(self, patterns: Iterable[str], excepted: Iterable[str]) -> tuple[Tool, ...]:
        """Return the tools that a block with these patterns is about, in the order of the catalogue."""
        found = {name for pattern in patterns for name in self.named(pattern)}
        found -= {name for pattern in excepted for name in self.named(pattern)} if found else set()
        return tuple(self.tools[number] for number in sorted(self._numbers[name] for name in found))


def read_catalogue(data: bytes, path: str) -> Catalogue:
    """Read an answer to `tools/list`: the result, the whole JSON-RPC message, or the bare list.

    Raises `CatalogueError`, one line that names the file and what is wrong with it.
    """
    if len(data) > MAX_BYTES:
        raise CatalogueError(f"`{path}` is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
        value = read_json(text)
    except UnicodeDecodeError as error:
        raise CatalogueError(f"`{path}` is not valid UTF-8 at byte {error.start + 1}") from None
    except InvalidRequestError as error:
        raise CatalogueError(f"`{path}` {error.problem}") from None
    way: list[str] = []
    for key in ("result", "tools"):
        if isinstance(value, dict) and key in value:
            if value.get("nextCursor"):
                raise CatalogueError(f"`{path}` is one page of several: put the tools of all pages into one list")
            value = value[key]
            way.append(key)
    if not isinstance(value, list):
        raise CatalogueError(f"`{path}` is no answer to tools/list: it holds no list of tools")
    if len(value) > MAX_TOOLS:
        raise CatalogueError(f"`{path}` holds more than {MAX_TOOLS} tools")
    spans = dict(_name_spans(text, tuple(way)))
    tools = tuple(_tool(path, index, item, spans) for index, item in enumerate(value))
    _refuse_twins(path, tools)
    # The last code point: findings at the catalogue come after those in the policy, whatever their files are called.
    return Catalogue(Source(f"\U0010ffff{path}", text, path), tools)


def _tool(path: str, index: int, item: object, spans: Mapping[int, Span]) -> Tool:
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(name, str) or not name:
        raise CatalogueError(f"`{path}`: tools[{index}] has no name")
    if problem := _name_problem(name):
        raise CatalogueError(f"`{path}`: the name `{shown(name)}` of tools[{index}] {problem}; no request can carry it")
    schema = item.get("inputSchema", True)
    if schema is not True and not isinstance(schema, dict):
        raise CatalogueError(f"`{path}`: the inputSchema of tools[{index}] is no object")
    annotations = item.get("annotations")
    given = annotations if isinstance(annotations, dict) else {}
    hints = {ours: given[theirs] for theirs, ours in MCP_HINTS.items() if isinstance(given.get(theirs), bool)}
    return Tool(name, hints, schema, spans[index])


def _name_problem(name: str) -> str:
    """Say why no request can carry a name (L60), or "" when one can."""
    if len(name) > MAX_NAME:
        return f"has more than {MAX_NAME} characters"
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        return "holds a control character or half of one"
    return "" if unicodedata.is_normalized("NFC", name) else "is not in Unicode normal form NFC"


def _refuse_twins(path: str, tools: Iterable[Tool]) -> None:
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise CatalogueError(f"`{path}` names the tool `{shown(tool.name)}` twice")
        seen.add(tool.name)


def _name_spans(text: str, way: tuple[str, ...]) -> Iterator[tuple[int, Span]]:
    """Yield where the name of each tool stands, by the tool's index; `way` leads to the list.

    The text is valid JSON, so strings, brackets and commas tell where everything is.
    """
    keys: list[str | int] = []  # from the outside to here: the name in each object, the index in each list
    names = False  # whether the next string is a member's name
    for token in _TOKENS.finditer(text):
        match text[token.start()]:
            case "{":
                keys.append("")
                names = True
            case "[":
                keys.append(0)
                names = False
            case "}" | "]":
                keys.pop()
                names = False
            case ",":
                here = keys[-1]
                names = isinstance(here, str)
                keys[-1] = here + 1 if isinstance(here, int) else here
            case _ if names:
                keys[-1] = json.loads(token[0])
                names = False
            case _ if len(keys) == len(way) + 2 and keys[-1] == "name" and (*way, keys[-2]) == tuple(keys[:-1]):
                index = keys[-2]
                if isinstance(index, int):
                    yield index, Span(token.start(), token.end())
