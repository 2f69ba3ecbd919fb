"""How arguments of a tool call become the resource that it touches (issue 5, item 5)."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from authz.errors import InvalidRequestError
from authz.model import Resource
from authz.pep.identity import Identity
from authz.pep.mapping import MAX_RULES, Mapping, read_rules

if TYPE_CHECKING:
    from authz.model import Attributes

ALICE = Identity("alice", tenant="acme")

RULES = """
[[tools]]
match = "read_public"

[[tools]]
match = "read_*"
resource = { type = "file", id = "args.path" }

[[tools]]
match = ["move_*", "copy_*"]
resource = { type = "file", id = "args.file.path", tenant = "args.owner.tenant", attributes = { size = "args.size" } }

[[tools]]
match = "list_*"
resource = { type = "folder", id = "args.folder", when_missing = "none" }

[[tools]]
match = "dotted"
resource = { type = "file", id = ["args", "a.b"], tenant = "token" }
"""


def mapping(text: str = RULES) -> Mapping:
    """Return the mapping of a good configuration."""
    problems: list[str] = []
    rules = read_rules(tomllib.loads(text).get("tools", []), problems)
    assert problems == []
    return Mapping(rules)


def problems_of(text: str) -> list[str]:
    """Return what is wrong with a configuration."""
    problems: list[str] = []
    read_rules(tomllib.loads(text).get("tools", []), problems)
    return problems


def refusal(tool: str, arguments: dict[str, Any], by: Mapping | None = None) -> InvalidRequestError:
    """Return why a call cannot be mapped."""
    with pytest.raises(InvalidRequestError) as caught:
        (by or mapping()).resource(tool, arguments, ALICE)
    return caught.value


def test_an_argument_names_the_resource_and_the_caller_its_tenant() -> None:
    """Issue 5, item 5: `resource = { type = "file", id = args.path }`, the tenant from the token."""
    found = mapping().resource("read_text", {"path": "/a/../b"}, ALICE)
    assert found == Resource("file", "/a/../b", "acme")  # as it is: what is normal is for the policy to say


def test_the_first_rule_that_matches_counts() -> None:
    """Issue 5, item 5: rules in order; one without a resource says that nothing is touched."""
    assert mapping().resource("read_public", {"path": "/a"}, ALICE) is None
    assert not mapping().has_resource("read_public")


def test_a_tool_without_a_rule_touches_nothing() -> None:
    """Issue 5, item 5."""
    assert mapping().resource("ping", {"path": "/a"}, ALICE) is None
    assert not mapping().has_resource("ping")
    assert mapping().open_resource("ping") is None


def test_paths_lead_into_objects_and_tenants_and_attributes_may_be_named() -> None:
    """Issue 5, item 5."""
    arguments: Attributes = {"file": {"path": "x"}, "owner": {"tenant": "globex"}, "size": 7}
    assert mapping().resource("move_it", arguments, ALICE) == Resource("file", "x", "globex", {"size": 7})
    assert mapping().resource("dotted", {"a.b": "x"}, ALICE) == Resource("file", "x", "acme")


def test_an_attribute_that_is_missing_is_left_out() -> None:
    """L50: what is missing is unknown, never a value."""
    arguments: Attributes = {"file": {"path": "x"}, "owner": {"tenant": "globex"}}
    assert mapping().resource("copy_it", arguments, ALICE) == Resource("file", "x", "globex")


def test_a_whole_number_names_by_its_digits() -> None:
    """Issue 5, item 5: strings as they are, integers as decimal text."""
    found = mapping().resource("read_row", {"path": -42}, ALICE)
    assert found is not None
    assert found.id == "-42"


@pytest.mark.parametrize(
    "value", [True, 1.5, 5.0, 2**53 + 1, pytest.param(10**5_000, id="endless"), [], ["/a"], {}, {"path": "/a"}, ""]
)
def test_nothing_else_names_a_resource(value: object) -> None:
    """Issue 5, item 5, and S26, R16: anything else is an error that names the argument, never a guess."""
    assert refusal("read_x", {"path": value}).field == "arguments.path"


@pytest.mark.parametrize("arguments", [{}, {"path": None}, {"Path": "/a"}])
def test_a_missing_argument_is_an_error_that_names_it(arguments: dict[str, Any]) -> None:
    """S26: a missing argument is invalid params."""
    error = refusal("read_x", arguments)
    assert str(error) == "arguments.path: is missing: it says what the call touches"


@pytest.mark.parametrize("file", [None, "x", ["x"], 7, {"other": "x"}])
def test_a_path_through_something_else_is_missing(file: object) -> None:
    """S26."""
    assert refusal("move_x", {"file": file, "owner": {"tenant": "a"}}).field == "arguments.file.path"


def test_a_tenant_that_is_named_by_an_argument_must_be_there() -> None:
    """S71: a missing tenant is never the caller's by accident."""
    assert refusal("move_x", {"file": {"path": "x"}}).field == "arguments.owner.tenant"


