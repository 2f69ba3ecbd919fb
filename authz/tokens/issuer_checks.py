"""What keeps an issuer that would weaken a check from existing; each function notes the problems of one kind."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Final

from authz.json_form import shown
from authz.tokens.endpoints import endpoint_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.tokens.issuer import Issuer
    from authz.tokens.settings import Table

TEMPLATE: Final = "{tenantid}"
MIN_SECRET: Final = 32
"""Bytes of a shared secret."""

_FAMILIES: Final[Mapping[str, str]] = {
    **{f"{kind}{bits}": "RS/PS" for kind in ("RS", "PS") for bits in (256, 384, 512)},
    **{f"ES{bits}": "ES" for bits in (256, 384, 512)},
    "EdDSA": "EdDSA",
    **{f"HS{bits}": "HS" for bits in (256, 384, 512)},
}
_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""A key as long as the digest (RFC 7518, section 3.2)."""
_GENERIC: Final = frozenset(
    re.findall(
        r"\S+",
        "* all any api apis app application aud audience authz backend client default everyone example global "
        "localhost mcp null none public resource server service services test token undefined user users",
    )
)
"""Audiences that name no server in particular."""


def check_issuer(table: Table, issuer: Issuer, *, has_secret: bool, any_tenant: bool) -> None:
    """Note every problem; `has_secret` says that a shared secret is named, and `any_tenant` that none is excluded."""
    _check_name(table, issuer)
    _check_audiences(table, issuer)
    _check_keys(table, issuer, has_secret=has_secret)
    _check_types(table, issuer)
    _check_tenants(table, issuer, any_tenant=any_tenant)


def _check_name(table: Table, issuer: Issuer) -> None:
    url = issuer.issuer
    if not url:
        table.problem("`issuer` is missing: the text that tokens have as `iss`, byte for byte")
        return
    if issuer.discovery or url.startswith("http:"):
        if problem := endpoint_problem(url.replace(TEMPLATE, "x"), loopback_http=issuer.insecure_loopback):
            table.problem(f"`issuer` {problem}")
        elif "?" in url:
            table.problem("`issuer` must hold no `?` (RFC 8414, section 2)")
    if url.count(TEMPLATE) > 1 or "{" in url.replace(TEMPLATE, "") or "}" in url.replace(TEMPLATE, ""):
        table.problem(f"`issuer` may hold `{TEMPLATE}` once, and no other braces")
    elif TEMPLATE in url and issuer.discovery:
        table.problem(f"`issuer` with `{TEMPLATE}` has no discovery of its own: use `jwks_uri`")
    elif TEMPLATE in url and not re.fullmatch(r"https://[^/{}]+/[^{}]*\{tenantid\}(?:/.*)?", url):
        table.problem(f"`issuer` may hold `{TEMPLATE}` only as a part of an `https` URL's path")


def _check_audiences(table: Table, issuer: Issuer) -> None:
    if not issuer.audiences:
        table.problem(
            '`audiences` is missing: without it, tokens for other servers would do: `audiences = ["https://…"]`'
        )
    for audience in sorted(issuer.audiences):
        if audience.lower() in _GENERIC or len(audience) < 3 or "*" in audience:
            table.problem(
                f"`audiences` holds `{shown(audience)}`, which other servers may have as well: "
                "use this server's own URL or id"
            )
    if both := issuer.audiences & issuer.known_audiences:
        table.problem(f"`audiences` and `known_audiences` both hold `{shown(min(both))}`")
    if not issuer.client_claims:
        table.problem("`client_claims` is empty: name the claim that holds the client, such as `azp`")


