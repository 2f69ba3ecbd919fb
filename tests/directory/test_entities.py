"""How entries are read and written (issue 3, point 3): one clear problem for each that is bad."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.directory.checking import checked
from authz.directory.entities import Entity, EntityError, Key, Kind
from authz.directory.reading import MAX_LINE, read_csv, read_lines, read_tools
from authz.directory.records import Defaults, entity_from_record, record_of

if TYPE_CHECKING:
    from authz.directory.reading import Read

SUBJECT = {"kind": "subject", "id": "alice"}
RESOURCE = {"kind": "resource", "type": "document", "id": "1"}
DEEP: Any = {}
for _ in range(40):
    DEEP = {"a": DEEP}


def lines(*records: object, defaults: Defaults = Defaults()) -> list[Read]:  # noqa: B008  # immutable
    """Read records as JSON lines."""
    data = b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in records)
    return list(read_lines(io.BytesIO(data), defaults))


def problem(record: object) -> str:
    """Return what is wrong with a record; it must be the same in a line that is too long for the short way."""
    line = record if isinstance(record, bytes) else json.dumps(record).encode() + b"\n"
    ((_, entry),) = lines(line)
    assert isinstance(entry, EntityError), entry
    if line.startswith(b"{") and len(line) < MAX_LINE - 2000:
        ((_, padded),) = lines(b"{" + b" " * 2000 + line[1:])
        assert str(padded).partition(" at line")[0] == str(entry).partition(" at line")[0]
    return str(entry)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ([], "must be an object"),
        ("x", "must be an object"),
        ({}, "`kind` must be one of subject, group, role_binding, resource, tool, client"),
        ({"kind": "user", "id": "a"}, "`kind` must be one of subject, group, role_binding, resource, tool, client"),
        (
            {"kind": ["subject"], "id": "a"},
            "`kind` must be one of subject, group, role_binding, resource, tool, client",
        ),
        ({"kind": "subject"}, "subject: `id` is missing"),
        ({"kind": "subject", "id": ""}, "subject: `id` must not be empty"),
        ({"kind": "subject", "id": 5}, "subject: `id` must be a string"),
        ({**SUBJECT, "ownr": 1}, "subject: `ownr` is no member of a subject"),
        ({**SUBJECT, "owner": "x"}, "subject: `owner` is no member of a subject"),
        ({**SUBJECT, "tenant": 5}, "subject: `tenant` must be a string"),
        ({**SUBJECT, "attributes": [1]}, "subject: `attributes` must be an object"),
        ({**SUBJECT, "groups": "eng"}, "subject: `groups` must be a list of strings"),
        ({**SUBJECT, "groups": [""]}, "subject: `groups[0]` must not be empty"),
        ({**SUBJECT, "id": "a\x00b"}, "subject: `id` holds a control character"),
        ({**SUBJECT, "id": "a\x7f"}, "subject: `id` holds a control character"),
        ({**SUBJECT, "id": "a\u0085"}, "subject: `id` holds a control character"),
        ({**SUBJECT, "id": "e\u0301"}, "subject: `id` is not in Unicode normal form NFC"),
        ({**SUBJECT, "id": "\ud800"}, "subject: `id` is not valid Unicode: it holds half of a surrogate pair"),
        ({**SUBJECT, "id": "x" * 1025}, "subject: `id` is longer than 1024 characters"),
        ({**SUBJECT, "tenant": "a\n"}, "subject: `tenant` holds a control character"),
        ({**SUBJECT, "groups": ["a\n"]}, "subject: `groups[0]` holds a control character"),
        ({**SUBJECT, "attributes": {"a\n": 1}}, "subject: `attributes (a name)` holds a control character"),
        ({**SUBJECT, "attributes": {"a": "\udc00"}}, "subject: `attributes.a` is not valid Unicode"),
        ({**SUBJECT, "attributes": DEEP}, "subject: `attributes` nests deeper than 32 levels"),
        ({**SUBJECT, "attributes": {"a": "x" * 65_536}}, "subject: `attributes` holds more than 65536 bytes of JSON"),
        ({**SUBJECT, "attributes": {"a": [0] * 10_001}}, "subject: `attributes.a` holds more than 10000 items"),
        ({**SUBJECT, "groups": ["g"] * 10_001}, "subject: `groups` holds more than 10000 items"),
        ({**RESOURCE, "type": ""}, "resource: `type` must not be empty"),
        ({**RESOURCE, "type": "a:b"}, "resource: `type` must not hold a colon"),
        ({**RESOURCE, "owner": 1}, "resource: `owner` must be a string"),
        ({**RESOURCE, "owner": "a", "attributes": {"owner": "b"}}, "resource: `owner` contradicts `attributes.owner`"),
        ({**RESOURCE, "ancestors": "folder:7"}, "resource: `ancestors` must be a list of strings"),
        ({**RESOURCE, "ancestors": [7]}, "resource: `ancestors` must be a list of strings"),
        ({**RESOURCE, "ancestors": ["7"]}, "resource: `ancestors[0]` must be an entity, such as `folder:7`"),
        ({**RESOURCE, "ancestors": ["folder:7", ":7"]}, "resource: `ancestors[1]` must be an entity, such as"),
        ({"kind": "role_binding", "role": "r"}, "role_binding: `subject` or `group` must be given, and not both"),
        (
            {"kind": "role_binding", "role": "r", "subject": "a", "group": "b"},
            "role_binding: `subject` or `group` must",
        ),
        ({"kind": "role_binding", "subject": "a"}, "role_binding: `role` is missing"),
        ({"kind": "role_binding", "subject": "a\t", "role": "r"}, "role_binding: `subject` holds a control character"),
        ({"kind": "tool", "server": "s"}, "tool: `name` is missing"),
        ({"kind": "tool", "name": "n", "read_only": "yes"}, "tool: `read_only` must be true or false"),
        ({"kind": "tool", "name": "n", "tags": "x"}, "tool: `tags` must be a list of strings"),
        ({"kind": "tool", "name": "n", "input_schema": "x"}, "tool: `input_schema` must be an object"),
        ({"kind": "client", "id": "c", "groups": []}, "client: `groups` is no member of a client"),
        (b'{"kind":"subject","id":"a","id":"b"}\n', "holds the name `id` twice"),
        (b'{"kind":"subject","id":"a","attributes":{"x":1,"x":2}}\n', "`attributes` holds the name `x` twice"),
        (b'{"kind":"subject","id":"a","attributes":{"x":1e999}}\n', "`attributes.x` is not a finite number"),
        (b'{"kind":"subject","id":"a","attributes":{"x":NaN}}\n', "is not valid JSON: it holds `NaN`"),
        (b'{"kind":"subject","id":"a"} {}\n', "is not valid JSON: extra data"),
        (b'{"kind":"subject"\n', "is not valid JSON"),
        (b"\xff\n", "is not valid UTF-8 at byte 1"),
        (b"[" * 100_000 + b"\n", "nests deeper than 64 levels"),
        (b'{"kind":"subject","id":"' + b"x" * MAX_LINE + b'"}\n', f"the line is longer than {MAX_LINE} bytes"),
    ],
)
def test_a_bad_record_is_one_clear_problem_that_names_the_member(record: object, expected: str) -> None:
    """Issue 3, bad input: what is wrong, whichever way the line is read."""
    assert problem(record).startswith(expected)


def test_a_line_that_is_bad_spoils_only_itself_and_lines_keep_their_numbers() -> None:
    """Issue 3, bad input: a bad record names its line."""
    found = lines(SUBJECT, b"\n", b"nonsense\n", b"x" * (2 * MAX_LINE) + b"\n", b"\xef\xbb\xbf\n", RESOURCE)
    assert [(place, isinstance(entry, Entity)) for place, entry in found] == [
        (1, True),
        (3, False),
        (4, False),
        (5, False),
        (6, True),
    ]


def test_a_line_of_exactly_the_limit_is_read_and_an_entry_of_the_limit_too() -> None:
    """Borders: 64 KiB of attributes, not a byte more."""
    overhead = len('{"a":""}')
    for length, good in ((65_536 - overhead, True), (65_537 - overhead, False)):
        ((_, entry),) = lines({**SUBJECT, "attributes": {"a": "x" * length}})
        assert isinstance(entry, Entity) is good
    line = json.dumps(SUBJECT).encode()
    ((_, entry),) = lines(line + b" " * (MAX_LINE - len(line)) + b"\n")
    assert isinstance(entry, Entity)
    ((_, entry),) = lines(b"\xef\xbb\xbf" + line)  # as some editors begin a file
    assert isinstance(entry, Entity)


def test_numbers_mean_what_they_mean_in_requests() -> None:
    """L12: an integral number within 2^53 is an integer, however it is written, and huge ones cost nothing."""
    record = b'{"kind":"subject","id":"a","attributes":{"a":1.0,"b":1e3,"c":1.5,"d":%s}}\n' % (b"9" * 300)
    ((_, entry),) = lines(record)
    assert isinstance(entry, Entity)
    assert entry.attributes == {"a": 1, "b": 1000, "c": 1.5, "d": 1e300}
    assert type(entry.attributes["a"]) is int
    assert type(entry.attributes["d"]) is float


def test_an_entry_without_tenant_or_kind_gets_the_default_and_those_of_others_are_refused() -> None:
    """Issue 3: `--tenant` and `--kind`."""
    defaults = Defaults(Kind.SUBJECT, "acme")
    found = lines(
        {"id": "a"},
        {"id": "b", "tenant": "acme"},
        {"id": "c", "tenant": "x"},
        {"id": "d", "tenant": ""},
        defaults=defaults,
    )
    assert [entry.key.tenant if isinstance(entry, Entity) else str(entry) for _, entry in found] == [
        "acme",
        "acme",
        "subject: `tenant` is `x`, and only entries of `acme` are taken",
        "subject: `tenant` is ``, and only entries of `acme` are taken",
    ]


identifiers = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(
    lambda text: __import__("unicodedata").normalize("NFC", text)
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.floats(allow_nan=False, allow_infinity=False).map(
        lambda x: int(x) if x.is_integer() and abs(x) <= 2**53 else x
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(identifiers, inner, max_size=4),
    max_leaves=8,
)
attributes = st.dictionaries(identifiers, values, max_size=5)
tenants = st.just("") | identifiers
types = identifiers.filter(lambda text: ":" not in text)
hints = st.dictionaries(st.sampled_from(["read_only", "destructive", "idempotent", "open_world"]), st.booleans())
entities = st.one_of(
    st.builds(
        lambda kind, id_, tenant, held, within: Entity(Key(kind, "", id_, tenant), held, tuple(within)),
        st.sampled_from([Kind.SUBJECT, Kind.GROUP]),
        identifiers,
        tenants,
        attributes,
        st.lists(identifiers, max_size=4),
    ),
    st.builds(
        lambda type_, id_, tenant, held, within: Entity(Key(Kind.RESOURCE, type_, id_, tenant), held, tuple(within)),
        types,
        identifiers,
        tenants,
        attributes,
        st.lists(st.builds(lambda type_, id_: f"{type_}:{id_}", types, identifiers), max_size=4),
    ),
    st.builds(
        lambda what, who, role, tenant: Entity(Key(Kind.ROLE_BINDING, f"{what}:{who}", role, tenant)),
        st.sampled_from(["subject", "group"]),
        identifiers,
        identifiers,
        tenants,
    ),
    st.builds(
        lambda server, name, tenant, given, tags: Entity(
            Key(Kind.TOOL, server, name, tenant),
            {**given, **({"tags": tags} if tags else {}), "input_schema": {"a": 1}},
        ),
        tenants,
        identifiers,
        tenants,
        hints,
        st.lists(identifiers, max_size=3),
    ),
    st.builds(
        lambda id_, tenant, held: Entity(Key(Kind.CLIENT, "", id_, tenant), held), identifiers, tenants, attributes
    ),
)


@given(entities)
def test_a_record_of_an_entry_reads_as_that_entry(entity: Entity) -> None:
    """Issue 3: an export imports as what it was."""
    assert checked(entity) is entity
    record = record_of(entity)
    assert entity_from_record(record) == entity
    for ensure_ascii in (True, False):
        ((_, read),) = lines(json.dumps(record, ensure_ascii=ensure_ascii).encode() + b"\n")
        assert read == entity


@given(
    st.lists(values | st.dictionaries(st.sampled_from(["kind", "id", "groups", "tenant", "type"]), values), max_size=3)
)
def test_whatever_a_line_holds_it_is_an_entry_or_a_problem(records: list[object]) -> None:
    """Nothing that JSON can say makes the reader fail."""
    for _, entry in lines(*records, defaults=Defaults(Kind.SUBJECT)):
        if isinstance(entry, Entity):
            checked(entry)


@given(st.binary(max_size=200))
def test_whatever_a_file_holds_it_is_entries_or_problems(data: bytes) -> None:
    """As above, for bytes of any kind, in every format."""
    for read in (read_lines, read_csv):
        for place, _ in read(io.BytesIO(data), Defaults()):
            assert place >= 1
    list(read_tools(io.BytesIO(data), "s"))


# --- CSV ------------------------------------------------------------------------------------


def table(text: str | bytes, defaults: Defaults = Defaults()) -> list[tuple[int, Any]]:  # noqa: B008  # immutable
    """Read CSV."""
    data = text.encode() if isinstance(text, str) else text
    return list(read_csv(io.BytesIO(data), defaults))


def test_cells_mean_json_where_they_are_json_and_lists_are_separated() -> None:
    """Issue 3: CSV with a header row."""
    found = table(
        "kind,tenant,id,groups,attributes.grade,attributes.name,attributes.code\r\n"
        'subject,acme,alice,eng;staff,3,Alice,"""5"""\r\n'
        'subject,acme,"multi, ""x""","[""a;b""]",true,,\r\n'
    )
    assert found == [
        (
            2,
            Entity(
                Key(Kind.SUBJECT, "", "alice", "acme"), {"grade": 3, "name": "Alice", "code": "5"}, ("eng", "staff")
            ),
        ),
        (3, Entity(Key(Kind.SUBJECT, "", 'multi, "x"', "acme"), {"grade": True}, ("a;b",))),
    ]


