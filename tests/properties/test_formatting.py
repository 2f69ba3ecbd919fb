"""The canonical text is the same policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from authz.lang import ast
from authz.lang.formatter import format_policy
from tests.strategies import File, Policy, build, cases, parse_text, policies

if TYPE_CHECKING:
    from random import Random

    from authz.model import Request

SPACES = (" ", "  ", "\n", "\t", "\r\n", "\n\n\n", ' # a comment, "quoted", and { braces\n', "\n    # two\n# lines\n")


def _loosened(text: str, random: Random, *, comments: bool = True) -> str:
    """Exchange some of the spaces and ends of lines, outside strings, for other white space and comments."""
    spaces = SPACES if comments else SPACES[:6]
    parts, quoted, escaped = [], False, False
    for letter in text:
        loose = letter in " \n" and not quoted and random.random() < 0.3
        parts.append(random.choice(spaces) if loose else letter)
        if letter == '"' and not escaped:
            quoted = not quoted
        escaped = quoted and letter == "\\" and not escaped
    return "".join(parts)


def _comments(tree: ast.PolicyFile) -> list[str]:
    return sorted(comment.text.strip() for comment in tree.comments)


@given(policies(depth=4), st.randoms(use_true_random=True))
def test_the_formatted_text_is_the_same_tree_and_formats_to_itself(policy: Policy, random: Random) -> None:
    """L90: parsing it gives the same tree, formatting it again the same text; no comment is lost."""
    for file in policy.files:
        source, tree = parse_text(file.name, _loosened(str(file), random))
        formatted = format_policy(source, tree)
        again, same = parse_text(file.name, formatted)
        told = f"{source.text}\n=== formatted\n{formatted}"
        assert ast.without_spans(same) == ast.without_spans(tree), told
        assert _comments(same) == _comments(tree), told
        assert format_policy(again, same) == formatted, told


@given(policies(depth=3), st.randoms(use_true_random=True))
def test_white_space_means_nothing(policy: Policy, random: Random) -> None:
    """L2, L90: however a policy is laid out, it has one canonical text."""
    for file in policy.files:
        plain = format_policy(*parse_text(file.name, str(file)))
        source, tree = parse_text(file.name, _loosened(str(file), random, comments=False))
        told = f"{source.text}\n=== plain\n{plain}"
        assert ast.without_spans(tree) == ast.without_spans(parse_text(file.name, str(file))[1]), told
        if "\n\n" not in source.text.replace("\r\n", "\n"):  # blank lines between declarations may be kept
            assert format_policy(source, tree).split() == plain.split(), told


@given(cases(labelled=True, count=8))
def test_a_formatted_policy_decides_alike(case: tuple[Policy, list[Request]]) -> None:
    """L90: the same answers; rules named by a line may have moved (L23)."""
    policy, requests = case
    texts = [format_policy(*parse_text(file.name, str(file))) for file in policy.files]
    formatted = Policy(tuple(File(file.name, (text,)) for file, text in zip(policy.files, texts, strict=True)))
    one, other = build(policy), build(formatted)
    for request in requests:
        first, second = one.decide(request), other.decide(request)
        told = f"{policy}\n=== formatted\n{formatted}\n{request}\n{first}\n{second}"
        assert (first.effect, first.reason) == (second.effect, second.reason), told
        assert first.required_scopes == second.required_scopes, told
        assert first.missing_scopes == second.missing_scopes, told
        assert sorted(map(repr, first.obligations)) == sorted(map(repr, second.obligations)), told
