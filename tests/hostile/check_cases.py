"""Check requests that someone made to do harm: 88 numbered cases, as real bytes to a real server and as JSON.

A hostile request is decided as the data that it is, or refused by the name of a field; it is ALLOW only where a
request without the hostility, its twin, is ALLOW too. After each the server answers the twin, which shows that it
lives and that nothing but the hostility made the difference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from authz.v1 import decision_pb2 as v1
from tests.hostile import support
from tests.hostile.support import (
    ALLOWED,
    GOOD,
    Outcome,
    but,
    calling,
    denied,
    entry,
    number_field,
    refused,
    request_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hostile.support import Form

MIB: Final = 1024 * 1024
INDETERMINATE: Final = denied("INDETERMINATE")
NO_ALLOW: Final = denied("NO_ALLOW")
UNKNOWN_TOOL: Final = denied("UNKNOWN_TOOL")
TENANT_MISMATCH: Final = denied("TENANT_MISMATCH")
TENANT_UNKNOWN: Final = denied("TENANT_UNKNOWN")
INSUFFICIENT_SCOPE: Final = denied("INSUFFICIENT_SCOPE")
NO_APPLICABLE_RULE: Final = denied("NO_APPLICABLE_RULE")

LATER: Final = {
    85: "chains of actors arrive in tokens: until tokens are read, a token is refused",
    86: "an actor's own rights arrive in tokens: until tokens are read, a token is refused",
    87: "an actor's own tenant arrives in a token: until tokens are read, a token is refused",
    88: "which caller an asker may speak for needs its certificate: until then its metadata says nothing",
}
"""What cases ask for beyond this version; until then they show that the server fails closed."""


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile request, through one or both doors."""

    number: int
    name: str
    outcome: Outcome
    form: Form | None = None
    twin: Form = field(default_factory=lambda: GOOD)
    data: bytes | None = None
    """The bytes to send, where other than the form's."""
    text: bytes | None = None
    """The JSON text to read, where other than the form's."""
    printed: Outcome | None = None
    """What comes of the JSON text, where other than of the bytes."""

    def __str__(self) -> str:
        return f"3b-{self.number}-{self.name.replace(' ', '-')}"

    def sent(self) -> bytes | None:
        """Return what goes over the wire, None where protobuf cannot say it."""
        return request_bytes(self.form) if self.data is None and self.form is not None else self.data

    def line(self) -> bytes | None:
        """Return what the command line reads, None where JSON cannot say it."""
        return json.dumps(self.form).encode() if self.text is None and self.form is not None else self.text


# --- Where a text can stand -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """One string of a request: what comes of the good request when it holds some other text."""

    path: str
    as_data: Outcome
    identifier: bool = True
    """Whether L60 bounds it, as it does names, or it may be any text."""

    def hold(self, text: str) -> Form:
        """Return the good request with the text here; `*` in a path stands for a name."""
        parent, _, last = self.path.rpartition(".")
        return but(GOOD, ((*parent.split("."), text), 1)) if last == "*" else but(GOOD, (self.path, text))

    @property
    def shown(self) -> str:
        """Return the path as an error names it."""
        parent, _, last = self.path.rpartition(".")
        if last == "*":
            return f"{parent} (a name)"
        return f"{parent}[{last}]" if last.isdigit() else self.path


IDENTIFIERS: Final = (
    Place("subject", ALLOWED),
    Place("scopes.0", INSUFFICIENT_SCOPE),
    Place("roles.0", NO_ALLOW),
    Place("tenant", TENANT_MISMATCH),
    Place("tool", UNKNOWN_TOOL),
    Place("resource.type", NO_APPLICABLE_RULE),
    Place("resource.tenant", TENANT_MISMATCH),
    Place("resource.attributes.*", ALLOWED),
    Place("arguments.*", ALLOWED),
    Place("context.*", ALLOWED),
    Place("subject_attributes.*", ALLOWED),
    Place("client.id", ALLOWED),
    Place("client.attributes.*", ALLOWED),
    Place("tool_info.server", ALLOWED),
    Place("tool_info.tags.0", ALLOWED),
)
VALUES: Final = tuple(
    Place(path, ALLOWED, identifier=False)
    for path in (
        "resource.id",
        "resource.ancestors.0",
        "resource.attributes.title",
        "arguments.title",
        "context.title",
        "subject_attributes.title",
        "client.attributes.title",
    )
)
PLACES: Final = IDENTIFIERS + VALUES
AUTHORITY: Final = tuple(place for place in IDENTIFIERS if place.as_data != ALLOWED)
"""The places whose text decides."""


def everywhere(number: int, name: str, text: str, *, identifiers: bool = True) -> Iterator[Case]:
    """Put a text into every string; `identifiers` says whether it may be one."""
    for place in PLACES:
        outcome = place.as_data if identifiers or not place.identifier else refused(place.shown)
        yield Case(number, f"{name} in {place.shown}", outcome, place.hold(text))


