"""What a policy declares, collected before anything is used (L10-L17)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from authz.lang import ast
from authz.lang.checked import Place
from authz.lang.diagnostics import Diagnostic, Related, Severity, near
from authz.lang.types import ANY, NAMED, FieldType, Type, set_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from authz.lang.ast import Span
    from authz.lang.source import Source

T = TypeVar("T")

ROOTS = frozenset(
    {
        "subject",
        "client",
        "scopes",
        "roles",
        "tenant",
        "tool",
        "resource",
        "args",
        "context",
        "now",
    }
)
RESERVED = {
    "resource": frozenset({"type", "id", "tenant", "ancestors"}),
    "subject": frozenset({"id", "groups"}),
    "client": frozenset({"id"}),
    "context": frozenset[str](),
}


class Reporter:
    """Collects diagnostics. `gaps` says that syntax errors left declarations out (L5)."""

    def __init__(self, *, gaps: bool) -> None:
        """Start with nothing found."""
        self.gaps = gaps
        self.found: list[Diagnostic] = []

    def error(self, code: str, message: str, place: Place, help_: str = "", related: tuple[Related, ...] = ()) -> None:
        """Report an error at a place."""
        self.found.append(Diagnostic(code, message, place.source, place.span, help_, related, Severity.ERROR))

    def twice(self, message: str, place: Place, first: Place) -> None:
        """Report the second of two declarations of one thing, and show the first (L17)."""
        related = (Related(first.source, first.span, "first declared here"),)
        self.error("duplicate-declaration", message, place, related=related)

    def unless_gaps(self, code: str, message: str, place: Place, help_: str = "") -> None:
        """Report that something is not declared, unless a syntax error may have hidden it."""
        if not self.gaps:
            self.error(code, message, place, help_)


class Let(NamedTuple):
    """A `let`, where it stands, and the tenant block it belongs to."""

    declaration: ast.LetDeclaration
    source: Source
    section: int | None


class Role(NamedTuple):
    """A role declaration and the tenant block it belongs to."""

    declaration: ast.RoleDeclaration
    place: Place
    section: int | None


class Section(NamedTuple):
    """A tenant block: its patterns, and what stands in it."""

    patterns: tuple[str, ...]
    block: ast.TenantBlock
    source: Source


LetKey: TypeAlias = "tuple[str, int | None]"
"""What a `let` is found by: its name and the tenant block it belongs to."""


class Symbols(NamedTuple):
    """All that is declared, by name; duplicates are reported and the first one kept."""

    scopes: dict[str, tuple[ast.ScopeDeclaration, Place]]
    roles: list[Role]
    resources: dict[str, tuple[FieldType, ...]]
    types: Mapping[str, int]
    """The names of `resources`, and which of them each is."""
    global_types: frozenset[str]
    shapes: dict[str, tuple[FieldType, ...]]
    lets: dict[LetKey, Let]
    groups: dict[str, tuple[ast.GroupDeclaration, Place]]
    sections: list[Section]
    blocks: list[tuple[ast.ToolBlock, Source, int | None]]

    def let(self, name: str, section: int | None) -> LetKey | None:
        """Find what a name means in a tenant block, or outside (None)."""
        return next((key for key in ((name, section), (name, None)) if key in self.lets), None)


def collect(files: Sequence[tuple[Source, ast.PolicyFile]], report: Reporter) -> Symbols:
    """Sort every declaration into its table."""
    symbols = Symbols({}, [], {}, {}, frozenset(), {}, {}, {}, [], [])
    shapes: list[tuple[ast.ShapeDeclaration, Place]] = []
    for source, file in files:
        for declaration in file.declarations:
            _declare(declaration, source, None, symbols, shapes, report)
    global_types = _declare_shapes(shapes, symbols, report)
    types = {name: number for number, name in enumerate(symbols.resources)}
    return symbols._replace(types=types, global_types=global_types)


def _declare(
    declaration: ast.Declaration,
    source: Source,
    section: int | None,
    symbols: Symbols,
    shapes: list[tuple[ast.ShapeDeclaration, Place]],
    report: Reporter,
) -> None:
    place = Place(source, declaration.span)
    if section is not None and not _may_stand_in_section(declaration):
        report.error(
            "not-for-one-tenant",
            "a tenant block holds only tool blocks, derived roles and lets",
            place,
            "declare this outside, for all tenants",
        )
        return
    match declaration:
        case ast.ScopeDeclaration(name):
            _once(symbols.scopes, name.value, (declaration, place), f"scope `{name.value}`", name.span, source, report)
        case ast.RoleDeclaration():
            symbols.roles.append(Role(declaration, place, section))
        case ast.ShapeDeclaration():
            shapes.append((declaration, place))
        case ast.LetDeclaration(name):
            _declare_let(Let(declaration, source, section), symbols, report)
        case ast.GroupDeclaration(name):
            _once(
                symbols.groups, name.text, (declaration, place), f"tool group `{name.text}`", name.span, source, report
            )
        case ast.ToolBlock():
            symbols.blocks.append((declaration, source, section))
        case ast.TenantBlock(patterns, items):
            symbols.sections.append(Section(tuple(p.value for p in patterns), declaration, source))
            index = len(symbols.sections) - 1
            for item in items:
                _declare(item, source, index, symbols, shapes, report)


def _may_stand_in_section(declaration: ast.Declaration) -> bool:
    if isinstance(declaration, ast.RoleDeclaration):
        return declaration.when is not None
    return isinstance(declaration, (ast.ToolBlock, ast.LetDeclaration))


def _once(
    table: dict[str, tuple[T, Place]],
    key: str,
    value: tuple[T, Place],
    what: str,
    span: Span,
    source: Source,
    report: Reporter,
) -> None:
    if key in table:
        report.twice(f"{what} is declared twice", Place(source, span), table[key][1])
    else:
        table[key] = value


def _declare_let(let: Let, symbols: Symbols, report: Reporter) -> None:
    name = let.declaration.name
    place = Place(let.source, name.span)
    if name.text in ROOTS:
        report.error(
            "reserved-name", f"`{name.text}` already names a part of the request", place, "choose another name"
        )
        return
    first = symbols.lets.get((name.text, let.section)) or (
        symbols.lets.get((name.text, None)) if let.section is not None else None
    )
    if first is not None:
        report.twice(f"`{name.text}` is declared twice", place, Place(first.source, first.declaration.name.span))
        return
    symbols.lets[name.text, let.section] = let


# --- Shapes ---------------------------------------------------------------------------------


def _declare_shapes(
    shapes: list[tuple[ast.ShapeDeclaration, Place]], symbols: Symbols, report: Reporter
) -> frozenset[str]:
    types = {s.name.value for s, _ in shapes if s.name is not None}
    seen: dict[tuple[str, str], Place] = {}
    for shape, place in shapes:
        name = shape.name.value if shape.name is not None else ""
        what = f"resource `{name}`" if name else f"`{shape.kind}`"
        if (shape.kind, name) in seen:
            report.twice(f"{what} is declared twice", place, seen[shape.kind, name])
            continue
        seen[shape.kind, name] = place
        for field in shape.fields:
            if field.name.text in RESERVED[shape.kind]:
                report.error(
                    "reserved-attribute",
                    f"`{field.name.text}` is built in",
                    Place(place.source, field.name.span),
                    "every request has it already; leave it out or choose another name",
                )
        fields = read_fields(shape.fields, place.source, types, report)
        if shape.kind == "resource":
            symbols.resources[name] = fields
        else:
            symbols.shapes[shape.kind] = fields
    return frozenset(shape.name.value for shape, _ in shapes if shape.name is not None and shape.is_global)


def read_fields(
    fields: Iterable[ast.Field], source: Source, types: Iterable[str], report: Reporter
) -> tuple[FieldType, ...]:
    """Turn written fields into types; `types` are the declared resource types, for `ref`."""
    read: dict[str, FieldType] = {}
    spans: dict[str, Span] = {}
    for field in fields:
        name = field.name.text
        if name in read:
            report.twice(
                f"attribute `{name}` is declared twice", Place(source, field.name.span), Place(source, spans[name])
            )
            continue
        spans[name] = field.name.span
        read[name] = FieldType(name, _read_type(field.type, source, types, report), field.optional)
    return tuple(read.values())


def _read_type(written: ast.TypeExpr, source: Source, types: Iterable[str], report: Reporter) -> Type:
    match written:
        case ast.NamedType(name, span):
            if name in NAMED:
                return NAMED[name]
            report.error(
                "unknown-type",
                f"there is no type `{name}`",
                Place(source, span),
                near(name, [*NAMED, "set", "map", "ref"])
                or "the types are `string`, `number`, `bool`, `time`, "
                "`duration`, `ip`, `set<…>`, `map<…>`, `ref<…>`, `{ … }` and unions of strings",
            )
            return ANY
        case ast.UnionType(options):
            return Type("union", options=tuple(sorted({option.value for option in options})))
        case ast.SetType(item):
            return set_of(_read_type(item, source, types, report))
        case ast.MapType(item):
            return Type("map", _read_type(item, source, types, report))
        case ast.RecordType(fields):
            return Type("record", fields=read_fields(fields, source, types, report))
        case ast.RefType(target, span):
            name = target.value if isinstance(target, ast.Text) else target.text
            if name != "subject" and name not in types:
                report.unless_gaps(
                    "unknown-type",
                    f"there is no resource type `{name}` to refer to",
                    Place(source, span),
                    near(name, ["subject", *types]) or "declare it with `resource`",
                )
            return Type("ref", target=name)


# --- Hierarchies ----------------------------------------------------------------------------


def closures(edges: Mapping[str, tuple[str, ...]], on_cycle: Callable[[list[str]], None]) -> dict[str, frozenset[str]]:
    """Return for each name all that it reaches, itself included; report each cycle once.

    Walks with a stack of its own: hierarchies may be as long as a file.
    """
    order, cyclic = _topological(edges, on_cycle)
    reached: dict[str, frozenset[str]] = {}
    for name in order:
        below = [reached.get(child, frozenset({child})) for child in edges.get(name, ())]
        reached[name] = frozenset({name}).union(*below)
    return reached | {name: frozenset({name}) for name in cyclic}


def _topological(
    edges: Mapping[str, tuple[str, ...]], on_cycle: Callable[[list[str]], None]
) -> tuple[list[str], set[str]]:
    """Order names after what they lead to. Names on a cycle are returned apart."""
    done: dict[str, bool] = {}  # False while under way
    order: list[str] = []
    cyclic: set[str] = set()
    for root in edges:
        path: list[str] = []
        stack = [(root, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                path.pop()
                done[name] = True
                order.append(name)
            elif done.get(name) is False:
                cycle = path[path.index(name) :]
                cyclic.update(cycle)
                on_cycle(cycle)
            elif name not in done:
                done[name] = False
                path.append(name)
                stack.append((name, True))
                stack.extend((child, False) for child in reversed(edges.get(name, ())))
    return [name for name in order if name not in cyclic], cyclic
