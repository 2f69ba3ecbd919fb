"""What is legal and still worth a second look: warnings on a checked policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang import ast, checked
from authz.lang.checked import Place
from authz.lang.diagnostics import Diagnostic, Severity, in_order, near
from authz.lang.types import Type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.lang.checked import CheckedPolicySet, Core, Rule
    from authz.lang.source import Source


def lint(policy: CheckedPolicySet) -> tuple[Diagnostic, ...]:
    """Return every warning, in order of file and place."""
    return in_order(
        [
            *empty(policy),
            *undeclared_names(policy),
            *dynamic_attributes(policy),
            *denies_on_optional(policy),
            *attribute_hiding(policy),
            *limits(policy),
        ]
    )


def _warning(code: str, message: str, place: Place, help_: str = "") -> Diagnostic:
    return Diagnostic(code, message, place.source, place.span, help_, severity=Severity.WARNING)


def _rules(policy: CheckedPolicySet) -> Iterator[Rule]:
    for block in policy.blocks:
        yield from block.rules


def empty(policy: CheckedPolicySet) -> Iterator[Diagnostic]:
    """Warn of a policy without a tool block: it denies everything (L25)."""
    if not policy.blocks and policy.files:
        place = Place(policy.files[0][0], ast.Span(0, 0))
        yield _warning("empty-policy", "this policy has no tool block, so it denies everything", place)


# --- Names ----------------------------------------------------------------------------------


def undeclared_names(policy: CheckedPolicySet) -> Iterator[Diagnostic]:
    """Warn of scopes and roles that rules ask for and nothing declares (L10)."""
    scopes = set(policy.scopes).union(*policy.scopes.values()) if policy.scopes else set()
    derived = {role.name for role in policy.derived}
    roles = set(policy.roles) | derived
    for source, statement in _statements(policy):
        for kind, names in _asked(statement):
            known = scopes if kind == "scope" else roles
            for name in names:
                if name.value not in known:
                    yield _warning(
                        f"undeclared-{kind}",
                        f"{kind} `{name.value}` is declared nowhere",
                        Place(source, name.span),
                        near(name.value, known) or f"declare it with `{kind}`",
                    )


def _statements(policy: CheckedPolicySet) -> Iterator[tuple[Source, ast.Statement]]:
    for source, file in policy.files:
        waiting: list[ast.Declaration] = list(file.declarations)
        while waiting:
            declaration = waiting.pop()
            if isinstance(declaration, ast.TenantBlock):
                waiting.extend(declaration.items)
            elif isinstance(declaration, ast.ToolBlock):
                for statement in declaration.statements:
                    yield source, statement


def _asked(statement: ast.Statement) -> Iterator[tuple[str, tuple[ast.Text, ...]]]:
    match statement:
        case ast.Require(kind, _, names) | ast.Rule(who=ast.Who(("role" | "scope") as kind, _, names)):
            yield kind, names


def limits(policy: CheckedPolicySet) -> Iterator[Diagnostic]:
    """Warn that limits are read and not yet enforced (L70)."""
    for source, statement in _statements(policy):
        if isinstance(statement, ast.Limit):
            yield _warning(
                "limit-not-enforced",
                "limits are not enforced yet",
                Place(source, statement.span),
                "do not rely on this limit; keep the one in front of the server",
            )


# --- Conditions -----------------------------------------------------------------------------


def _conditions(policy: CheckedPolicySet) -> Iterator[Core]:
    yield from (rule.condition for rule in _rules(policy) if rule.condition is not None)
    yield from (role.condition for role in policy.derived)


def _nodes(condition: object) -> Iterator[object]:
    waiting = [condition]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple) and not isinstance(node, (Place, Type)):
            if hasattr(node, "_fields"):
                yield node
            waiting.extend(node)


def dynamic_attributes(policy: CheckedPolicySet) -> Iterator[Diagnostic]:
    """Warn of attributes that nothing declares: their types are known only when they are read (L13)."""
    for condition in _conditions(policy):
        for node in _nodes(condition):
            if isinstance(node, (checked.Read, checked.Follow)) and node.type.kind == "dynamic":
                text = node.place.source.slice(node.place.span)
                yield _warning(
                    "dynamic-attribute",
                    f"`{text}` is not declared, so its type is not checked",
                    node.place,
                    _how_to_declare(_shape(node)),
                )


def _how_to_declare(root: str) -> str:
    where = {"args": "after the tool's name, as in `(path: string)`", "resource": 'with `resource "…" { … }`'}
    return f"declare it {where.get(root, f'with `{root} {{ … }}`')}"


def denies_on_optional(policy: CheckedPolicySet) -> Iterator[Diagnostic]:
    """Warn of denies that fire where an optional attribute is left out (L13)."""
    optional = _optional_attributes(policy)
    for rule in _rules(policy):
        if rule.kind != "deny":
            continue
        guarded = {
            _key(part)
            for node in _nodes(rule.condition)
            if isinstance(node, checked.Has)
            for part in _way(node.operand)
        }
        for node in _nodes(rule.condition):
            if not isinstance(node, (checked.Read, checked.Follow)):
                continue
            if _key(node) in guarded or _is_guarded(node, rule.condition):
                continue
            if node.keys and (_shape(node), node.keys[0]) in optional:
                text = node.place.source.slice(node.place.span)
                yield _warning(
                    "optional-in-deny",
                    f"this deny fires whenever the optional `{text}` is missing",
                    rule.place,
                    f"if that is not meant, say `when … has {node.keys[0]} and …`, or give it a value with `??`",
                )


def _is_guarded(read: checked.Read | checked.Follow, condition: Core | None) -> bool:
    """Say whether `??` gives the attribute a value where it is missing."""
    coalesced = (item for node in _nodes(condition) if isinstance(node, checked.Coalesce) for item in node.items[:-1])
    return any(_key(part) == _key(read) for item in coalesced for part in _way(item))


def _key(node: object) -> object:
    """Return what names an attribute, wherever it stands."""
    match node:
        case checked.Read(root, keys):
            return root, keys
        case checked.Follow(reference, _, keys):
            return _key(reference), keys
        case _:
            return None


def _way(node: Core) -> Iterator[Core]:
    """Yield an attribute and the references that lead to it."""
    yield node
    while isinstance(node, checked.Follow):
        node = node.reference
        yield node


def _shape(node: checked.Read | checked.Follow) -> str:
    """Return the kind of shape that would declare an attribute."""
    if isinstance(node, checked.Read):
        return node.root
    return "subject" if node.target == "subject" else "resource"


def _optional_attributes(policy: CheckedPolicySet) -> set[tuple[str, object]]:
    found: set[tuple[str, object]] = set()

    def add(root: str, fields: Iterable[ast.Field]) -> None:
        found.update((root, field.name.text) for field in fields if field.optional)

    for _, file in policy.files:
        waiting: list[ast.Declaration] = list(file.declarations)
        while waiting:
            match waiting.pop():
                case ast.TenantBlock(_, items):
                    waiting.extend(items)
                case ast.ToolBlock(arguments=tuple() as arguments):
                    add("args", arguments)
                case ast.ShapeDeclaration(kind, _, _, fields):
                    add(kind, fields)
    return found


def attribute_hiding(policy: CheckedPolicySet) -> Iterator[Diagnostic]:
    """Warn of rules that leaving an attribute out can turn towards ALLOW (L52).

    `has` does where access grows as it turns false; `??` does unless its value is the one that withholds.
    """
    for rule in _rules(policy):
        for node in _hiding(rule.condition, helps=rule.kind != "deny"):
            word = "has" if isinstance(node, checked.Has) else "??"
            yield _warning(
                "attribute-hiding",
                f"a caller who leaves the attribute out changes what `{word}` finds here",
                node.place,
                "make sure that its absence is meant to help, or compare the attribute itself",
            )


def _hiding(condition: Core | None, *, helps: bool) -> Iterator[checked.Has | checked.Coalesce]:
    """Yield what may let access grow; `helps` says that the condition's being true widens it."""
    waiting: list[tuple[object, bool | None]] = [(condition, helps)]
    while waiting:
        node, polarity = waiting.pop()
        match node:
            case checked.Has():
                if polarity is not True:
                    yield node
            case checked.Coalesce(items):
                last = items[-1]  # a bool that counts as it would where it widens nothing is harmless
                if polarity is None or not isinstance(last, checked.Const) or last.value is not (not polarity):
                    yield node
            case checked.And(items) | checked.Or(items):
                waiting.extend((item, polarity) for item in items)
            case checked.Not(operand):
                waiting.append((operand, None if polarity is None else not polarity))
            case checked.If(test, yes, no):
                waiting += [(test, None), (yes, polarity), (no, polarity)]
            case tuple() if not isinstance(node, (Place, Type)):
                waiting.extend((item, None) for item in node)