def instead(number: int, name: str, change: Callable[[str], str]) -> Iterator[Case]:
    """Change a little each text that decides: what is only alike must count as another."""
    for place in AUTHORITY:
        at: Any = GOOD
        for part in place.path.split("."):
            at = at[int(part) if part.isdigit() else part]
        assert change(at) != at
        yield Case(number, f"{name} in {place.shown}", place.as_data, place.hold(change(at)))


def changed(number: int, name: str, outcome: Outcome, *changes: tuple[str, object]) -> Case:
    """Change the good request."""
    return Case(number, name, outcome, but(GOOD, *changes))


def argument(number: int, name: str, tool: str, value: object, outcome: Outcome, good: object) -> Case:
    """Give a tool a hostile argument; its twin has a good one."""
    return Case(number, name, outcome, calling(tool, value), calling(tool, good))


# --- The cases ------------------------------------------------------------------------------


def empty() -> Iterator[Case]:
    """1 to 12: what is missing, empty or said twice."""
    yield Case(1, "empty message", refused("tool"), {})
    yield changed(2, "subject unset", refused("subject"), ("subject", ...))
    yield changed(3, "subject empty", refused("subject"), ("subject", ""))
    yield changed(4, "tool empty", refused("tool"), ("tool", ""))
    yield changed(4, "tool unset", refused("tool"), ("tool", ...))
    yield changed(5, "tenant empty", TENANT_UNKNOWN, ("tenant", ""))
    yield changed(5, "tenant unset", TENANT_UNKNOWN, ("tenant", ...))
    export = calling("export_all")
    for name, tenant in (("empty", ""), ("unset", ...)):
        yield Case(5, f"tenant {name} meets no tenant block", UNKNOWN_TOOL, but(export, ("tenant", tenant)), export)
    yield changed(6, "resource unset", NO_APPLICABLE_RULE, ("resource", ...))
    yield changed(6, "resource without type", NO_APPLICABLE_RULE, ("resource.type", ...))
    yield changed(7, "no scopes and no roles", NO_ALLOW, ("scopes", []), ("roles", []))
    yield changed(7, "no scopes", INSUFFICIENT_SCOPE, ("scopes", ...))
    yield changed(7, "no roles", NO_ALLOW, ("roles", ...))
    yield changed(7, "anonymous", NO_ALLOW, ("subject", ...), ("anonymous", True))
    yield changed(7, "anonymous and somebody", refused("anonymous"), ("anonymous", True))
    yield changed(8, "tenant of the resource unset", TENANT_UNKNOWN, ("resource.tenant", ...))
    yield changed(8, "tenant of the resource empty", TENANT_UNKNOWN, ("resource.tenant", ""))
    yield changed(9, "context absent where a deny reads it", INDETERMINATE, ("context", ...))
    yield changed(9, "context empty where a deny reads it", INDETERMINATE, ("context", {}))
    good = request_bytes(GOOD)
    for part in (0, 77, 2**31, 2**63):
        yield Case(10, f"part {part} unknown", refused("unknown[0]"), data=good + number_field(12, part))
    yield Case(10, "part given and unknown", refused("arguments"), data=good + number_field(12, 1))
    yield Case(10, "parts packed", refused("unknown[0]"), data=good + support.field(12, b"\x4d\x01"))
    yield Case(10, "part of an unknown name", refused("unknown[0]"), text=_json(unknown=["PART_NONSENSE"]))
    padding = support.field(1000, b"\0" * MIB)
    yield Case(11, "unknown field of 1 MiB", ALLOWED, data=good + padding)
    yield Case(
        11,
        "unknown field of 1 MiB in the resource",
        ALLOWED,
        data=request_bytes(_without("resource"))
        + support.field(6, support._message(v1.Resource.DESCRIPTOR, GOOD["resource"]) + padding),
    )
    yield Case(11, "known number of another wire type", ALLOWED, data=good + number_field(1, 5))
    yield Case(
        11,
        "subject of another wire type",
        refused("subject"),
        data=request_bytes(_without("subject")) + number_field(1, 5),
    )
    yield Case(11, "unknown field in JSON", refused("nonsense"), text=_json(nonsense=1))
    yield Case(11, "field of another case in JSON", refused("Subject"), text=_json(Subject="admin"))
    both = support.value_bytes(value=False) + support.value_bytes("no")
    yield Case(
        12,
        "oneof set twice",
        refused("context.blocked.string_value"),
        data=request_bytes(_without("context")) + support.field(8, entry("blocked", both)),
    )
    yield Case(
        12,
        "oneof of a value set twice alike",
        refused("context.blocked.bool_value"),
        data=request_bytes(_without("context"))
        + support.field(8, entry("blocked", support.value_bytes(value=True) + support.value_bytes(value=False))),
    )
    yield Case(12, "subject set twice", refused("subject"), data=good + support.field(1, "admin"))
    yield Case(12, "tenant set twice", refused("tenant"), data=good + support.field(4, "globex"))
    yield Case(12, "resource set twice", refused("resource"), data=good + support.field(6, support.field(3, "globex")))
    yield Case(
        12,
        "hint set twice",
        refused("tool_info.read_only"),
        data=request_bytes(_without("tool_info")) + support.field(11, number_field(3, 1) + number_field(3, 0)),
    )


