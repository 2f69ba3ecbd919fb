"""Reductions of the grammar → nodes of the tree. One method for each rule of grammar.lark.

Each takes the children of its rule, tokens included, and returns a node, or a `Part` of one.
Nothing here can fail: what the grammar lets through too widely, the validator refuses.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from authz.lang import ast
from authz.lang.lexer import Token

Child: TypeAlias = Any  # a Token, a node or a Part: which of them, the grammar says
Children: TypeAlias = list[Child]


class Part(NamedTuple):
    """A piece of a node: the name of its rule, and what it holds. `span` is None where it is empty."""

    kind: str
    value: Any
    span: ast.Span | None


def _span(children: Children) -> ast.Span:
    first, last = children[0].span, children[-1].span
    if first is None or last is None:  # an empty list at one end
        spans = [child.span for child in children if child.span is not None]
        first, last = spans[0], spans[-1]
    return ast.Span(first.start, last.end)


def _part(kind: str, value: object, children: Children) -> Part:
    return Part(kind, value, _span(children) if any(child.span is not None for child in children) else None)


def _parts(children: Children) -> dict[str, Any]:
    return {child.kind: child.value for child in children if type(child) is Part}


def _nodes(children: Children) -> tuple[Child, ...]:
    return tuple(child for child in children if type(child) is not Token and type(child) is not Part)


def _text(token: Token) -> ast.Text:
    return ast.Text(str(token.value), token.span)


def _texts(children: Children) -> tuple[ast.Text, ...]:
    return tuple(_text(child) for child in children if type(child) is Token and child.type == "STRING")


def _name(token: Token) -> ast.Name:
    return ast.Name(token.text, token.span)


class Builder:
    """The callbacks of the parser."""

    def policy(self, children: Children) -> tuple[ast.Declaration, ...]:
        return tuple(children)

    def tests(self, children: Children) -> tuple[ast.Fixture | ast.TestCase, ...]:
        return tuple(children)

    # --- Declarations -----------------------------------------------------------------------

    def scope_declaration(self, children: Children) -> ast.ScopeDeclaration:
        return ast.ScopeDeclaration(_text(children[1]), _parts(children).get("strings", ()), _span(children))

    def role_declaration(self, children: Children) -> ast.RoleDeclaration:
        parts = _parts(children)
        return ast.RoleDeclaration(_text(children[1]), parts.get("strings", ()), parts.get("when"), _span(children))

    def shape_declaration(self, children: Children) -> ast.ShapeDeclaration:
        parts = _parts(children)
        kind, name, is_global = parts["head"]
        return ast.ShapeDeclaration(kind, name, is_global, parts["fields"], _span(children))

    def shape_head(self, children: Children) -> Part:
        name = _text(children[1]) if len(children) > 1 else None
        return _part("head", (children[0].text, name, len(children) > 2), children)

    def let_declaration(self, children: Children) -> ast.LetDeclaration:
        return ast.LetDeclaration(_name(children[1]), children[3], _span(children))

    def group_declaration(self, children: Children) -> ast.GroupDeclaration:
        return ast.GroupDeclaration(children[1], _parts(children)["patterns"], _span(children))

    def tenant_block(self, children: Children) -> ast.TenantBlock:
        return ast.TenantBlock(_parts(children)["strings"], _nodes(children), _span(children))

    def tool_block(self, children: Children) -> ast.ToolBlock:
        parts = _parts(children)
        return ast.ToolBlock(
            parts["patterns"],
            parts.get("excepted", ()),
            parts.get("arguments"),
            parts.get("types"),
            _nodes(children),
            _span(children),
        )

    def excepted(self, children: Children) -> Part:
        return _part("excepted", children[1].value, children)

    def arguments(self, children: Children) -> Part:
        return _part("arguments", children[1].value, children)

    def on_types(self, children: Children) -> Part:
        return _part("types", children[1].value, children)

    def strings(self, children: Children) -> Part:
        return _part("strings", _texts(children), children)

    def patterns(self, children: Children) -> Part:
        return _part("patterns", _nodes(children), children)

    def pattern(self, children: Children) -> ast.Pattern:
        if len(children) == 1:
            return _text(children[0])
        return ast.GroupReference(children[1], _span(children))

    def fields(self, children: Children) -> Part:
        return _part("fields", _nodes(children), children)

    def field(self, children: Children) -> ast.Field:
        return ast.Field(children[0], children[1].text == "?", children[-1], _span(children))

    def name_type(self, children: Children) -> ast.NamedType:
        return ast.NamedType(children[0].text, children[0].span)

    def union_type(self, children: Children) -> ast.UnionType:
        return ast.UnionType(_texts(children), _span(children))

    def set_type(self, children: Children) -> ast.TypeExpr:
        word, item, span = children[0], children[2], _span(children)
        match word.text, item:
            case "set", _:
                return ast.SetType(item, span)
            case "map", _:
                return ast.MapType(item, span)
            case "ref", ast.NamedType(name, at):
                return ast.RefType(ast.Name(name, at), span)
            case "ref", ast.UnionType((option,), _):
                return ast.RefType(option, span)
            case _:
                return ast.NamedType(word.text, word.span)

    def record_type(self, children: Children) -> ast.RecordType:
        return ast.RecordType(children[1].value, _span(children))

    # --- Statements -------------------------------------------------------------------------

    def require_names(self, children: Children) -> ast.Require:
        kind, mode, names = children[1].value
        return ast.Require(kind, mode, names, _span(children))

    def require_when(self, children: Children) -> ast.RequireWhen:
        return ast.RequireWhen(children[1].value, _span(children))

    def allow(self, children: Children) -> ast.Rule:
        return self._rule("allow", children)

    def deny(self, children: Children) -> ast.Rule:
        return self._rule("deny", children)

    def _rule(self, effect: Any, children: Children) -> ast.Rule:
        parts = _parts(children)
        obligations = tuple(child for child in children if type(child) is ast.ObligationClause)
        return ast.Rule(
            effect,
            parts.get("label"),
            parts.get("who"),
            "across" in parts,
            parts.get("when"),
            parts.get("unless"),
            parts.get("because"),
            obligations,
            _span(children),
        )

    def limit(self, children: Children) -> ast.Limit:
        _, count, _, per, _, keys = children
        number = ast.NumberLiteral(count.value, count.span)
        return ast.Limit(number, ast.DurationLiteral(per.value, per.text, per.span), keys.value, _span(children))

    def oblige(self, children: Children) -> ast.Oblige:
        return ast.Oblige(children[1], _span(children))

    def label(self, children: Children) -> Part:
        return _part("label", _text(children[0]), children)

    def who(self, children: Children) -> Part:
        if type(children[0]) is Token:
            return _part("who", ast.Who(children[0].text, None, (), children[0].span), children)  # type: ignore[arg-type]  # ANYONE or PUBLIC
        kind, mode, names = children[0].value
        return _part("who", ast.Who(kind, mode, names, children[0].span), children)

    def who_names(self, children: Children) -> Part:
        mode = children[1].text if type(children[1]) is Token else None
        return _part("who_names", (children[0].text, mode, children[-1].value), children)

    def across(self, children: Children) -> Part:
        return _part("across", True, children)

    def when(self, children: Children) -> Part:
        return _part("when", children[1], children)

    def unless(self, children: Children) -> Part:
        return _part("unless", children[1], children)

    def because(self, children: Children) -> Part:
        return _part("because", _text(children[1]), children)

    def then(self, children: Children) -> ast.ObligationClause:
        return children[1]  # type: ignore[no-any-return]  # obligation() made it

    def obligation(self, children: Children) -> ast.ObligationClause:
        return ast.ObligationClause(_text(children[0]), _parts(children).get("parameters", ()), _span(children))

    def parameters(self, children: Children) -> Part:
        return _part("parameters", _nodes(children), children)

    def parameter(self, children: Children) -> ast.Parameter:
        return ast.Parameter(children[0], children[2], _span(children))

    def words(self, children: Children) -> Part:
        return _part("words", _nodes(children), children)

    # --- Expressions ------------------------------------------------------------------------

    def if_expression(self, children: Children) -> ast.If:
        return ast.If(children[1], children[3], children[5], _span(children))

    def disjunction(self, children: Children) -> ast.Or:
        return ast.Or(_nodes(children), _span(children))

    def conjunction(self, children: Children) -> ast.And:
        return ast.And(_nodes(children), _span(children))

    def negation(self, children: Children) -> ast.Not:
        return ast.Not(children[1], _span(children))

    def comparison(self, children: Children) -> ast.Expr:
        first, second, *rest = children
        if not rest:
            return ast.Has(first, second.value, _span(children))
        if len(children) == 3:
            return ast.Compare(second.value, first, rest[0], _span(children))
        return ast.Chain(
            _nodes(children), tuple(child.value for child in children if type(child) is Part), _span(children)
        )

    def compare_op(self, children: Children) -> Part:
        return _part("op", " ".join(token.text for token in children), children)

    def has_path(self, children: Children) -> Part:
        return _part("has", _nodes(children), children)

    def range(self, children: Children) -> ast.Range:
        return ast.Range(children[0], children[2], _span(children))

    def sum(self, children: Children) -> ast.Sum:
        signs = zip(children[1::2], children[2::2], strict=True)
        rest = tuple(ast.Term(sign.value, operand, _span([sign, operand])) for sign, operand in signs)
        return ast.Sum(children[0], rest, _span(children))

    def sign(self, children: Children) -> Part:
        return _part("sign", children[0].text, children)

    def coalesced(self, children: Children) -> ast.Coalesce:
        return ast.Coalesce(_nodes(children), _span(children))

    def group(self, children: Children) -> ast.Expr:
        return children[1]._replace(span=_span(children))  # type: ignore[no-any-return]  # an Expr

    def reference(self, children: Children) -> ast.Reference:
        return ast.Reference(children[0], tuple(children[1:]), _span(children))

    def root(self, children: Children) -> ast.Name:
        return _name(children[0])

    def attribute(self, children: Children) -> ast.Attribute:
        return ast.Attribute(children[1].text, children[1].span)

    def index(self, children: Children) -> ast.Index:
        return ast.Index(children[1], _span(children))

    def call(self, children: Children) -> ast.Call:
        return ast.Call(_name(children[0]), _nodes(children), _span(children))

    def set_literal(self, children: Children) -> ast.SetLiteral:
        return ast.SetLiteral(_nodes(children), _span(children))

    def literal(self, children: Children) -> ast.LiteralExpr:
        token = children[-1]
        span = _span(children)
        minus = len(children) > 1
        match token.type:
            case "STRING":
                return ast.StringLiteral(token.value, span)
            case "NUMBER":
                return ast.NumberLiteral(-token.value if minus else token.value, span)
            case "DURATION":
                return ast.DurationLiteral(-token.value if minus else token.value, f"{'-' * minus}{token.text}", span)
            case _:
                return ast.BoolLiteral(token.text == "true", span)

    def word(self, children: Children) -> ast.Name:
        return _name(children[0])

    # --- Tests ------------------------------------------------------------------------------

    def fixture(self, children: Children) -> ast.Fixture:
        value = children[3]
        if type(value) is Part:
            return ast.Fixture(_name(children[1]), value.value, children[4].value, _span(children))
        return ast.Fixture(_name(children[1]), value, (), _span(children))

    def test(self, children: Children) -> ast.TestCase:
        parts = _parts(children)
        tool, arguments, resource, at = parts["call"]
        return ast.TestCase(
            _text(children[1]),
            parts["caller"],
            parts["clauses"],
            tool,
            arguments,
            resource,
            at,
            parts["expect"],
            _span(children),
        )

    def caller(self, children: Children) -> Part:
        if len(children) == 1 and children[0].text == "anonymous":
            return _part("caller", ast.SubjectSpec(None, None, children[0].span), children)
        if len(children) == 1:
            return _part("caller", _name(children[0]), children)
        attributes = children[2] if len(children) > 2 else None
        return _part("caller", ast.SubjectSpec(_text(children[1]), attributes, _span(children)), children)

    def resource_spec(self, children: Children) -> ast.ResourceSpec:
        attributes = children[3] if len(children) > 3 else None
        return ast.ResourceSpec(_text(children[1]), _text(children[2]), attributes, _span(children))

    def clauses(self, children: Children) -> Part:
        """Give each string after a comma to the clause before it: `scopes "a", "b", tenant "t"`."""
        clauses: list[ast.Clause] = []
        for part in (child.value for child in children if type(child) is Part):
            if part.kind is not None or not clauses:
                clauses.append(part)
            else:
                clauses[-1] = clauses[-1]._replace(
                    texts=clauses[-1].texts + part.texts, span=_span([clauses[-1], part])
                )
        return _part("clauses", tuple(clauses), children or [Part("", None, None)])

    def clause_part(self, children: Children) -> Part:
        kind: Any = children[0].value if type(children[0]) is Part else None
        attributes = children[-1] if type(children[-1]) is ast.JsonObject else None
        return _part("clause", ast.Clause(kind, _texts(children), attributes, _span(children)), children)

    def clause_word(self, children: Children) -> Part:
        return _part("word", children[0].text, children)

    def tool_call(self, children: Children) -> Part:
        parts = _parts(children)
        arguments = next((child for child in children if type(child) is ast.JsonObject), None)
        at = next((_text(after) for word, after in pairwise(children) if _is(word, "AT")), None)
        return _part("call", (_text(children[1]), arguments, parts.get("target"), at), children)

    def target(self, children: Children) -> Part:
        return _part("target", _name(children[0]) if type(children[0]) is Token else children[0], children)

    def expect(self, children: Children) -> Part:
        parts = _parts(children)
        reason = next((_name(child) for child in children[1:] if _is(child, "NAME")), None)
        obligations = tuple(child for child in children if type(child) is ast.ObligationClause)
        expectation = ast.Expectation(
            parts["effect"], reason, parts.get("by"), parts.get("missing"), obligations or None, _span(children)
        )
        return _part("expect", expectation, children)

    def effect(self, children: Children) -> Part:
        return _part("effect", children[0].text, children)

    def by_rules(self, children: Children) -> Part:
        return _part("by", children[1].value, children)

    def missing_scopes(self, children: Children) -> Part:
        return _part("missing", children[1].value, children)

    def object(self, children: Children) -> ast.JsonObject:
        return ast.JsonObject(_nodes(children), _span(children))

    def member(self, children: Children) -> ast.JsonMember:
        return ast.JsonMember(children[0].value, _json(children[2]), _span(children))

    def member_name(self, children: Children) -> Part:
        key = children[0].value if type(children[0]) is Token else children[0].text
        return _part("key", key, children)

    def null(self, children: Children) -> ast.JsonNull:
        return ast.JsonNull(_span(children))

    def list(self, children: Children) -> ast.JsonList:
        return ast.JsonList(tuple(map(_json, _nodes(children))), _span(children))


def _is(child: Child, type_: str) -> bool:
    return type(child) is Token and child.type == type_


def _json(value: Any) -> ast.JsonValue:
    """Write a duration as a request would: as text."""
    if type(value) is ast.DurationLiteral:
        return ast.StringLiteral(value.text, value.span)
    return value  # type: ignore[no-any-return]  # the grammar lets nothing else through
