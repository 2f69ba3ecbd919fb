"""The RSA signature of RFC 7520, section 4.1: what it signs is a sentence and no claims, and the key is given whole."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from authz.tokens.compact import parse
from authz.tokens.errors import Refusal, TokenError
from authz.tokens.keys import read_jwks
from authz.tokens.validation import validate_compact
from tests.tokens.world import claims, header, issuer, sign

if TYPE_CHECKING:
    from authz.tokens.keys import Key

KEY = {
    "kty": "RSA",
    "kid": "bilbo.baggins@hobbiton.example",
    "use": "sig",
    "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRB"
    "SFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCu"
    "EHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
    "e": "AQAB",
}
HEADER = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9"
PAYLOAD = (
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlm"
    "IHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
)
SIGNATURE = (
    "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA7818"
    "5hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_"
    "de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
)
NOW = 1_700_000_000.0


def octets(text: str) -> bytes:
    """Decode as JWS does."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Source:
    """The one key of the example, as an issuer would publish it."""

    async def key(self, kid: str, algorithm: str) -> Key:
        """Return it for its own name."""
        (key,), problems = read_jwks(json.dumps({"keys": [KEY]}).encode(), frozenset({"RS256"}))
        assert (kid, algorithm, problems) == (KEY["kid"], "RS256", ())
        return key


def test_a_sentence_is_no_token() -> None:
    """RFC 7520, section 4.1; a JWT's payload is an object (RFC 7519, section 7.2)."""
    with pytest.raises(TokenError) as refused:
        parse(f"{HEADER}.{PAYLOAD}.{SIGNATURE}")
    assert refused.value.reason is Refusal.MALFORMED


def test_the_key_as_the_example_gives_it_is_ignored_for_its_private_half() -> None:
    """RFC 7520, section 3.4; threats 2.1: a published private key is nobody's any more."""
    keys, problems = read_jwks(json.dumps({"keys": [{**KEY, "d": "AQAB"}]}).encode(), frozenset({"RS256"}))
    assert keys == ()
    assert len(problems) == 1


@pytest.mark.parametrize(("flipped", "reason"), [(False, None), (True, Refusal.BAD_SIGNATURE)])
async def test_the_signature_holds_over_what_it_signs(flipped: bool, reason: Refusal | None) -> None:  # noqa: FBT001  # drawn by name
    """RFC 7520, section 4.1: the very bytes of the example, under claims of ours that it does not cover."""
    signature = bytearray(octets(SIGNATURE))
    signature[7] ^= flipped
    compact = replace(
        parse(sign(header(kid=KEY["kid"]), claims(NOW))),
        signing_input=f"{HEADER}.{PAYLOAD}".encode(),
        signature=bytes(signature),
    )
    if reason is None:
        assert (await validate_compact(compact, issuer(), Source(), NOW))["sub"] == "alice"
        return
    with pytest.raises(TokenError) as refused:
        await validate_compact(compact, issuer(), Source(), NOW)
    assert refused.value.reason is reason
