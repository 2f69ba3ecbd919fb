"""What a JSON Schema says of an argument, and what it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.pap.catalogue.schemas import KINDS, Shape, _kind, shape_at, shape_of


def _at(schema: object, *path: str) -> Shape | None:
    return shape_at(schema, path)


@pytest.mark.parametrize(
    ("schema", "kinds"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": "integer"}, {"number"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"type": "integr"}, KINDS),
        ({"type": []}, KINDS),
        ({}, KINDS),
        (True, KINDS),
        (False, set()),
        ("nonsense", KINDS),
        ({"enum": ["a", 1, None, True, [], {}]}, KINDS),
        ({"type": "string", "enum": ["a", 1]}, {"string"}),
        ({"const": 1.5}, {"number"}),
        ({"anyOf": [{"type": "string"}, {"type": "boolean"}]}, {"string", "boolean"}),
        ({"oneOf": [{"type": "string"}, True]}, KINDS),
        ({"allOf": [{"type": ["string", "number"]}, {"type": ["number", "null"]}]}, {"number"}),
        ({"type": "string", "anyOf": []}, {"string"}),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "number"}}}, {"number"}),
        ({"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"type": "number"}}}, {"number"}),
        ({"$ref": "#/allOf/0", "allOf": [{"type": "number"}]}, {"number"}),
        ({"$ref": "#/$defs/gone"}, KINDS),
        ({"$ref": "https://example.com/schema.json"}, KINDS),
        ({"$ref": "#anchor"}, KINDS),
        ({"$ref": 5}, KINDS),
        ({"$ref": "#"}, KINDS),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, KINDS),
    ],
)
def test_the_kinds_that_a_schema_lets_a_value_be(schema: object, kinds: set[str]) -> None:
    """Issue 5, 5: type lists, enum, const, `$ref`, allOf, anyOf, oneOf; what is not understood rules nothing out."""
    assert shape_of(schema, schema).kinds == kinds


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"enum": ["a", "b"]}, {"a", "b"}),
        ({"const": "a"}, {"a"}),
        ({"anyOf": [{"const": "a"}, {"const": "b"}, {"type": "null"}]}, {"a", "b"}),
        ({"anyOf": [{"const": "a"}, {"type": "string"}]}, None),
        ({"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, {"b"}),
        ({"type": "string"}, None),
        ({"enum": "ab"}, None),
    ],
)
def test_the_texts_that_a_schema_lets_a_value_hold(schema: object, values: set[str] | None) -> None:
    """Issue 5, 5: comparing with a text that the enum never holds."""
    assert shape_of(schema, schema).values == values


OBJECT: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "there"),
    [
        (OBJECT, False),
        ({**OBJECT, "additionalProperties": False}, False),
        ({**OBJECT, "additionalProperties": True}, True),
        ({**OBJECT, "additionalProperties": {"type": "string"}}, True),
        ({**OBJECT, "patternProperties": {"^x": {}}}, True),
        ({**OBJECT, "if": {}, "then": {"properties": {"x": {}}}}, True),
        ({**OBJECT, "dependentSchemas": {"a": {"properties": {"x": {}}}}}, True),
        ({**OBJECT, "$ref": "https://example.com/more"}, True),
        ({"type": "object"}, True),
        ({"type": "object", "additionalProperties": False}, False),
        ({"type": "object", "properties": {}}, False),
        ({"type": "object", "properties": 5}, True),
        ({}, True),
        (True, True),
        ({"type": "string"}, False),
        ({"allOf": [OBJECT, {"properties": {"x": {}}}]}, True),
        ({"allOf": [OBJECT, {"required": ["a"]}]}, False),
        ({"anyOf": [OBJECT, {"properties": {"x": {}}}]}, True),
        ({"anyOf": [OBJECT, {"type": "null"}]}, False),
        ({"anyOf": [OBJECT, {"type": "object"}]}, True),
        ({**OBJECT, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, False),
    ],
)
def test_an_argument_is_missing_only_where_the_schema_is_sure(schema: object, there: bool) -> None:  # noqa: FBT001  # a table
    """Issue 5, 5: additionalProperties, patternProperties and missing properties are unknown, not absent."""
    assert (_at(schema, "x") is not None) is there


def test_members_are_found_at_any_depth() -> None:
    """Issue 5, 5: nested paths, through references and joined schemas."""
    schema = {
        "type": "object",
        "properties": {"node": {"$ref": "#/$defs/node"}},
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/node"}, "name": {"type": "string"}},
                "allOf": [{"properties": {"size": {"type": "integer"}}}],
            }
        },
    }
    name = _at(schema, "node", "next", "next", "next", "name")
    assert name is not None
    assert name.kinds == {"string"}
    size = _at(schema, "node", "next", "size")
    assert size is not None
    assert size.kinds == {"number"}
    assert _at(schema, "node", "next", "nme") is None
    assert _at(schema, "node", "name", "x") is None


def test_a_member_that_choices_give_different_types_may_be_of_each() -> None:
    """Issue 5, 5: anyOf and oneOf."""
    either = {"oneOf": [{"properties": {"id": {"type": "string"}}}, {"properties": {"id": {"type": "number"}}}]}
    found = _at(either, "id")
    assert found is not None
    assert found.kinds == {"string", "number"}


def test_a_schema_that_means_more_than_it_says_ends_as_unknown() -> None:
    """Issue 5, 5; threats: references that double at each level, and long chains of them."""
    levels = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(60)}
    doubling = {"$ref": "#/$defs/l0", "$defs": levels | {"l60": {"type": "string"}}}
    assert shape_of(doubling, doubling).open
    links = {f"l{n}": {"$ref": f"#/$defs/l{n + 1}"} for n in range(5_000)}
    chain = {"$ref": "#/$defs/l0", "$defs": links}
    assert shape_of(chain, chain).kinds == KINDS


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "#", "#/$defs/d"]))
_WORDS = st.sampled_from(
    [
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "items",
        "allOf",
        "anyOf",
        "oneOf",
        "$ref",
        "$defs",
        "d",
        "a",
        "additionalProperties",
        "string",
        "object",
    ]
)
_SCHEMAS = st.recursive(
    _SCALARS | st.sampled_from(["string", "object", "array"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(_SCHEMAS, st.lists(_WORDS, max_size=3))
def test_no_schema_breaks_the_reader(schema: object, path: list[str]) -> None:
    """Issue 5, 5; L60: whatever stands in a schema, an answer comes back."""
    shape = shape_at(json.loads(json.dumps(schema)), path)
    assert shape is None or shape.kinds <= KINDS


_KINDS = st.sampled_from(sorted(KINDS | {"integer"}))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b", "c"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)
_NAMES = st.sampled_from("abc")


def _sound_schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return schemas made of others; every object they describe says whether it has other members."""
    closed = st.fixed_dictionaries(
        {"properties": st.dictionaries(_NAMES, inner, max_size=2), "additionalProperties": inner | st.booleans()},
        optional={"type": st.just("object"), "required": st.lists(_NAMES, max_size=2, unique=True)},
    )
    several = st.lists(inner, min_size=1, max_size=3)
    return (
        closed
        | st.fixed_dictionaries({}, optional={"allOf": several, "anyOf": several, "oneOf": several, "type": _KINDS})
        | st.fixed_dictionaries({"items": inner}, optional={"prefixItems": several})
        | st.fixed_dictionaries({"if": inner, "then": inner}, optional={"else": inner})
        | st.fixed_dictionaries({"not": inner})
    )


