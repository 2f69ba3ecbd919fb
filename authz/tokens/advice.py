"""What each refusal means, and what to do about it: for `authz-eval token verify` and docs/tokens.md."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # the type of a constant, which the reader looks at
from typing import Final, NamedTuple

from authz.tokens.errors import Refusal


class Advice(NamedTuple):
    """When a token is refused so, and what to do next."""

    when: str
    do: str


ADVICE: Final[Mapping[Refusal, Advice]] = {
    Refusal.MALFORMED: Advice(
        "The text is neither a JWT in compact form nor a bearer token at all: another alphabet, padding, spaces, "
        "a name twice in its JSON, too much nesting.",
        "Send the token as the issuer gave it, with nothing before or after it.",
    ),
    Refusal.TOO_LARGE: Advice(
        "It is longer than `max_token_bytes`.",
        "Have the issuer put less into it (groups, mostly), or raise `max_token_bytes`.",
    ),
    Refusal.UNSUPPORTED_ALGORITHM: Advice(
        "`alg` is none, or not in the issuer's `algorithms`, or not one that the key is for.",
        "Look at `alg` with `authz-eval token inspect`; if the issuer really signs so, name it in `algorithms`.",
    ),
    Refusal.UNSUPPORTED_HEADER: Advice(
        "The header asks for an extension (`crit`, `b64`, `zip`, `cty`, `enc`) that changes what a token means.",
        "Have the issuer make plain signed tokens.",
    ),
    Refusal.WRONG_TYPE: Advice(
        "It is no access token: an ID token, a refresh or logout token, or its `typ` or an expected claim differs.",
        "Send the access token. Where the issuer's access tokens have another `typ`, name it in `types`.",
    ),
    Refusal.UNKNOWN_ISSUER: Advice(
        "`iss` is none of the configured issuers, byte for byte; or it is opaque, and no issuer has `introspection`.",
        "Compare `iss` with `issuer`: a final `/`, capitals and the host count.",
    ),
    Refusal.UNKNOWN_KEY: Advice(
        "The issuer publishes no usable key of this `kid`.",
        "Look for lines about ignored keys in the log; a key that was just added is found within half a minute.",
    ),
    Refusal.BAD_SIGNATURE: Advice(
        "The signature does not belong to this header and payload under the issuer's key.",
        "The token was altered, or another issuer signed it; for shared secrets, compare them byte for byte.",
    ),
    Refusal.MISSING_CLAIM: Advice(
        "A claim of `required_claims` or `expected_claims` is not there.",
        "Have the issuer put it in (an audience mostly needs a setting there).",
    ),
    Refusal.INVALID_CLAIM: Advice(
        "A claim has the wrong form: a list where text is expected, a time that is none, a tenant not in `tenants`.",
        "The operator's log and `authz-eval token verify` name the claim.",
    ),
    Refusal.EXPIRED: Advice(
        "`exp` is past, by more than `leeway`.",
        "Get a new token; if it is new, compare the clocks.",
    ),
    Refusal.NOT_YET_VALID: Advice(
        "`nbf` is ahead, by more than `leeway`.",
        "Compare the clocks of issuer and server.",
    ),
    Refusal.ISSUED_IN_FUTURE: Advice(
        "`iat` is ahead, by more than `leeway`.",
        "Compare the clocks of issuer and server.",
    ),
    Refusal.LIFETIME_TOO_LONG: Advice(
        "From `iat` to `exp` it is longer than `max_lifetime`.",
        "Have the issuer make shorter-lived tokens, or raise `max_lifetime`.",
    ),
    Refusal.WRONG_AUDIENCE: Advice(
        "It names none of `audiences`, or others that are not in `known_audiences`.",
        "Have clients ask for this server (`resource`, RFC 8707, or the issuer's audience setting).",
    ),
    Refusal.PROOF_REQUIRED: Advice(
        "It is bound to a key (`cnf`, DPoP or mutual TLS): whoever holds it must prove it, which is not taken here.",
        "Have the issuer give out plain bearer tokens for this server.",
    ),
    Refusal.ACTOR_CHAIN_TOO_LONG: Advice(
        "More than four actors (`act`) stand between the subject and the caller.",
        "Shorten the chain of token exchanges.",
    ),
    Refusal.TENANT_MISSING: Advice(
        "`tenant_required` is set, or `tenants` are named, and there is nothing at `tenant`.",
        "Have the issuer put the tenant in, or correct where `tenant` says it is.",
    ),
    Refusal.CLIENT_NOT_ALLOWED: Advice(
        "`clients` does not name its client, or not for its tenant.",
        "Add the client to `[issuer.clients]` if it is to call.",
    ),
    Refusal.INACTIVE: Advice(
        "The issuer, asked by introspection, does not say that it is active.",
        "Get a new token: it has expired, was revoked, or is not the issuer's.",
    ),
    Refusal.REVOKED: Advice(
        "It, its subject, its issuer, or everything before some time was revoked.",
        "Get a new token, if its subject may still have one.",
    ),
    Refusal.TOO_MANY_FAILURES: Advice(
        "Its source, or its issuer, has had too many tokens refused within the window of `[failures]`.",
        "Wait. The log says which tokens were refused, and why.",
    ),
    Refusal.UNAVAILABLE: Advice(
        "The issuer's keys, its introspection or the store of revocations cannot be reached: nothing is known.",
        "The operator's log says what was tried; `authz-eval token verify` tries it from where it is run.",
    ),
}