def _without(name: str) -> Form:
    return but(GOOD, (name, ...))


def _json(**more: object) -> bytes:
    return json.dumps(GOOD | more).encode()


def _twice(name: str, first: object, second: object) -> bytes:
    """Return the good request in JSON with one name given twice."""
    rest = json.dumps(_without(name))[1:]
    return f'{{"{name}": {json.dumps(first)}, "{name}": {json.dumps(second)}, {rest}'.encode()


def injections() -> Iterator[Case]:
    """13 to 30: what is a pattern, a program or a name with a meaning elsewhere."""
    tenants = {13: ["*", "ac*", "**"], 14: ["%", "acm_", "a%", "____"], 24: ["acm?"], 25: [".*", "acme|globex"]}
    for number, texts in tenants.items():
        for text in texts:
            yield changed(number, f"tenant {text}", TENANT_MISMATCH, ("tenant", text))
            yield changed(number, f"tenant {text} of the resource", TENANT_MISMATCH, ("resource.tenant", text))
            export = calling("export_all")
            yield Case(number, f"tenant {text} meets no block", UNKNOWN_TOOL, but(export, ("tenant", text)), export)
    delete = calling("delete_all", ..., ("roles", ["admin"]))
    tools = {
        15: ["*"],
        16: ["delete_*", "*_all", "delete_all*"],
        17: ["{delete_all,read_document}", "delete_{all}"],
        18: ["[d]elete_all", "delete_al[a-z]"],
        19: ["**", "delete_**", "/**"],
        24: ["delete_al?"],
        25: [".*", "delete_.*", "^delete_all$", "delete_all|x", "(?i)DELETE_ALL"],
        26: ["${delete_all}"],
    }
    for number, texts in tools.items():
        for text in texts:
            yield Case(number, f"tool {text}", UNKNOWN_TOOL, but(delete, ("tool", text)), delete)
    yield Case(
        16,
        "tool that is a pattern of the policy is one name among others",
        ALLOWED,
        but(GOOD, ("tool", "r*_document")),
        but(GOOD, ("tool", "rx_document")),
    )
    opening = but(GOOD, ("tool", "open"))
    for text in ("*", "d*", "d?", "**"):
        yield Case(20, f"resource {text}", NO_ALLOW, but(opening, ("resource.id", text)), opening)
        yield changed(20, f"type {text}", NO_APPLICABLE_RULE, ("resource.type", text))
    home = calling("path_like", "/home/alice/x")
    for subject in ("*", "a*", "**"):
        stolen = but(home, ("subject", subject))
        yield Case(20, f"subject {subject} put into a pattern", NO_ALLOW, stolen, home)
    for text in ("*", "view*", "viewer|x", "**"):
        yield changed(21, f"role {text}", NO_ALLOW, ("roles", [text]))
    for text in ("*", "docs", "docs:"):
        yield changed(22, f"scope {text}", INSUFFICIENT_SCOPE, ("scopes", [text]))
    for text in ("docs:*", "docs:re*", "*:read", "docs:**"):
        yield changed(23, f"scope {text}", INSUFFICIENT_SCOPE, ("scopes", [text]))
    yield from everywhere(26, "lookup", "${jndi:ldap://127.0.0.1/a}")
    yield from everywhere(26, "template", "{{7*7}}{subject.id}#{7*7}<%= 7 %>")
    yield from everywhere(27, "SQL quote", "' OR '1'='1' --")
    yield changed(
        27,
        "SQL quote in every field",
        UNKNOWN_TOOL,
        *((place.path, "x'; DROP TABLE d; --") for place in PLACES if "*" not in place.path),
    )
    for name in ("__class__", "__proto__", "__dict__", "__init__", "constructor"):
        for part in ("resource.attributes", "arguments", "context", "subject_attributes", "client.attributes"):
            yield changed(28, f"{name} in {part}", ALLOWED, (f"{part}.{name}", {"x": 1}))
    python = but(calling("python"), ("arguments", {"__class__": "x", "__dict__": {"keys": "y"}}))
    yield Case(28, "attributes of Python where data has none", INDETERMINATE, calling("python"), python)
    guarded = but(calling("guarded"), ("arguments", {"__proto__": "y"}))
    for name, arguments in (("missing", {}), ("an object", {"__proto__": {}}), ("own", {"__proto__": "x"})):
        reason = denied("EXPLICIT_DENY") if name == "own" else INDETERMINATE
        yield Case(28, f"__proto__ is {name}", reason, but(guarded, ("arguments", arguments)), guarded)
    yield from everywhere(29, "rule", 'x" { } tool "delete_all" { allow public } #')
    yield from everywhere(29, "rule on a new line", 'x"\n}\ntool "delete_all" { allow public }', identifiers=False)
    yield from everywhere(29, "expression", 'x" or true or "" == "')
    yield from everywhere(30, "format string", "%s%n%x{0}{0.__class__}{subject!r}%(subject)s")