def test_a_rule_may_say_that_without_the_argument_nothing_is_touched() -> None:
    """Issue 5, item 5: `when_missing`; what is there but no name is still an error."""
    by = mapping()
    assert by.resource("list_x", {}, ALICE) is None
    assert by.resource("list_x", {"folder": "f"}, ALICE) == Resource("folder", "f", "acme")
    assert refusal("list_x", {"folder": 1.5}).field == "arguments.folder"


def test_before_a_call_the_type_is_known_unless_there_may_be_no_resource() -> None:
    """L68: of an unknown resource the type may be given; with none, there may be no resource at all."""
    by = mapping()
    assert by.open_resource("read_x") == Resource("file")
    assert by.has_resource("list_x")
    assert by.open_resource("list_x") is None


def test_a_function_may_map() -> None:
    """Issue 5, item 5: or a function."""

    @Mapping.by
    def by_hand(tool: str, arguments: Attributes, identity: Identity) -> Resource | None:
        return Resource("row", f"{tool}:{arguments['id']}", identity.tenant) if "id" in arguments else None

    assert by_hand.resource("get", {"id": "7"}, ALICE) == Resource("row", "get:7", "acme")
    assert by_hand.resource("get", {}, ALICE) is None
    assert by_hand.has_resource("anything")
    assert by_hand.open_resource("anything") is None


def test_what_a_function_raises_is_not_told() -> None:
    """Issue 5, item 5: exceptions become an error without their text, which may hold arguments."""

    @Mapping.by
    def broken(_tool: str, arguments: Attributes, _identity: Identity) -> Resource | None:
        raise KeyError(arguments["secret"])

    error = refusal("get", {"secret": "planted-secret"}, broken)
    assert error.field == "arguments"
    assert "planted" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_a_function_may_name_the_argument_itself() -> None:
    """S26."""

    @Mapping.by
    def strict(_tool: str, _arguments: Attributes, _identity: Identity) -> Resource | None:
        raise InvalidRequestError("arguments.id", "must begin with `doc-`")

    assert refusal("get", {}, strict).field == "arguments.id"


def test_a_function_that_returns_something_else_refuses() -> None:
    """An error never widens access."""
    assert refusal("get", {}, Mapping.by(lambda *_: "document:7")).field == "arguments"  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[tools]]\nresource = { type = "f", id = "args.p" }', "`match` is missing"),
        ('[[tools]]\nmatch = ""', "`match` must not be empty"),
        ("[[tools]]\nmatch = []\nmatches = 1", "did you mean `match`?"),
        ('[[tools]]\nmatch = ["a", ""]', "`match`: an item must not be empty"),
        ('[[tools]]\nmatch = "a"\nresource = { id = "args.p" }', "`type` is missing"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f" }', "`id` is missing"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f", id = "path" }', "`id` must be an argument"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f", id = "args" }', "`id` must be an argument"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f", id = "args." }', "must be names joined by dots"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f", id = "token" }', "`id` must be an argument"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f", id = "args.p", tenant = "acme" }', "`tenant` must be"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f", id = "args.p", tenent = "token" }', "mean `tenant`?"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f", id = "args.p", when_missing = "allow" }', "`when_missing`"),
        ('[[tools]]\nmatch = "a"\nresource = { type = "f", id = "args.p", attributes = { x = "y" } }', "`x` must be"),
        ('[[tools]]\nmatch = "a"\nresource = "file"', "must be a table"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(text: str, told: str) -> None:
    """Issue 5, item 5: refused at load, naming the table and the setting."""
    problems = problems_of(text)
    assert any(told in problem and problem.startswith("[[tools]] 1") for problem in problems), problems


def test_an_empty_list_of_patterns_is_refused() -> None:
    """Issue 5, item 5: empty patterns match nothing, which nobody means."""
    assert problems_of("[[tools]]\nmatch = []")


def test_there_is_a_bound_of_rules() -> None:
    """Everything from outside is bounded."""
    assert problems_of('[[tools]]\nmatch = "a"\n' * (MAX_RULES + 1)) == [f"[[tools]]: there are more than {MAX_RULES}"]


def test_what_is_kept_of_tools_is_bounded() -> None:
    """Callers choose the names: a flood of them costs no memory, and changes no answer."""
    by = mapping()
    for number in range(25_000):
        assert by.has_resource(f"read_{number}")
        assert not by.has_resource(f"other_{number}")
    assert len(by._known) <= 10_000
    assert by == mapping()
