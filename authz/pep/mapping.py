"""Which resource a tool call touches: rules from configuration, or a function.

What a rule takes from the arguments, it takes as it is: nothing is guessed, joined or cut, because
the tool does not do so either. A path is checked by the policy (`under`), not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from authz.errors import InvalidRequestError
from authz.json_form import MAX_EXACT, shown
from authz.lang.values import glob
from authz.model import Resource
from authz.tokens.settings import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Mapping as Mapped

    from authz.model import Attributes, Value
    from authz.pep.identity import Identity

    Function = Callable[[str, Attributes, Identity], Resource | None]

Path: TypeAlias = tuple[str, ...]
"""Names from the outside in, of an argument."""

MAX_RULES: Final = 1_000
_MOST_KNOWN: Final = 10_000
PAGE: Final = "docs/mcp.md"
"""Where all settings stand."""
_FAILED: Final = "cannot be mapped to a resource"


@dataclass(frozen=True, slots=True)
class Touches:
    """What a tool touches: a resource of this type, named by the argument at `id`.

    `tenant` is where the arguments name its tenant; without, it is the caller's. An argument of
    `attributes` that is missing leaves its attribute out. Where the argument at `id` is missing,
    the call is refused, or touches nothing when `optional`.
    """

    type: str
    id: Path
    tenant: Path = ()
    attributes: Mapped[str, Path] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Tools by their patterns (L20), and what they touch; None is nothing."""

    match: tuple[str, ...]
    touches: Touches | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """What a server's tools touch: the first rule that matches counts, and without one nothing is touched.

    A `function` takes the place of rules. It gets the tool, its arguments and the caller, and returns
    the resource or None; whatever it raises refuses the call. Tests of it are yours.
    """

    rules: tuple[Rule, ...] = ()
    function: Function | None = None
    _known: dict[str, Touches | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What tools touch that were looked for; bounded, since callers choose the names."""

    @classmethod
    def by(cls, function: Function) -> Mapping:
        """Return a mapping by a function; usable as a decorator."""
        return cls(function=function)

    def resource(self, tool: str, arguments: Attributes, identity: Identity) -> Resource | None:
        """Return what a call touches. Raises `InvalidRequestError`, naming the argument that does not tell."""
        if self.function is not None:
            return _by_function(self.function, tool, arguments, identity)
        touches = self._touches(tool)
        return None if touches is None else _resource(touches, arguments, identity)

    def has_resource(self, tool: str) -> bool:
        """Say whether calls of a tool may touch a resource."""
        return self.function is not None or self._touches(tool) is not None

    def open_resource(self, tool: str) -> Resource | None:
        """Return what is known of the resource before there is a call: its type at most, None being nothing."""
        touches = self._touches(tool)
        return None if touches is None or touches.optional else Resource(touches.type)

    def _touches(self, tool: str) -> Touches | None:
        if not self.rules:
            return None
        if tool not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            rule = next((rule for rule in self.rules if any(glob(one.split("*"), tool) for one in rule.match)), None)
            self._known[tool] = None if rule is None else rule.touches
        return self._known[tool]


def _by_function(function: Function, tool: str, arguments: Attributes, identity: Identity) -> Resource | None:
    try:
        found: object = function(tool, arguments, identity)
    except InvalidRequestError:
        raise  # meant for the caller
    except Exception:  # noqa: BLE001  # its text is not meant for the caller, and may hold arguments
        raise InvalidRequestError("arguments", _FAILED) from None
    if found is None or isinstance(found, Resource):
        return found
    raise InvalidRequestError("arguments", _FAILED)


def _resource(touches: Touches, arguments: Attributes, identity: Identity) -> Resource | None:
    id_ = _named(touches.id, arguments)
    if id_ is None and touches.optional:
        return None
    tenant = identity.tenant if not touches.tenant else _demanded(touches.tenant, _named(touches.tenant, arguments))
    attributes = {name: _at(path, arguments) for name, path in touches.attributes.items()}
    return Resource(
        touches.type,
        _demanded(touches.id, id_),
        tenant,
        {name: value for name, value in attributes.items() if value is not None},
    )


def _at(path: Path, arguments: Attributes) -> Value:
    value: Value = arguments
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _named(path: Path, arguments: Attributes) -> str | None:
    """Return the text that names something; None where there is none."""
    value = _at(path, arguments)
    if value is None or (isinstance(value, str) and value):
        return value
    # A float may be spelt in many ways, and an endless integer takes endless time to write.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_EXACT:
        return str(value)
    raise InvalidRequestError(_field(path), "must be a text that is not empty, or a whole number")


def _demanded(path: Path, value: str | None) -> str:
    if value is None:
        raise InvalidRequestError(_field(path), "is missing: it says what the call touches")
    return value


def _field(path: Path) -> str:
    return ".".join(("arguments", *path))


def read_rules(tables: Iterable[Mapped[str, object]], problems: list[str]) -> tuple[Rule, ...]:
    """Read the tables `[[tools]]` of a configuration; what is wrong with them is added to `problems`."""
    found = [_rule(Table(values, f"[[tools]] {number}", problems, PAGE)) for number, values in enumerate(tables, 1)]
    if len(found) > MAX_RULES:
        problems.append(f"[[tools]]: there are more than {MAX_RULES}")
    return tuple(found[:MAX_RULES])


def _rule(table: Table) -> Rule:
    match = (table.text("match"),) if isinstance(table.given("match"), str) else table.texts("match")
    if not match and table.given("match") in (None, []):
        table.problem('`match` is missing: the tools that this is about, as in `match = "read_*"`')
    touches = _touched(table.below("resource")) if table.has("resource") else None
    table.finish()
    return Rule(match, touches)


def _touched(table: Table) -> Touches:
    kind = table.text("type")
    if not table.has("type"):
        table.problem('`type` is missing: the type of the resource in policies, as in `type = "file"`')
    if not table.has("id"):
        table.problem('`id` is missing: the argument that names the resource, as in `id = "args.path"`')
    attributes = table.below("attributes")
    missing = table.one_of("when_missing", ("refuse", "none"))
    touches = Touches(
        type=kind,
        id=_path(table, "id"),
        tenant=() if table.given("tenant") == "token" else _path(table, "tenant"),
        attributes={name: _path(attributes, name) for name in attributes.keys()},  # noqa: SIM118  # it is no dict
        optional=missing == "none",
    )
    table.ignore("tenant")
    table.finish()
    return touches


def _path(table: Table, key: str) -> Path:
    """Read `args.folder.name`; a list, `["args", "a.b"]`, where a name itself holds a dot."""
    if not table.has(key):
        return ()
    found = table.path(key)
    if found and (found[0] != "args" or len(found) < 2):
        table.problem(f'`{shown(key)}` must be an argument, as in `{shown(key)} = "args.path"`')
        return ()
    return found[1:]
