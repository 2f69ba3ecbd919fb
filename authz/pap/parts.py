"""Take a policy apart into what can be told one by one: each rule with the head of its block, each declaration.

A part's `key` is what it says. It stays the same wherever the part is written, whatever is said in
comments around it, and in whatever order stands that whose order means nothing (L20, L21).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from authz.lang import ast
from authz.lang.formatter import format_policy, quote
from authz.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from authz.lang.checked import CheckedPolicySet

    Named: TypeAlias = (
        ast.ScopeDeclaration | ast.RoleDeclaration | ast.ShapeDeclaration | ast.LetDeclaration | ast.GroupDeclaration
    )

_NOWHERE: Final = ast.Span(0, 0)
_ORDER_MEANS_NOTHING: Final = frozenset(
    {
        (ast.ToolBlock, "patterns"),
        (ast.ToolBlock, "excepted"),
        (ast.ToolBlock, "arguments"),
        (ast.ToolBlock, "types"),
        (ast.TenantBlock, "patterns"),
        (ast.GroupDeclaration, "patterns"),
        (ast.RoleDeclaration, "extends"),
        (ast.ScopeDeclaration, "implies"),
        (ast.ShapeDeclaration, "fields"),
        (ast.RecordType, "fields"),
        (ast.UnionType, "options"),
        (ast.Require, "names"),
        (ast.Who, "names"),
        (ast.Limit, "keys"),
        (ast.ObligationClause, "parameters"),
    }
)


class Part(NamedTuple):
    """One rule or declaration. What stands after `key` are weaker clues to the same part in another version.

    `own` is the name that its author gave it, and where; `label` that name alone; `words` what a
    rule says without its label and block; `place` the block of a rule that has no name of its own.
    """

    name: str
    node: ast.Declaration
    key: Hashable
    own: Hashable = None
    label: Hashable = None
    words: Hashable = None
    place: Hashable = None

    @property
    def text(self) -> str:
        """Return its canonical text, a rule's with the head of its block; comments are left out."""
        file = ast.PolicyFile((self.node,), (), broken=False, span=_NOWHERE)
        return format_policy(Source("", ""), file).removesuffix("\n")


def parts(policy: CheckedPolicySet) -> tuple[Part, ...]:
    """Return every part of a policy, in the order in which they are written."""
    return tuple(
        part for source, file in policy.files for node in file.declarations for part in _declared(node, source, None)
    )


def _declared(node: ast.Declaration, source: Source, tenant: ast.TenantBlock | None) -> Iterator[Part]:
    match node:
        case ast.ToolBlock(statements=()) | ast.TenantBlock(items=()):
            yield Part(_numbered(source, node.span), _within(tenant, node), (_key(tenant), _key(node)))
        case ast.TenantBlock(patterns, items, span):
            outer = ast.TenantBlock(patterns, (), span)
            for item in items:
                yield from _declared(item, source, outer)
        case ast.ToolBlock(statements=statements):
            head = (_key(tenant), _key(node._replace(statements=())))
            yield from (_rule(statement, _Block(node, head, source, tenant)) for statement in statements)
        case _:
            yield _named(node, tenant)


class _Block(NamedTuple):
    """A tool block, what its head says, and where it stands."""

    node: ast.ToolBlock
    head: Hashable
    source: Source
    tenant: ast.TenantBlock | None


def _rule(statement: ast.Statement, block: _Block) -> Part:
    """Return a statement in a block of its own; one that has a label is found again by it (L23)."""
    module = block.source.module
    node = _within(block.tenant, block.node._replace(statements=(statement,)))
    said = _key(statement)
    key = (block.head, said)
    if isinstance(statement, ast.Rule) and statement.label is not None:
        label = statement.label.value
        words = (module, _key(statement._replace(label=None)))
        return Part(f"{module}:{label}", node, key, (module, label), ("rule", label), words)
    kind = statement.effect if isinstance(statement, ast.Rule) else type(statement).__name__
    place = (module, block.head, kind)
    return Part(_numbered(block.source, statement.span), node, key, words=(module, said), place=place)


def _named(node: Named, tenant: ast.TenantBlock | None) -> Part:
    where, within = _key(tenant), _within(tenant, node)
    name = _name(node)
    patterns = ", ".join(quote(pattern.value) for pattern in tenant.patterns) if tenant else ""
    shown = f"{name} for tenant {patterns}" if patterns else name
    return Part(shown, within, (where, _key(node)), (where, "declared", name), ("declared", name))


def _name(node: Named) -> str:
    match node:
        case ast.ScopeDeclaration(name):
            return f"scope {name.value}"
        case ast.RoleDeclaration(name):
            return f"role {name.value}"
        case ast.ShapeDeclaration(kind, name):
            return kind if name is None else f"{kind} {name.value}"
        case ast.LetDeclaration(word):
            return f"let {word.text}"
        case ast.GroupDeclaration(word):
            return f"tools @{word.text}"


def _numbered(source: Source, span: ast.Span) -> str:
    return f"{source.module}:{source.place(span.start)[0]}"


def _within(tenant: ast.TenantBlock | None, node: ast.Declaration) -> ast.Declaration:
    return node if tenant is None else tenant._replace(items=(node,))


def _key(node: object) -> Hashable:
    """Return what a tree says: no spans, and sorted where order and repetition mean nothing."""
    if not isinstance(node, tuple):
        assert isinstance(node, (str, int, float, type(None)))  # what a tree has beside nodes
        return node
    names: tuple[str, ...] = getattr(node, "_fields", ())
    if not names:
        return tuple(map(_key, node))
    kind = type(node)
    fields: list[Hashable] = [kind.__name__]
    for name, value in zip(names, node, strict=True):
        if name == "span":
            continue
        key = _key(value)
        if isinstance(key, tuple) and len(key) > 1 and (kind, name) in _ORDER_MEANS_NOTHING:
            key = tuple(sorted(set(key), key=repr))
        fields.append(key)
    return tuple(fields)