def test_a_bad_row_names_the_line_on_which_it_begins() -> None:
    """Issue 3, bad input."""
    found = table('id,attributes.note\na,"two\nlines"\nb\n\n,x\nc,"a"b\nd,ok\n', Defaults(Kind.SUBJECT))
    assert [(place, entry.key.id if isinstance(entry, Entity) else str(entry)) for place, entry in found] == [
        (2, "a"),
        (4, "holds 1 cells where the header holds 2"),
        (6, "subject: `id` is missing"),
        (7, "is not valid CSV: ',' expected after '\"'"),
        (8, "d"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "kind,nonsense\nsubject,a\n",
            "`nonsense` is no column of a directory: an attribute's column is `attributes.nonsense`",
        ),
        ("id;kind\na;subject\n", "`id;kind` is no column of a directory: cells are separated by commas"),
        ("kind,id,id\nsubject,a,b\n", "`id` is a column twice"),
        ("kind,attributes.\nsubject,a\n", "`attributes.` is no column of a directory"),
        ('kind,id,attributes,attributes.a\nsubject,x,"{""a"":1}",2\n', "`attributes` is given twice, in two columns"),
        (b"kind,id\nsubject,\xff\n", "subject: `id` is not valid Unicode: it holds half of a surrogate pair"),
        ("kind,id\nsubject,a\x00b\n", "subject: `id` holds a control character"),
        ('kind,id\nsubject,"' + "x\n" * 70_000, "is not valid CSV: field larger than field limit (131072)"),
        ("kind,id,attributes.a\nsubject,a,1e999\n", "`attributes.a` is not a finite number"),
    ],
)
def test_a_bad_table_is_one_clear_problem(text: str | bytes, expected: str) -> None:
    """Issue 3, bad input."""
    assert str(table(text)[0][1]) == expected


