"""The indexes find what walking all patterns would find, however many there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.lang.values import glob
from authz.model import Reason, Request, Resource
from authz.pdp.compiler import compile_policy
from authz.pdp.patterns import PatternIndex, Patterns
from tests.reference import reference_decide

PATTERNS = st.text("ab*", max_size=6)
TEXTS = st.text("ab*", max_size=8)


@given(st.lists(PATTERNS, max_size=12), TEXTS)
def test_the_index_finds_the_patterns_that_match_and_no_others(patterns: list[str], text: str) -> None:
    """Issue 6, P2; L20."""
    index = PatternIndex({pattern: [number] for number, pattern in enumerate(patterns)})
    last = {pattern: number for number, pattern in enumerate(patterns)}
    expected = {number for pattern, number in last.items() if glob(pattern.split("*"), text)}
    assert set(index.find(text)) == expected


@given(st.lists(PATTERNS, max_size=20), TEXTS)
def test_many_patterns_match_what_one_of_them_matches(patterns: list[str], text: str) -> None:
    """Issue 6, P2; L20: few are walked and many are filed, to the same end."""
    assert Patterns(patterns).match(text) is any(glob(pattern.split("*"), text) for pattern in patterns)


NAMES = st.sampled_from(["a", "b", "ab", "ba", "aab"])
EFFECTS = st.sampled_from(["allow", "deny"])
NAMED = st.lists(st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "a*b", "*a*", "b*a*b"]), min_size=1, max_size=3)


@st.composite
def _blocks(draw: st.DrawFn) -> str:
    def quoted(names: list[str]) -> str:
        return ", ".join(f'"{name}"' for name in names)

    text = ""
    for number in range(draw(st.integers(1, 8))):
        head = f"tool {quoted(draw(NAMED))}"
        if draw(st.booleans()):
            head += f" except {quoted(draw(NAMED))}"
        if draw(st.booleans()):
            head += f" on {quoted(draw(NAMED))}"
        block = f'{head} {{ {draw(EFFECTS)} "r{number}" anyone }}'
        text += f"tenant {quoted(draw(NAMED))} {{ {block} }}\n" if draw(st.booleans()) else f"{block}\n"
    return text


@given(_blocks(), NAMES, st.none() | NAMES, NAMES)
def test_blocks_apply_whatever_they_are_filed_by(text: str, tool: str, type_: str | None, tenant: str) -> None:
    """Issue 6, P2; L20, L21, L24, L61: by tool, by resource type and by tenant."""
    source = Source("p.authz", text)
    tree, findings = parse_policy(source)
    program = compile_policy(validate([(source, tree)], found=findings))
    resource = None if type_ is None else Resource(type_, "1", tenant)
    request = Request(tool=tool, subject="ann", tenant=tenant, resource=resource)
    expected = reference_decide([(source, tree)], request)
    for _ in range(3):
        actual = program.decide(request)
        assert (actual.effect, actual.reason, actual.rules) == (expected.effect, expected.reason, expected.rules)


def test_a_block_of_many_names_is_found_by_each() -> None:
    """Issue 6, P2: a block is never filed where no request looks."""
    names = [f"t{number}" for number in range(40)]
    quoted = ", ".join(f'"{name}"' for name in names)
    source = Source("p.authz", f"tool {quoted} {{ allow anyone }}\n")
    tree, findings = parse_policy(source)
    program = compile_policy(validate([(source, tree)], found=findings))
    assert {program.decide(Request(tool=name, subject="ann")).reason for name in names} == {Reason.ALLOWED}
