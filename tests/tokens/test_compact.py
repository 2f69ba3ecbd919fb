"""A token's form: whatever the text, it is taken apart or refused, and there is one text for one token."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tokens.compact import MAX_TOKEN, check_opaque, check_size, looks_like_jose, parse
from authz.tokens.errors import Refusal, TokenError
from tests.tokens.world import KEY_ID, b64, claims, header, octets, sign

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
GOOD = sign(header(), claims(1_800_000_000.0))


def test_a_good_token_comes_apart() -> None:
    """RFC 7515, section 3.1."""
    compact = parse(GOOD)
    assert compact.header == header()
    assert compact.payload == claims(1_800_000_000.0)
    assert (compact.algorithm, compact.key_id) == ("RS256", KEY_ID)
    assert compact.signing_input == GOOD.rpartition(".")[0].encode()
    assert len(compact.signature) == 256
    assert len(compact.digest) == 64


def test_nothing_of_a_token_is_in_its_repr() -> None:
    """S108; threats 5: secrets do not leak through logs of values."""
    shown = repr(parse(GOOD))
    assert "alice" not in shown
    assert GOOD.rpartition(".")[2] not in shown


@given(st.text(max_size=200) | st.text(ALPHABET + ".=+/ \n", max_size=200) | st.binary(max_size=200).map(repr))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    """No exception of a library escapes (issue 4, item 3)."""
    with pytest.raises(TokenError) as caught:
        parse(text)
    assert caught.value.reason in {Refusal.MALFORMED, Refusal.UNSUPPORTED_ALGORITHM}


@given(st.binary(max_size=120), st.binary(max_size=120))
def test_any_bytes_as_header_and_payload_are_refused_in_words(head: bytes, body: bytes) -> None:
    """As above, behind a form that is right."""
    with pytest.raises(TokenError):
        parse(f"{b64(head)}.{b64(body)}.AAAA")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_a_header_parameter_of_any_type_is_read_or_refused(value: object) -> None:
    """Types are checked before values are used (CVE-2026-101918 and its like, threats 2.1)."""
    for name in ("alg", "kid", "typ", "crit", "zip", "x"):
        token = f"{b64(octets({**header(), name: value}))}.{b64(b'{}')}.AAAA"
        try:
            compact = parse(token)
        except TokenError:
            continue
        assert isinstance(compact.algorithm, str)
        assert isinstance(compact.key_id, str)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(ALPHABET))
def test_no_other_text_stands_for_the_same_token(place: int, character: str) -> None:
    """CVE-2026-102269: else a revoked or cached token has a twin (threats 2.1)."""
    other = GOOD[:place] + character + GOOD[place + 1 :]
    try:
        compact = parse(other)
    except TokenError:
        return
    good = parse(GOOD)
    same = (compact.signing_input, compact.signature) == (good.signing_input, good.signature)
    assert same is (other == GOOD)


def test_the_size_is_looked_at_first() -> None:
    """CVE-2025-30204: a token of many dots costs nothing (threats 2.1); the limit is configurable (S97)."""
    with pytest.raises(TokenError) as caught:
        parse("." * (MAX_TOKEN + 1))
    assert caught.value.reason is Refusal.TOO_LARGE
    with pytest.raises(TokenError) as caught:
        parse(GOOD, max_bytes=len(GOOD) - 1)
    assert caught.value.reason is Refusal.TOO_LARGE
    parse(GOOD, max_bytes=len(GOOD))
    check_size("x")


@pytest.mark.parametrize(
    ("text", "jose"),
    [
        (GOOD, True),
        ("a.b.c", True),
        ("a.b.c.d.e", True),
        ("eyJh.x", True),
        ("ewog.x", True),
        ("eyJh", False),
        ("mF_9.B5f-4.1JqM", True),
        ("mF_9-B5f", False),
        ("ya29.a0AfH6", False),
    ],
)
def test_what_could_be_a_jwt_is_never_opaque(text: str, jose: bool) -> None:  # noqa: FBT001  # a column of a table
    """Issue 4: such a token is never sent to introspection."""
    assert looks_like_jose(text) is jose


@pytest.mark.parametrize("text", ["a b", "a\n", "a\0", "é", "a=b", "{}", '"a"', ""])
def test_an_opaque_token_holds_what_the_rfc_allows(text: str) -> None:
    """RFC 6750, section 2.1."""
    with pytest.raises(TokenError):
        check_opaque(text)
    check_opaque("mF_9.B5f-4~1+J/qM==")


def test_escaped_characters_beyond_the_basic_plane_are_read() -> None:
    """A pair of surrogates is a character; only half of one is refused."""
    body = json.dumps({"sub": "😀"}).encode()
    assert b"\\ud83d" in body
    assert parse(f"{b64(octets(header()))}.{b64(body)}.AAAA").payload == {"sub": "😀"}


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", None, 0, ["RS256"]])
def test_no_algorithm_is_no_algorithm_for_any_issuer(algorithm: object) -> None:
    """S33: the alg:none family (threats 2.1), refused before any configuration is looked at."""
    token = f"{b64(octets({**header(), 'alg': algorithm}))}.{b64(b'{}')}.AAAA"
    with pytest.raises(TokenError) as caught:
        parse(token)
    assert caught.value.reason is Refusal.UNSUPPORTED_ALGORITHM


def test_nobody_can_change_a_header_that_others_share() -> None:
    """Headers are read once for all tokens that have the same: what is shared must not be writable."""
    compact = parse(GOOD)
    with pytest.raises(TypeError):
        compact.header["kid"] = "k2"  # type: ignore[index]  # that is the point
    assert parse(GOOD).key_id == KEY_ID