def _check_keys(table: Table, issuer: Issuer, *, has_secret: bool) -> None:
    sources = [
        name
        for name, given in (("jwks_uri", issuer.jwks_uri), ("discovery", issuer.discovery), ("secret", has_secret))
        if given
    ]
    families = {_FAMILIES.get(name, "") for name in issuer.algorithms}
    _check_algorithms(table, issuer, families)
    opaque_discovery = sources == ["discovery"] and issuer.introspection is not None and not issuer.algorithms
    if len(sources) > 1 and has_secret:
        table.problem(f"a shared secret and `{sources[0]}` exclude each other: keep the one that the issuer signs with")
    elif len(sources) > 1:
        table.problem("`jwks_uri` and `discovery` exclude each other: keep one")
    elif not sources and issuer.introspection is None:
        table.problem(
            "nothing says where its keys are: give `discovery = true`, `jwks_uri`, `secret_file`, "
            "or `[issuer.introspection]`"
        )
    elif sources and not issuer.algorithms and not opaque_discovery:
        table.problem('`algorithms` is missing: `algorithms = ["RS256"]`')
    elif not sources and issuer.algorithms:
        table.problem("`algorithms` is of no use without keys: remove it, or say where the keys are")
    if "HS" in families and not has_secret and sources:
        table.problem(
            f"HS algorithms beside `{sources[0]}`: a public key would be taken for a secret; use RS, ES or EdDSA"
        )
    if has_secret and families - {"HS", ""}:
        table.problem("a shared secret is for HS algorithms only: give `jwks_uri` or `discovery` for the others")
    if issuer.jwks_uri and (problem := endpoint_problem(issuer.jwks_uri, loopback_http=issuer.insecure_loopback)):
        table.problem(f"`jwks_uri` {problem}")
    _check_secret(table, issuer)


def _check_algorithms(table: Table, issuer: Issuer, families: set[str]) -> None:
    for name in sorted(issuer.algorithms):
        if name.lower() == "none":
            table.problem("`algorithms` holds `none`: anyone could write such tokens")
        elif name not in _FAMILIES:
            near = difflib.get_close_matches(name.upper(), _FAMILIES, n=1)
            known = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(_FAMILIES)}"
            table.problem(f"`algorithms` holds `{shown(name)}`, which is none that is taken: {known}")
    if len(families - {""}) > 1:
        mixed = " and ".join(sorted(families - {""}))
        table.problem(f"`algorithms` mixes {mixed}: keep one family, so that no key can be used as another's")


def _check_secret(table: Table, issuer: Issuer) -> None:
    secret = issuer.secret
    if not secret:
        return
    least = max([MIN_SECRET, *(_SECRET_BYTES.get(name, 0) for name in issuer.algorithms)])
    if len(secret) < least:
        table.problem(
            f"the shared secret has {len(secret)} bytes, and must have {least}: `openssl rand -base64 {least}`"
        )
    elif len(set(secret)) < 8:  # of 32 random bytes, not even hexadecimal digits have so few
        table.problem("the shared secret repeats itself: make one with `openssl rand -base64 48`")
    if secret.lstrip().startswith((b"-----BEGIN", b"ssh-")) or _is_json_object(secret):
        table.problem(
            "the shared secret is a key's text, which others may know: make one with `openssl rand -base64 48`"
        )


def _is_json_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _check_types(table: Table, issuer: Issuer) -> None:
    if not issuer.types:
        table.problem('`types` is empty: `types = ["at+jwt"]`, or `["jwt"]` where the issuer does not tell them apart')
    wrong = {"logout+jwt", "token-introspection+jwt", "dpop+jwt", "jwe", "secevent+jwt", "id+jwt"}
    for kind in sorted(issuer.types):
        if kind.removeprefix("application/") in wrong:
            table.problem(f"`types` holds `{shown(kind)}`, which is no access token")


def _check_tenants(table: Table, issuer: Issuer, *, any_tenant: bool) -> None:
    named = issuer.tenants or any(issuer.client_tenants.values())
    if named and not issuer.tenant_path:
        table.problem('tenants are named, but not where a token has its own: `tenant = "tenant_id"`')
    if issuer.tenant_required and not issuer.tenant_path:
        table.problem('`tenant_required` needs `tenant`, where the tenant is: `tenant = "tenant_id"`')
    if TEMPLATE not in issuer.issuer:
        if any_tenant:
            table.problem(f"`any_tenant` is only for an issuer with `{TEMPLATE}`: remove it")
    elif any_tenant and issuer.tenants:
        table.problem("`tenants` and `any_tenant` exclude each other")
    elif not any_tenant and not issuer.tenants:
        table.problem("takes tokens of every tenant there is: name yours in `tenants`, or say `any_tenant = true`")
