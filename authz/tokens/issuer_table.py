"""One `[[issuer]]` table, over the preset that it names → an issuer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from authz.json_form import shown
from authz.tokens.endpoints import endpoint_problem
from authz.tokens.issuer import DEFAULT_TYPES, Introspection, Issuer
from authz.tokens.issuer_checks import check_issuer
from authz.tokens.presets import PRESETS
from authz.tokens.secret import is_secret_given, read_secret
from authz.tokens.settings import Table

if TYPE_CHECKING:
    from pathlib import Path

    from authz.tokens.presets import Preset

MAX_LEEWAY: Final = 120
MAX_LIFETIME: Final = 31 * 24 * 3_600

_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub")
_ENDPOINT: Final = "introspection"


def read_issuer(values: Mapping[str, object], name: str, folder: Path, problems: list[str]) -> Issuer:
    """Read the table that messages call `name`; where a problem was noted, the issuer must not be used."""
    table = Table(values, name, problems)
    table = _preset(table, values, name, problems)
    issuer = table.text("issuer")
    insecure = table.flag("insecure_loopback")
    introspection = _introspection(table, name, folder, problems, insecure=insecure)
    secret = read_secret(table, "secret", folder)
    has_secret = is_secret_given(table, "secret")
    jwks_uri = table.text("jwks_uri")
    discovery = table.flag("discovery")
    algorithms = frozenset(table.texts("algorithms"))
    audience_claim = table.text("audience_claim", "aud")
    has_keys = bool(jwks_uri or discovery or has_secret)
    found = Issuer(
        issuer=issuer,
        audiences=frozenset(table.texts("audiences")),
        algorithms=algorithms,
        jwks_uri=jwks_uri,
        discovery=discovery,
        secret=secret,
        types=frozenset(kind.lower() for kind in table.texts("types", tuple(DEFAULT_TYPES), empty=True)),
        leeway=table.number("leeway", 60.0, 0, MAX_LEEWAY),
        max_lifetime=table.number("max_lifetime", 24 * 3_600.0, 1, MAX_LIFETIME),
        required_claims=_required(table, audience_claim, opaque_only=not has_keys),
        scope_claims=table.texts("scope_claims", ("scope", "scp")),
        scope_lists=frozenset(table.texts("scope_lists", ("scp", "permissions"))),
        roles_path=table.path("roles"),
        tenant_path=table.path("tenant"),
        tenant_required=table.flag("tenant_required"),
        tenants=frozenset(table.texts("tenants")),
        client_claims=table.texts("client_claims", ("azp", "client_id")),
        client_tenants=_clients(Table(table.table("clients"), f"{name} [clients]", problems)),
        exposed_claims=table.texts("claims"),
        audience_claim=audience_claim,
        known_audiences=frozenset(table.texts("known_audiences")),
        extra_audiences=table.flag("extra_audiences"),
        expected_claims=_expected(Table(table.table("expected_claims"), f"{name} [expected_claims]", problems)),
        introspection=introspection,
        insecure_loopback=insecure,
    )
    any_tenant = table.flag("any_tenant")
    table.finish()
    check_issuer(table, found, has_secret=has_secret, any_tenant=any_tenant)
    return found


# --- Presets --------------------------------------------------------------------------------


def _preset(table: Table, values: Mapping[str, object], name: str, problems: list[str]) -> Table:
    """Put a preset's settings under those of the table."""
    chosen = table.text("preset")
    if not chosen:
        return table
    preset = PRESETS.get(chosen)
    if preset is None:
        near = difflib.get_close_matches(chosen, PRESETS, n=1)
        known = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(f'`{one}`' for one in PRESETS)}"
        table.problem(f"`preset` names `{shown(chosen)}`, which is none: {known}")
        # Problems of settings that the preset would have brought would only hide this one.
        return Table(values, name, [])
    parameters = {key: _parameter(table, key, preset, chosen) for key in preset.parameters}
    merged: dict[str, object] = {key: _filled(value, parameters) for key, value in preset.settings.items()}
    for key, value in values.items():
        below = merged.get(key)
        merged[key] = {**below, **value} if isinstance(below, dict) and isinstance(value, Mapping) else value
    if any(key in values for key in ("jwks_uri", "discovery")):  # where keys come from is one choice, not two
        for key in ("jwks_uri", "discovery"):
            if key not in values:
                merged.pop(key, None)
    found = Table(merged, name, problems)
    found.ignore("preset", *preset.parameters)
    return found