_PLAIN = (
    st.booleans()
    | st.fixed_dictionaries({"type": _KINDS | st.lists(_KINDS, min_size=1, unique=True)})
    | st.fixed_dictionaries({"enum": st.lists(_VALUES, min_size=1, max_size=3)})
    | st.fixed_dictionaries({"const": _VALUES})
)
_DEFINITION = st.recursive(_PLAIN, _sound_schemas, max_leaves=4)
_REFERENCE = st.fixed_dictionaries({"$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"])})
_SOUND = st.fixed_dictionaries(
    {
        "allOf": st.lists(st.recursive(_PLAIN | _REFERENCE, _sound_schemas, max_leaves=8), max_size=2),
        "$defs": st.fixed_dictionaries({"a": _DEFINITION, "b": _DEFINITION}),
    }
)


@given(_SOUND, _VALUES)
def test_what_a_schema_accepts_is_never_ruled_out(schema: dict[str, Any], value: object) -> None:
    """Issue 5, 5: no false alarm — held against a full validator of JSON Schema, on every member of a valid value."""
    jsonschema = pytest.importorskip("jsonschema", reason="the MCP SDK brings it")
    if jsonschema.Draft202012Validator(schema).is_valid(value):
        _assert_not_ruled_out(schema, value, [])


def _assert_not_ruled_out(schema: object, value: object, path: list[str]) -> None:
    shape = shape_at(schema, path)
    assert shape is not None
    assert _kind(value) in shape.kinds
    assert not isinstance(value, str) or shape.values is None or value in shape.values
    if isinstance(value, dict):
        assert shape.required <= set(value)
        for name, member in value.items():
            _assert_not_ruled_out(schema, member, [*path, name])
