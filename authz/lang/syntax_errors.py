"""What a syntax error says: what was found, and what could have stood there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.lang.diagnostics import near

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.lang.lexer import Token

_MAX_EXPECTED: Final = 6


def unexpected(token: Token, expected: set[str], texts: Mapping[str, str]) -> tuple[str, str]:
    """Return the message and the help for a token in the wrong place; `texts` are the terminals' literal texts."""
    found = "unexpected end of file" if token.type == "$END" else f"unexpected `{token.text[:60]}`"
    if token.type == "NAME" and (suggestion := near(token.text, (name.lower() for name in expected))):
        return found, suggestion
    choices = []
    for shown, names in _KINDS.items():
        if names <= expected:
            choices.append(shown.strip())
            expected = expected - names
    if "an expression" in choices:
        choices, expected = ["an expression"], expected & {"RPAR", "RSQB"}
    choices += sorted(f"`{texts.get(name, name.lower())}`" for name in expected - _OPERATORS - {"$END"})
    if not choices:
        choices = sorted(f"`{texts[name]}`" for name in expected - {"$END"}) or ["the end"]
    if len(choices) > _MAX_EXPECTED:
        choices = [*choices[: _MAX_EXPECTED - 1], "another word that fits here"]
    return found, "expected " + " or ".join([", ".join(choices[:-1]), choices[-1]] if len(choices) > 1 else choices)


_NO_FILES: Final = "a policy is all files of its folder; none names another"
INSTEAD: Final = {
    "=": "to compare, write `==`",
    "|": "to join conditions, write `or`",
    "permit": "write `allow`",
    "grant": "write `allow`",
    "forbid": "write `deny`",
    "import": _NO_FILES,
    "include": _NO_FILES,
}
"""What to write instead of what other languages have."""
_OPERATORS: Final = frozenset(
    {
        "AND",
        "OR",
        "PLUS",
        "MINUS",
        "IN",
        "LIKE",
        "UNDER",
        "MATCHES",
        "HAS",
        "SUBSET",
        "INTERSECTS",
        "NOT",
        "LESSTHAN",
        "MORETHAN",
        "DOT",
        "LSQB",
        "__ANON_0",
        "__ANON_1",
        "__ANON_2",
        "__ANON_3",
        "__ANON_4",
        "__ANON_5",
    }
)
_KINDS: Final = {
    "a name": frozenset({"NAME", "ACROSS", "WITH", "ELSE"}),  # any word will do
    "an expression": frozenset({"NAME", "STRING", "LSQB", "TRUE"}),
    "a declaration such as `tool`": frozenset({"SCOPE", "ROLE", "RESOURCE", "LET", "TOOLS", "TENANT", "TOOL"}),
    "a statement such as `allow`": frozenset({"ALLOW", "DENY", "REQUIRE", "LIMIT", "OBLIGE"}),
    "an operator": frozenset({"AND", "OR"}),
    "a number": frozenset({"NUMBER"}),
    "a duration such as `15m`": frozenset({"DURATION"}),
    "a string in double quotes": frozenset({"STRING"}),
    "a name ": frozenset({"NAME"}),
}
"""What to call the terminals that can follow, the wide kinds first."""