def unicode() -> Iterator[Case]:
    """31 to 46: texts that look alike, fold alike, or are no text."""
    cyrillic = str.maketrans("aeoc", "\u0430\u0435\u043e\u0441")
    yield from instead(31, "Cyrillic letters", lambda text: text.translate(cyrillic))
    yield from instead(32, "full width", _wide)
    yield from everywhere(33, "decomposed letter", "cafe\u0301", identifiers=False)
    yield from everywhere(33, "composed letter", "caf\u00e9")
    yield argument(33, "decomposed value", "accented", "cafe\u0301", NO_ALLOW, "caf\u00e9")
    yield from instead(34, "circled letters", _circled)
    yield from everywhere(34, "ligature", "\ufb01le \u2460")
    for name, text in (
        ("dotted I", "\u0130STANBUL STRASSE"),
        ("sharp s", "istanbul stra\u00dfe"),
        ("dotless i", "\u0131stanbul strasse"),
    ):
        yield argument(35, name, "lowered", text, NO_ALLOW, "ISTANBUL STRASSE")
    yield from instead(35, "long s or dotless i", lambda text: text.replace("a", "\u0251").replace("e", "\u0259"))
    yield from everywhere(35, "Kelvin sign", "\u212a", identifiers=False)
    for number, name, mark in (
        (36, "zero width joiner", "\u200d"),
        (36, "zero width space", "\u200b"),
        (36, "soft hyphen", "\u00ad"),
        (37, "right-to-left override", "\u202e"),
        (37, "isolate", "\u2066"),
        (38, "byte order mark", "\ufeff"),
        (45, "space", " "),
    ):
        yield from instead(number, f"{name} before", _before(mark))
        yield from instead(number, f"{name} after", _after(mark))
    yield from everywhere(37, "override", "\u202etxt.exe\u2069")
    yield Case(38, "byte order mark before the JSON text", refused("request"), text=b"\xef\xbb\xbf" + _json())
    yield from everywhere(39, "NUL", "x\0y", identifiers=False)
    yield from instead_refused(39, "NUL after", "\0")
    for place in PLACES:
        for name, text in (("lone surrogate", "\ud800"), ("surrogates in the wrong order", "\udc00\ud800")):
            shown = refused(place.shown)
            yield Case(40, f"{name} in {place.shown}", refused("request"), place.hold(text), printed=shown)
    for name, data in (
        ("overlong slash", b"\xc0\xaf"),
        ("overlong NUL", b"\xc0\x80"),
        ("encoded surrogate", b"\xed\xa0\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
        ("Latin-1", b"caf\xe9"),
        ("cut off", b"\xe2\x82"),
        ("UTF-16", b"\xff\xfea\0"),
    ):
        for path in ("subject", "tenant", "tool", "roles.0", "resource.id", "arguments.title"):
            line = json.dumps(but(GOOD, (path, "MARK"))).encode().replace(b"MARK", data)
            sent = request_bytes(but(GOOD, (path, data)))
            yield Case(40, f"{name} in {path}", refused("request"), data=sent, text=line)
    for name, character in (
        ("newline", "\n"),
        ("CR LF", "\r\n"),
        ("tab", "\t"),
        ("ESC", "\x1b[31m"),
        ("DEL", "\x7f"),
        ("C1", "\x85"),
    ):
        yield from everywhere(41, name, f"x{character}y", identifiers=False)
    bomb = "q" + "\u0301" * 1000
    yield from everywhere(42, "1 000 combining marks", bomb)
    for place in PLACES:
        outcome = refused(place.shown) if place.identifier else ALLOWED
        yield Case(42, f"10 000 combining marks in {place.shown}", outcome, place.hold("q" + "\u0301" * 10_000))
    yield from everywhere(42, "marks in the wrong order", "q" + "\u0301\u0327" * 500, identifiers=False)
    yield from everywhere(43, "emoji", "\U0001f469\u200d\U0001f469\u200d\U0001f467\ufe0f")
    yield from everywhere(43, "last character of Unicode", "\U0010ffff")
    yield from instead(44, "upper case", str.upper)
    yield from instead(44, "capital", str.capitalize)
    for mark in (".", "/", ":", ",", "\u3000", "\\"):
        yield from instead(45, f"{mark} after", _after(mark))
    for name, text in (("no-break space", "x\u00a0docs:read"), ("space", "x docs:read"), ("comma", "docs:read,x")):
        yield changed(46, f"{name} in a scope", INSUFFICIENT_SCOPE, ("scopes", [text]))
        yield changed(46, f"{name} in a role", NO_ALLOW, ("roles", [text.replace("docs:read", "viewer")]))


def _circled(text: str) -> str:
    return "".join(chr(0x24D0 + ord(c) - ord("a")) if c.isalpha() else c for c in text)


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in text)


