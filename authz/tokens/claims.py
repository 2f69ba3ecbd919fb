"""Check what a token says of itself: who issued it, for whom, when, about whom, and of what kind it is.

The same function serves a JWT's payload and the answer of an introspection. What a token says of
the caller's rights is read in `rights`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NoReturn

from authz.model import MAX_IDENTIFIER
from authz.tokens.errors import Refusal, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.tokens.issuer import Issuer

MAX_AUDIENCES: Final = 8
TENANT_TEMPLATE: Final = "{tenantid}"
"""Stands in Entra ID's issuer for the tenant that the claim `tid` names."""

_LATEST: Final = 1e11
"""Seconds since 1970: the year 5138. A time beyond it is in milliseconds, or nonsense."""
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_OTHER_KINDS: Final = {
    "nonce": "an ID token",
    "at_hash": "an ID token",
    "c_hash": "an ID token",
    "s_hash": "an ID token",
    "events": "a logout token or another security event",
    "token_introspection": "the answer of an introspection",
}
"""Claims that only other kinds of token hold: OpenID Connect Core 2 and 3.3.2.11, RFC 8417, RFC 9701."""
_ACCESS_KINDS: Final = {"token_use": ("access",), "typ": ("Bearer", "bearer", "at+jwt")}
"""How issuers say in a claim what a token is for: Cognito by `token_use`, Keycloak by `typ`."""


def check(claims: Mapping[str, object], issuer: Issuer, now: float) -> None:
    """Check claims against what is configured; `now` is in seconds since 1970, UTC.

    Raises `TokenError`. A claim that is not required may be missing, but never wrong.
    """
    for name in issuer.required_claims:
        if claims.get(name) is None and (name != "aud" or issuer.audience_claim == "aud"):
            raise refused(Refusal.MISSING_CLAIM, f"`{name}` is missing")
    if "iss" in claims:
        _check_issuer(claims, issuer)
    if issuer.audience_claim in claims:
        _check_audience(claims[issuer.audience_claim], issuer)
    elif issuer.audience_claim in issuer.required_claims or "aud" in issuer.required_claims:
        raise refused(Refusal.MISSING_CLAIM, f"`{issuer.audience_claim}` is missing")
    _check_kind(claims, issuer)
    _check_times(claims, issuer, now)
    for name in ("sub", "jti"):
        if name in claims:
            identifier(claims[name], name)
    if "cnf" in claims:
        raise refused(Refusal.PROOF_REQUIRED, "`cnf` binds it to a key (RFC 7800)")


def identifier(value: object, name: str) -> str:
    """Return a claim's value when it can be an identifier of L60; raise `TokenError` otherwise."""
    if not isinstance(value, str) or not value:
        _invalid(name, "is not text, or empty")
    if len(value) > MAX_IDENTIFIER:
        _invalid(name, f"is longer than {MAX_IDENTIFIER} characters")
    if value.isascii() and value.isprintable():
        return value
    if _CONTROL.search(value) or _SURROGATE.search(value):
        _invalid(name, "holds a control character or half a surrogate pair")
    if not unicodedata.is_normalized("NFC", value):
        _invalid(name, "is not in Unicode normal form NFC")
    return value


def names_issuer(claimed: str, tenant_id: object, issuer: Issuer) -> bool:
    """Say whether `iss`, and with a template `tid`, name this issuer; nothing but equality counts."""
    if TENANT_TEMPLATE not in issuer.issuer:
        return claimed == issuer.issuer
    if not isinstance(tenant_id, str) or not _UUID.fullmatch(tenant_id):
        return False
    return claimed == issuer.issuer.replace(TENANT_TEMPLATE, tenant_id)


def _check_issuer(claims: Mapping[str, object], issuer: Issuer) -> None:
    claimed = claims["iss"]
    if not isinstance(claimed, str):
        _invalid("iss", "is not text")
    if not names_issuer(claimed, claims.get("tid"), issuer):
        raise refused(Refusal.UNKNOWN_ISSUER, "`iss` is not the issuer that is configured")


def _check_audience(named: object, issuer: Issuer) -> None:
    """Demand one of ours, and refuse what stands beside it unless configuration knows it (RFC 8707)."""
    audiences = [named] if isinstance(named, str) else named
    if not isinstance(audiences, list) or not all(isinstance(item, str) and item for item in audiences):
        _invalid(issuer.audience_claim, "is neither text nor a list of texts")
    if len(audiences) > MAX_AUDIENCES:
        _invalid(issuer.audience_claim, f"names more than {MAX_AUDIENCES} audiences")
    if issuer.audiences.isdisjoint(audiences):
        raise refused(Refusal.WRONG_AUDIENCE, f"`{issuer.audience_claim}` names none of the configured audiences")
    if not issuer.extra_audiences and any(
        item not in issuer.audiences and item not in issuer.known_audiences for item in audiences
    ):
        raise refused(Refusal.WRONG_AUDIENCE, f"`{issuer.audience_claim}` names others beside the configured audiences")


def _check_kind(claims: Mapping[str, object], issuer: Issuer) -> None:
    """Refuse ID tokens, logout tokens, answers of introspection, and what is not what is expected."""
    for name, kind in _OTHER_KINDS.items():
        if name in claims:
            raise refused(Refusal.WRONG_TYPE, f"`{name}` makes it {kind}")
    for name, kinds in _ACCESS_KINDS.items():
        if name in claims and name not in issuer.expected_claims and claims[name] not in kinds:
            raise refused(Refusal.WRONG_TYPE, f"`{name}` says that it is no access token")
    for name, text in issuer.expected_claims.items():
        if name not in claims:
            raise refused(Refusal.MISSING_CLAIM, f"`{name}` is missing")
        if claims[name] != text:
            raise refused(Refusal.WRONG_TYPE, f"`{name}` is not what is configured for it")


def _check_times(claims: Mapping[str, object], issuer: Issuer, now: float) -> None:
    expires, issued, begins = (_seconds(claims, name) for name in ("exp", "iat", "nbf"))
    if issued is not None and issued > now + issuer.leeway:
        raise refused(Refusal.ISSUED_IN_FUTURE, f"`iat` is {_ahead(issued, now)} ahead")
    if begins is not None and begins > now + issuer.leeway:
        raise refused(Refusal.NOT_YET_VALID, f"`nbf` is {_ahead(begins, now)} ahead")
    if expires is None:
        return
    if now >= expires + issuer.leeway:
        raise refused(Refusal.EXPIRED, f"`exp` was {_ahead(now, expires)} ago")
    # Without `iat` the rest of the lifetime is all that can be judged.
    if expires - (now if issued is None else issued) > issuer.max_lifetime:
        raise refused(Refusal.LIFETIME_TOO_LONG, f"it is valid for more than {issuer.max_lifetime:g} seconds")
    if expires <= max(issued or 0.0, begins or 0.0):
        _invalid("exp", "is not after `iat` and `nbf`")


def _seconds(claims: Mapping[str, object], name: str) -> float | None:
    """Return a time (NumericDate, RFC 7519, section 2), None where there is none."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _invalid(name, "is not a number")
    if not 0 <= value <= _LATEST:  # which NaN is not either
        _invalid(name, "is no time from 1970 to 5138; is it in milliseconds?")
    return value


def _ahead(later: float, earlier: float) -> str:
    return f"{later - earlier:.0f} seconds"


def _invalid(name: str, problem: str) -> NoReturn:
    raise refused(Refusal.INVALID_CLAIM, f"`{name}` {problem}")
