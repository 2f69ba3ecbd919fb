"""Validate a JWT: one function, from text to claims or a refusal.

PyJWT verifies the signature; its own reading of the token and its own clock are not used, because
what is verified has to be, byte for byte, what was read (`compact`), at a time that the caller names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jwt

from authz.tokens.claims import check
from authz.tokens.compact import Compact, parse
from authz.tokens.errors import Refusal, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.tokens.issuer import Issuer
    from authz.tokens.jwks import KeySource
    from authz.tokens.keys import Key

_ALWAYS: Final = ("exp", "iss", "sub")
"""What a JWT must hold whatever is configured; its audience too."""
_NEVER: Final = frozenset(
    {"logout+jwt", "token-introspection+jwt", "secevent+jwt", "dpop+jwt", "oauth-authz-req+jwt", "jwe"}
)
"""Types that are never access tokens, whatever is configured (RFC 8725, section 3.11)."""
_ALGORITHMS: Final = {
    name: jwt.get_algorithm_by_name(name)
    for name in (
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA"),
        *("HS256", "HS384", "HS512"),
    )
}
"""Made once; `none`, and curves that no issuer needs, are not among them."""


async def validate(token: str, issuer: Issuer, keys: KeySource, now: float) -> Mapping[str, object]:
    """Return the claims of a JWT of this issuer, all checked; `now` is in seconds since 1970, UTC.

    Raises `TokenError`, with UNAVAILABLE when the issuer's keys cannot be had. No other outcome
    exists: neither claims without a signature that holds, nor an error of a library.
    """
    return await validate_compact(parse(token), issuer, keys, now)


async def validate_compact(compact: Compact, issuer: Issuer, keys: KeySource, now: float) -> Mapping[str, object]:
    """Do the same for a token that was taken apart already."""
    algorithm = compact.algorithm
    if algorithm not in issuer.algorithms or algorithm not in _ALGORITHMS:
        raise refused(Refusal.UNSUPPORTED_ALGORITHM, "its `alg` is not one of those configured")
    _check_type(compact.header.get("typ", ""), issuer)
    key = await keys.key(compact.key_id, algorithm)
    _check_signature(compact, key)
    claims = compact.payload
    for name in (*_ALWAYS, issuer.audience_claim):
        if claims.get(name) is None:
            raise refused(Refusal.MISSING_CLAIM, f"`{name}` is missing")
    check(claims, issuer, now)
    return claims


def _check_type(named: object, issuer: Issuer) -> None:
    """Compare media types, in which case does not count (RFC 7515, section 4.1.9)."""
    if not isinstance(named, str):
        raise refused(Refusal.WRONG_TYPE, "its `typ` is not text")
    typ = named.lower()
    if typ not in issuer.types or typ.removeprefix("application/") in _NEVER:
        raise refused(Refusal.WRONG_TYPE, "its `typ` is not one of those configured")


def _check_signature(compact: Compact, key: Key) -> None:
    """Verify with the algorithm that the header names and the key is bound to, never one without the other."""
    if compact.algorithm not in key.algorithms:
        raise refused(Refusal.UNSUPPORTED_ALGORITHM, "its `alg` is not one of those its key is for")
    verifier = _ALGORITHMS[compact.algorithm]
    try:
        material = verifier.prepare_key(key.key)
        weak = verifier.check_key_length(material)
        holds = not weak and verifier.verify(compact.signing_input, material, compact.signature)
    except Exception:  # noqa: BLE001  # whatever a library makes of hostile bytes, the signature does not hold
        holds = False
    if not holds:
        raise refused(Refusal.BAD_SIGNATURE, "its signature does not hold under the key it names")