def _before(mark: str) -> Callable[[str], str]:
    return lambda text: mark + text


def _after(mark: str) -> Callable[[str], str]:
    return lambda text: text + mark


def instead_refused(number: int, name: str, mark: str) -> Iterator[Case]:
    """Put a mark that no identifier may hold behind each text that decides."""
    for case in instead(number, name, _after(mark)):
        place = next(place for place in AUTHORITY if case.name.endswith(f" in {place.shown}"))
        yield Case(number, case.name, refused(place.shown), case.form)


def paths() -> Iterator[Case]:
    """47 to 60: paths that are not what they seem, and ids that hold separators."""
    odd = {
        47: ["/a/../b", "/a/..", "/a/b/../../archive/x", "../a/b"],
        48: ["/a/%2e%2e/b", "/a/%2E./b", "/a%2fb", "/a/%5c"],
        49: ["//a", "//a/b", "/a//b"],
        50: ["/a/./b", "./a/b", "/a/."],
        52: ["\\a\\b", "/a\\..\\b", "/a/b\\"],
        53: ["/a/b/", "/a/"],
        54: ["/a/%00", "/a/b%00.txt", "/a/b\0.txt"],
        55: ["/a/%252e%252e/b", "/a/%25"],
        56: ["file:///a/b", "file://localhost/a/b"],
        57: ["\\\\host\\a", "//host/a/b", "\\\\?\\C:\\a"],
        58: ["/a/b?x=/../../b", "/a/b#/../b"],
    }
    for number, texts in odd.items():
        for text in texts:
            yield argument(number, f"{text!r} passes no allow", "path_in", text, INDETERMINATE, "/a/b")
            there = text.replace("/a", "/archive")
            yield argument(number, f"{there!r} slips past no deny", "path_out", there, INDETERMINATE, "/a/b")
    other = {47: ["/ab"], 51: ["/a;x=1/b", "/;/a/b", "/a;/b"], 56: ["a/b"], 58: ["/a?/b", "/a#/b"]}
    for number, texts in other.items():
        for text in texts:
            yield argument(number, f"{text!r} is another folder", "path_in", text, NO_ALLOW, "/a/b")
    for text in ("/a/b;x=1", "/a/b?x=1", "/a/b#x"):
        yield argument(51 if ";" in text else 58, f"{text!r} is below the folder", "path_in", text, ALLOWED, "/a/b")
    yield argument(59, "path of another tenant", "path_tenant", "/tenants/globex/x", NO_ALLOW, "/tenants/acme/x")
    yield argument(
        59, "up to another tenant", "path_tenant", "/tenants/acme/../globex/x", INDETERMINATE, "/tenants/acme/x"
    )
    good = calling("path_tenant", "/tenants/acme/x")
    for tenant in ("acme/../globex", "..", ".", "", "globex/x", "acme\\"):
        form = but(calling("path_tenant", "/tenants/globex/x"), ("tenant", tenant))
        yield Case(59, f"tenant {tenant!r} put into a path", INDETERMINATE, form, good)
    at_home = calling("path_home", "/home/alice/x")
    for subject in ("..", "../home/bob", ".", "bob/..", "%2e%2e"):
        form = but(calling("path_home", "/home/bob/x"), ("subject", subject))
        yield Case(59, f"subject {subject!r} put into a path", INDETERMINATE, form, at_home)
    yield changed(59, "id with another tenant's name", ALLOWED, ("resource.id", "globex/d1"))
    yield changed(
        59,
        "other tenant with this one's id",
        TENANT_MISMATCH,
        ("resource.tenant", "globex"),
        ("resource.id", "acme/d1"),
    )
    filed = but(GOOD, ("tool", "in_folder"))
    for text in (
        "folder:42:x",
        "folder",
        "x:folder:42",
        "folder|42",
        "folder:42\x1f",
        ":folder:42",
        "folder:42 ",
        "folder: 42",
        "folder:42|folder:42",
        "folder::42",
    ):
        yield Case(60, f"ancestor {text!r}", NO_ALLOW, but(filed, ("resource.ancestors", [text])), filed)
    grouped = calling("in_group")
    for text in ("eng:x", "x|eng", "eng\x1f", "group:group:eng", "group:", "eng,x", ":eng"):
        yield Case(60, f"group {text!r}", NO_ALLOW, but(grouped, ("subject_attributes.groups", [text])), grouped)
    opening = but(GOOD, ("tool", "open"))
    for text in ("document:d1", "acme:d1", "d1:", "d1\x1f", "|d1", "d1\0"):
        yield Case(60, f"id {text!r}", NO_ALLOW, but(opening, ("resource.id", text)), opening)
    # Scopes and roles are two lists: what is said in one is not in the other.
    yield changed(
        60, "role among the scopes", NO_ALLOW, ("scopes", ["docs:read", "viewer", "role:viewer"]), ("roles", [])
    )


