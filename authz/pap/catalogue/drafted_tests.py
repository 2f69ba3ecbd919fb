"""The tests of a drafted policy: what each group of tools takes, and that it takes no less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang.formatter import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from authz.pap.catalogue.drafting import Group, Names


def tests_of(groups: Sequence[Group], names: Names) -> str:
    """Return a test for what each group takes, and for each thing that it does not get by without."""
    first = {one.name: one.tools[0].name for one in groups}
    tools = {tool.name for one in groups for tool in one.tools}
    read, write, operator = map(quote, names)
    lines = ["# What each group of tools takes, and that it takes no less.", ""]
    if "reading" in first:
        lines.append(f'fixture reader = subject "reader" scopes {read}')
    if "writing" in first or "destructive" in first:
        lines.append(f'fixture writer = subject "writer" scopes {write}')
    if "destructive" in first:
        lines.append(f'fixture operator = subject "operator" scopes {write} roles {operator}')
    lines.append("")
    for kind, tool in first.items():
        lines += [_test(*case, tool) for case in _cases(kind, names, has_reading="reading" in first)]
    unknown = "not_in_the_catalogue"
    while unknown in tools:
        unknown += "_"
    lines.append(_test("a tool that no rule names is denied", 'subject "reader"', "deny UNKNOWN_TOOL", unknown))
    return "\n".join(lines)


def _test(name: str, caller: str, expected: str, tool: str) -> str:
    return f"test {quote(name)} {{ as {caller} call {quote(tool)} expect {expected} }}"


def _cases(kind: str, names: Names, *, has_reading: bool) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each test of a group, who calls, and what is expected."""
    read, write, operator = map(quote, names)
    match kind:
        case "reading":
            yield "reading is allowed with its scope", "reader", 'allow by "tools:read"'
            yield "reading takes its scope", 'subject "stranger"', f"deny INSUFFICIENT_SCOPE missing {read}"
            yield "reading takes a login", f"anonymous with scopes {read}", "deny NO_ALLOW"
        case "writing":
            yield "writing is allowed with its scope", "writer", 'allow by "tools:write"'
            yield "writing takes its scope", 'subject "stranger"', f"deny INSUFFICIENT_SCOPE missing {write}"
            yield "writing takes a login", f"anonymous with scopes {write}", "deny NO_ALLOW"
            if has_reading:
                yield "the scope for reading does not write", "reader", f"deny INSUFFICIENT_SCOPE missing {write}"
        case _:
            yield "whoever has the role may destroy", "operator", 'allow by "tools:destroy"'
            yield "the scope without the role does not destroy", "writer", "deny MISSING_ROLE"
            role_only = f'subject "operator" with roles {operator}'
            yield "the role without the scope does not destroy", role_only, f"deny INSUFFICIENT_SCOPE missing {write}"
            nobody = f"anonymous with scopes {write}, roles {operator}"
            yield "destroying takes a login", nobody, "deny NO_ALLOW"
