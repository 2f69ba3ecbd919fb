"""Flags and the JSON form they come to."""

from __future__ import annotations

import click
import pytest

from authz.cli.options import RequestFlags, read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("5.0", 5),
        ("0.5", 0.5),
        ("true", True),
        ("false", False),
        ("null", None),
        ('["a", 1]', ["a", 1]),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ('"5"', "5"),
        ('"true"', "true"),
        ("", ""),
        ("alice", "alice"),
        ("True", "True"),
        ("trueish", "trueish"),
        ("true ", "true "),
        (" 5", " 5"),
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
        ("10.0.0.1", "10.0.0.1"),
        ("15m", "15m"),
        ("-", "-"),
        ("01", "01"),
        ("[not json", "[not json"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ('say "x"', 'say "x"'),
    ],
)
def test_a_value_is_json_where_it_is_json_and_else_text(text: str, value: object) -> None:
    """Brief: numbers, booleans, null, lists and objects; everything else is a string."""
    read = read_value(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "1e999", "[" * 100 + "]" * 100])
def test_json_that_no_request_may_hold_is_refused_and_no_string(text: str) -> None:
    """L60: a name that occurs twice, a number that is not finite, nesting too deep."""
    with pytest.raises(click.UsageError):
        read_value(text)


def test_flags_come_to_the_json_form_of_a_request() -> None:
    """Issue: one shape of a request everywhere."""
    flags = RequestFlags(
        subject="alice",
        scope=("a", "b"),
        role=("r",),
        tenant="acme",
        tool="t",
        resource="document:a:b",
        attr=("n=1",),
        arg=("path=/a=b",),
        context=("mfa=true",),
        subject_attr=("groups=[]",),
        client="c",
    )
    assert flags.to_json() == {
        "subject": "alice",
        "scopes": ["a", "b"],
        "roles": ["r"],
        "tenant": "acme",
        "tool": "t",
        "resource": {"type": "document", "id": "a:b", "tenant": "acme", "attributes": {"n": 1}},
        "arguments": {"path": "/a=b"},
        "context": {"mfa": True},
        "subject_attributes": {"groups": []},
        "client": {"id": "c"},
    }


def test_what_is_not_given_is_left_out() -> None:
    """Issue: an absent resource is not an empty one."""
    assert RequestFlags(anonymous=True, tool="t").to_json() == {"anonymous": True, "tool": "t"}


def test_the_resources_tenant_may_be_another_or_none() -> None:
    """L61, L62: so that a mismatch can be asked about."""
    resource = RequestFlags(tenant="acme", resource="d:1", resource_tenant="globex").to_json()["resource"]
    assert resource == {"type": "d", "id": "1", "attributes": {}, "tenant": "globex"}
    without = RequestFlags(tenant="acme", resource="d:1", resource_tenant="").to_json()["resource"]
    assert without == {"type": "d", "id": "1", "attributes": {}}


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (RequestFlags(resource="d"), "`--resource` must be TYPE:ID, not `d`"),
        (RequestFlags(resource=":1"), "`--resource` must be TYPE:ID, not `:1`"),
        (RequestFlags(attr=("a=1",)), "`--attr` needs `--resource`"),
        (RequestFlags(resource_tenant="t"), "`--resource-tenant` needs `--resource`"),
        (RequestFlags(arg=("a",)), "`--arg` must be NAME=VALUE, not `a`"),
        (RequestFlags(context=("=a",)), "`--context` must be NAME=VALUE, not `=a`"),
        (RequestFlags(arg=("a=1", "a=1")), "`--arg` names `a` twice"),
    ],
)
def test_a_flag_that_cannot_be_read_is_one_clear_line(flags: RequestFlags, problem: str) -> None:
    """Issue, Bad input; L60: a name occurs once."""
    with pytest.raises(click.UsageError) as error:
        flags.to_json()
    assert error.value.message == problem