def _parameter(table: Table, key: str, preset: Preset, chosen: str) -> str:
    parameter = preset.parameters[key]
    value = table.text(key, parameter.default)
    if not value:
        table.problem(f'preset `{chosen}` needs `{key}`: `{key} = "{parameter.example}"`')
    elif not parameter.accepts(value):
        table.problem(f"`{key}` must look like `{parameter.example}`, not `{shown(value)}`")
    else:
        return value
    return parameter.example  # what the preset makes of it is then no further problem


def _filled(value: object, parameters: Mapping[str, str]) -> object:
    if isinstance(value, str):
        for key, text in parameters.items():
            value = value.replace(f"{{{key}}}", text)
        return value
    if isinstance(value, tuple):
        return [_filled(item, parameters) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


# --- Parts ----------------------------------------------------------------------------------


def _introspection(
    table: Table, name: str, folder: Path, problems: list[str], *, insecure: bool
) -> Introspection | None:
    if not table.has(_ENDPOINT):
        return None
    below = Table(table.table(_ENDPOINT), f"{name} [introspection]", problems)
    endpoint = below.text("endpoint")
    secret = read_secret(below, "client_secret", folder)
    if not is_secret_given(below, "client_secret"):
        below.problem("has no secret: name a file in `client_secret_file`, or a variable in `client_secret_env`")
    found = Introspection(
        endpoint=endpoint,
        client_id=below.text("client_id"),
        client_secret=_utf8(below, secret),
        positive_ttl=below.number("positive_ttl", 30.0, 1, 300),
        negative_ttl=below.number("negative_ttl", 5.0, 1, 60),
    )
    if not found.client_id:
        below.problem("`client_id` is missing: the issuer answers only clients that it knows")
    if found.negative_ttl > found.positive_ttl:
        below.problem("`negative_ttl` must not be longer than `positive_ttl`")
    if endpoint and (problem := endpoint_problem(endpoint, loopback_http=insecure)):
        below.problem(f"`endpoint` {problem}")
    if not endpoint and not table.flag("discovery"):
        below.problem("`endpoint` is missing: give it, or say `discovery = true` for the issuer")
    below.finish()
    return found


def _utf8(table: Table, secret: bytes) -> str:
    try:
        return secret.decode()
    except UnicodeDecodeError:
        table.problem("`client_secret` is not valid UTF-8")
        return ""


def _required(table: Table, audience_claim: str, *, opaque_only: bool) -> tuple[str, ...]:
    """Read which claims must be there; those without which a check would be silently left out cannot be left out."""
    usual = tuple(audience_claim if claim == "aud" else claim for claim in _REQUIRED)
    found = table.texts("required_claims", usual)
    # Whoever is asked about a token says by answering that it is theirs, and that it has not expired.
    optional = {"iat", "iss", "exp"} if opaque_only else {"iat"}
    kept = [claim for claim in usual if claim not in optional]
    if missing := [claim for claim in kept if claim not in found]:
        table.problem(f"`required_claims` must hold {', '.join(f'`{claim}`' for claim in missing)}")
    return found


def _clients(table: Table) -> Mapping[str, frozenset[str]]:
    return {client: frozenset(table.texts(client)) for client in table.keys()}  # noqa: SIM118  # not a dict


def _expected(table: Table) -> Mapping[str, str]:
    return {claim: table.text(claim) for claim in table.keys()}  # noqa: SIM118  # not a dict