def test_a_record_that_goes_on_and_on_ends_the_reading() -> None:
    """Everything from outside is bounded."""
    endless = "kind,id\nsubject," + ('"' + "x" * 1000 + '\n",') * 1000
    *_, (_, last) = table(endless)
    assert str(last) == f"the record is longer than {MAX_LINE} bytes; nothing below it was read"


# --- tools/list -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: {"tools": t}, lambda t: {"jsonrpc": "2.0", "result": {"tools": t}}]
)
def test_the_answer_of_a_server_to_tools_list_becomes_tools(wrap: Any) -> None:  # noqa: ANN401  # a lambda
    """Issue 3: the tool catalogue is imported from a `tools/list` answer."""
    listed = [
        {
            "name": "read_file",
            "description": "Reads",
            "inputSchema": {"type": "object"},
            "annotations": {"title": "x", "readOnlyHint": True, "openWorldHint": False},
        },
        {"title": "nameless"},
        {"name": "odd", "annotations": {"readOnlyHint": "yes"}},
    ]
    found = list(read_tools(io.BytesIO(json.dumps(wrap(listed)).encode()), "files", "acme"))
    key = Key(Kind.TOOL, "files", "read_file", "acme")
    assert found[0] == (
        1,
        Entity(key, {"read_only": True, "open_world": False, "input_schema": {"type": "object"}}),
    )
    assert [(place, str(entry)) for place, entry in found[1:]] == [
        (2, "tool: `name` is missing"),
        (3, "tool: `read_only` must be true or false"),
    ]


def test_what_is_no_answer_to_tools_list_is_one_problem() -> None:
    """Issue 3, bad input."""
    ((place, entry),) = read_tools(io.BytesIO(b'{"error":{"code":1}}'), "files")
    assert (place, str(entry)) == (0, "is no answer to tools/list: it holds no list of tools")