def types() -> Iterator[Case]:
    """61 to 74: values of another type, and numbers that are none."""
    value: object
    for value in ("true", "True", 1, 1.0, [True], {"x": True}, None, ...):
        yield argument(61, f"{_word(value)} for true", "flag", value, INDETERMINATE, good=True)
    for value in ("false", 0, None, "", []):
        yield changed(61, f"{_word(value)} for false in a deny", INDETERMINATE, ("context.blocked", value))
    for value in (True, "1", "1.0", [1], None):
        yield argument(62, f"{_word(value)} for 1", "one", value, INDETERMINATE, 1)
        yield argument(62, f"{_word(value)} in a set of numbers", "few", value, INDETERMINATE, 1)
        yield argument(62, f"{_word(value)} against a deny", "not_many", value, INDETERMINATE, 1)
    yield argument(62, "1.0 is the number 1", "one", 1.0, ALLOWED, 1)
    for number, name, value in (
        (63, "NaN", float("nan")),
        (64, "infinity", float("inf")),
        (64, "minus infinity", float("-inf")),
    ):
        for tool in ("one", "not_many"):
            yield Case(
                number,
                f"{name} for {tool}",
                refused("arguments.value"),
                calling(tool, value),
                calling(tool, 1),
                printed=refused("request"),
            )
        deep = [{"x": [value]}]
        yield Case(
            number,
            f"{name} where nobody looks",
            refused("context.deep[0].x[0]"),
            but(GOOD, ("context.deep", deep)),
            printed=refused("request"),
        )
    yield argument(65, "minus zero", "zero", -0.0, ALLOWED, 0)
    yield argument(65, "minus zero is not positive", "positive", -0.0, NO_ALLOW, 1)
    for value in (2.0**53 + 2, -(2.0**53) - 2, 1e300, 1e-9, 0.00001, 2.0**63, 2.0**64):
        for tool in ("positive", "not_many"):
            yield argument(66, f"{value!r} for {tool}", tool, value, INDETERMINATE, 1)
    for digits in ("9007199254740993", "-9007199254740993", "9223372036854775808", "0.10000000000000001", "1e-400"):
        for tool in ("positive", "not_many"):
            # What the nearest double loses is lost before anybody can compare it; only the exact ones count.
            if tool == "positive" and digits == "1e-400":
                outcome = NO_ALLOW
            else:
                outcome = ALLOWED if digits in {"0.10000000000000001", "1e-400"} else INDETERMINATE
            yield Case(66, f"{digits} in JSON for {tool}", outcome, text=_number(tool, digits), twin=calling(tool, 1))
    for digits in ("1e309", "-1e309", "10e308", "1e999999999"):
        yield Case(67, f"{digits} in JSON", refused("arguments.value"), text=_number("not_many", digits))
    yield argument(67, "greatest double", "not_many", 1.7976931348623157e308, INDETERMINATE, 1)
    yield Case(68, "5 000 digits in JSON", refused("arguments.value"), text=_number("not_many", "9" * 5000))
    yield Case(68, "a million digits in JSON", refused("arguments.value"), text=_number("not_many", "9" * 1_000_000))
    yield argument(68, "string of digits", "not_many", "9" * 5000, INDETERMINATE, 1)
    yield argument(69, "null for a number", "not_many", None, INDETERMINATE, 1)
    yield argument(69, "nothing for a number", "not_many", ..., INDETERMINATE, 1)
    yield argument(69, "null within a set", "listed", ["x", None], INDETERMINATE, ["x"])
    yield changed(69, "null for a list of groups", ALLOWED, ("subject_attributes.groups", None))
    for name, kind in (
        ("empty", b""),
        ("of an unknown field", number_field(9, 1)),
        ("of another wire type", number_field(3, 1)),
    ):
        data = request_bytes(_without("context")) + support.field(8, entry("blocked", kind))
        yield Case(70, f"value {name}", refused("context.blocked"), data=data)
    bare = request_bytes(_without("context")) + support.field(8, support.field(1, support.field(1, "blocked")))
    yield Case(70, "entry without value", refused("context.blocked"), data=bare)
    yield argument(71, "string for a list", "listed", "x", INDETERMINATE, ["x"])
    yield argument(71, "longer string for a list", "listed", "axb", INDETERMINATE, ["x"])
    yield argument(71, "object for a list", "listed", {"x": 1}, INDETERMINATE, ["x"])
    yield argument(71, "list for a scalar", "member", ["x"], INDETERMINATE, "x")
    yield argument(71, "object for a scalar", "member", {"x": "x"}, INDETERMINATE, "x")
    blocked, free = (entry("blocked", support.value_bytes(value)) for value in (True, False))
    for name, entries in (("allow last", blocked + free), ("deny last", free + blocked), ("alike", free + free)):
        data = request_bytes(_without("context")) + support.field(8, entries)
        yield Case(72, f"name twice, {name}", refused("context.blocked"), data=data)
    inner = support.field(5, entry("b", support.value_bytes(1)) * 2)
    for path, nested in (
        ("context.a.b", inner),
        ("context.a[1].b", support.field(6, support.field(1, support.value_bytes(1)) + support.field(1, inner))),
    ):
        yield Case(
            72,
            f"name twice at {path}",
            refused(path),
            data=request_bytes(_without("context")) + support.field(8, entry("a", nested)),
        )
    halves = support.field(8, blocked) + support.field(8, free)
    yield Case(72, "context in two parts", refused("context"), data=request_bytes(_without("context")) + halves)
    yield Case(
        72,
        "name twice in JSON",
        refused("context"),
        text=_json().replace(b'"blocked": false', b'"blocked": true, "blocked": false'),
    )
    yield Case(
        72,
        "name twice in JSON, once escaped",
        refused("context"),
        text=_json().replace(b'"blocked": false', b'"blocked": true, "bl\\u006fcked": false'),
    )
    for name, first, second in (("subject", "alice", "bob"), ("tenant", "globex", "acme"), ("roles", ["admin"], [])):
        yield Case(72, f"{name} twice in JSON", refused("request"), text=_twice(name, first, second))
    for value in (["x", 1], ["x", True], ["x", ["x"]], [1, "x"], ["x", {"x": 1}], [{}, []]):
        yield argument(73, f"mixed {json.dumps(value)}", "listed", value, INDETERMINATE, ["x"])
    for text in (
        "2019-01-01T00:00:00",
        "2019-01-01",
        "2019-01-01T00:00:00+25:00",
        "2019-01-01T00:00:00+01",
        "2019-01-01T00:00:00+00:00:30",
        "2019-01-01T00:00:00Z[Europe/Berlin]",
        "2019-01-01T00:00:00 Europe/Berlin",
        "2019-01-01T00:00:00\u221201:00",
        "2019-02-30T00:00:00Z",
        "2019-01-01T24:00:00Z",
        "2019-W01-1T00:00:00Z",
        "\u0662\u0660\u0661\u0669-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "2019-01-01T00:00:00.0000000000Z",
        " 2019-01-01T00:00:00Z",
        "2019-01-01T00:00:00Z\n",
        "2019-01-01T00:00:00Z\0",
        "now",
        "",
    ):
        yield argument(74, f"{text!r} passes no allow", "early", text, INDETERMINATE, "2025-06-01T00:00:00+02:00")
        yield argument(
            74, f"{text!r} slips past no deny", "not_early", text, INDETERMINATE, "2025-06-01T00:00:00+02:00"
        )
    for value in (1546300800, 0, None, ["2019-01-01T00:00:00Z"]):
        yield argument(74, f"{json.dumps(value)} for a time", "not_early", value, INDETERMINATE, "2025-06-01T00:00:00Z")


def _word(value: object) -> str:
    return "nothing" if value is ... else json.dumps(value)


def _number(tool: str, digits: str) -> bytes:
    return json.dumps(calling(tool, "MARK")).replace('"MARK"', digits).encode()


def _nested(levels: int, innermost: object = 1) -> object:
    value = innermost
    for _ in range(levels):
        value = {"a": value}
    return value


def _listed(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def _nested_bytes(levels: int) -> bytes:
    data = support.value_bytes(1)
    for _ in range(levels):
        data = support.field(5, entry("a", data))
    return data


def volume() -> Iterator[Case]:
    """75 to 80: much, deep, long and often."""
    yield changed(75, "32 levels of objects", ALLOWED, ("context.a", _nested(31)))
    yield Case(75, "33 levels of objects", refused("context" + ".a" * 32), but(GOOD, ("context.a", _nested(32))))
    yield changed(75, "32 levels of lists", ALLOWED, ("context.a", _listed(31)))
    yield Case(75, "33 levels of lists", refused("context.a" + "[0]" * 31), but(GOOD, ("context.a", _listed(32))))
    for levels in (50, 51, 63):
        # Protobuf refuses to read what nests so deep; JSON text is read, and refused by its place.
        shown = refused("context" + ".a" * 32) if levels < 60 else refused("request")
        yield Case(75, f"{levels} levels", refused("request"), but(GOOD, ("context.a", _nested(levels))), printed=shown)
    without = request_bytes(_without("context"))
    for levels in (100, 1_000, 10_000):
        data = without + support.field(8, entry("a", _nested_bytes(levels)))
        line = _json(context="MARK").replace(b'"MARK"', b'{"a":' * levels + b"1" + b"}" * levels)
        yield Case(75, f"{levels} levels", refused("request"), data=data, text=line)
    yield Case(75, "100 000 brackets", refused("request"), text=b"[" * 100_000)
    for number, name, good in ((76, "roles", "viewer"), (77, "scopes", "docs:read")):
        many = [f"x{n}" for n in range(100_000)]
        yield changed(number, f"100 000 {name}", refused(name), (name, [good, *many]))
        yield changed(number, f"10 001 {name}", refused(name), (name, [good] * 10_001))
        yield changed(number, f"10 000 {name}", ALLOWED, (name, [*many[:9_999], good]))
        yield changed(78, f"{name} 10 000 times", ALLOWED, (name, [good] * 10_000))
        yield changed(78, f"{name} twice between others", ALLOWED, (name, ["x", good, "y", good, "x"]))
        yield changed(
            number, f"one of the {name} over 1 024 characters", refused(f"{name}[1]"), (name, [good, "x" * 1_025])
        )
        yield changed(number, f"empty text among {name}", ALLOWED, (name, [good, ""]))
    text = "x" * 1_000_000
    for place in PLACES:
        outcome = refused(place.shown) if place.identifier else ALLOWED
        yield Case(79, f"1 MB in {place.shown}", outcome, place.hold(text))
    for place in IDENTIFIERS:
        yield Case(79, f"1 025 characters in {place.shown}", refused(place.shown), place.hold("x" * 1_025))
        yield Case(79, f"1 024 characters in {place.shown}", place.as_data, place.hold("x" * 1_024))
    yield changed(79, "request id of 1 025 characters", refused("request_id"), ("request_id", "x" * 1_025))
    names: dict[str, object] = {f"k{n}": n for n in range(9_999)}
    yield changed(80, "10 000 names in the context", ALLOWED, ("context", {"blocked": False} | names))
    yield changed(
        80, "10 001 names in the context", refused("context"), ("context", {"blocked": False, "x": 1} | names)
    )
    yield changed(
        80, "10 000 names, one of which denies", denied("EXPLICIT_DENY"), ("context", names | {"blocked": True})
    )
    lists = [[0] * 9_000] * 12
    yield Case(80, "100 000 values in one request", refused("context.a[11]"), but(GOOD, ("context.a", lists)))


def identity() -> Iterator[Case]:
    """85 to 88: who acts for whom; see LATER."""
    token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsImFjdCI6e319."
    for number, name, claims in (
        (85, "chain of actors", token + "e" * 100_000),
        (86, "actor without a right", token),
        (87, "actor of another tenant", token),
        (88, "token of another subject", token),
    ):
        yield changed(number, f"{name} in a token", refused("token"), ("token", claims))
        alone: Form = {"tool": "read_document", "resource": GOOD["resource"], "token": claims}
        yield Case(number, f"{name} in a token alone", refused("token"), alone)
    loop = _nested(20, {"sub": "alice"})
    asked = but(GOOD, ("roles", []))
    for name in ("act", "may_act", "roles", "scopes", "tenant", "sub"):
        for part in ("subject_attributes", "context", "client.attributes", "arguments", "resource.attributes"):
            for value in ("admin", ["viewer"], {"sub": "admin", "roles": ["viewer"], "act": loop}):
                number = 85 if isinstance(value, dict) else 86
                form = but(asked, (f"{part}.{name}", value))
                yield Case(number, f"{name} {json.dumps(value)[:20]} in {part}", NO_ALLOW, form)
    yield changed(86, "client named like an administrator", NO_ALLOW, ("client.id", "admin"), ("roles", []))
    yield changed(
        87,
        "attribute that names the tenant",
        TENANT_MISMATCH,
        ("tenant", "globex"),
        ("subject_attributes.tenant", "acme"),
    )
    yield changed(
        87,
        "attribute that names the resource's tenant",
        TENANT_MISMATCH,
        ("resource.tenant", "globex"),
        ("resource.attributes.tenant", "acme"),
    )
    yield Case(
        88,
        "attribute that names the subject",
        denied("NO_ALLOW"),
        but(GOOD, ("tool", "edit"), ("subject", "bob"), ("subject_attributes.id", "alice")),
        but(GOOD, ("tool", "edit")),
    )


GROUPS: Final = (empty, injections, unicode, paths, types, volume, identity)
CASES: Final = tuple(case for group in GROUPS for case in group())
ON_THE_WIRE: Final = tuple(case for case in CASES if case.data is not None or case.form is not None)
IN_JSON: Final = tuple(case for case in CASES if case.text is not None or case.form is not None)
