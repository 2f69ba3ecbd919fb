"""What configuration of issuers is taken, and what is refused (issue 4, item 1; threats 2.1, 2.2; S77)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tokens.config import MAX_FILE, Tokens, load_issuers, read_tokens
from authz.tokens.errors import TokenConfigError
from authz.tokens.issuer_table import read_issuer
from authz.tokens.presets import PRESETS
from authz.tokens.settings_text import INTROSPECTION, ISSUER

if TYPE_CHECKING:
    from collections.abc import Callable

AUDIENCE = "https://mcp.example.com"
COMMON = f"""
[[issuer]]
issuer = "https://id.example.com"
audiences = ["{AUDIENCE}"]
"""
JWKS = f"""{COMMON}
algorithms = ["RS256", "PS256"]
jwks_uri = "https://id.example.com/keys"
"""
SECRET = "correct-horse-battery-staple-0123456789"


def problems(text: str, folder: Path) -> str:
    """Return all that is wrong with a configuration."""
    with pytest.raises(TokenConfigError) as caught:
        read_tokens(text, folder)
    return "\n".join(caught.value.problems)


def secret_file(folder: Path, content: bytes = SECRET.encode(), mode: int = 0o600) -> str:
    """Write a secret and return the file's name."""
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path.name


def test_an_issuer_is_read_with_everything_that_is_said_of_it(tmp_path: Path) -> None:
    """Issue 4, item 1; S83: every setting."""
    text = f"""
max_token_bytes = 8192
networks = ["10.20.0.0/16"]

{JWKS}
types = ["JWT", "at+jwt", ""]
leeway = 0
max_lifetime = 900
required_claims = ["exp", "iat", "iss", "aud", "sub", "jti"]
scope_claims = ["permissions"]
roles = "realm_access.roles"
tenant = ["https://example.com/tenant"]
tenant_required = true
tenants = ["acme"]
client_claims = ["cid"]
claims = ["email"]
known_audiences = ["account"]
[issuer.clients]
web = ["acme"]
[issuer.expected_claims]
ver = "2.0"
[issuer.introspection]
endpoint = "https://id.example.com/introspect"
client_id = "mcp"
client_secret_file = "{secret_file(tmp_path)}"
positive_ttl = 20
negative_ttl = 2

[cache]
entries = 10
[failures]
per_source = 5
per_issuer = 50
window = 30
[redis]
url = "rediss://redis.example.com:6379/1"
prefix = "mcp"
key_file = "secret"
"""
    tokens = read_tokens(text, tmp_path)
    (issuer,) = tokens.issuers
    assert (tokens.max_token_bytes, tokens.networks, tokens.cache.entries) == (8192, ("10.20.0.0/16",), 10)
    assert tokens.failures.per_source == 5
    assert tokens.redis is not None
    assert tokens.redis.prefix == "mcp"
    assert issuer.types == {"jwt", "at+jwt", ""}
    assert (issuer.leeway, issuer.max_lifetime) == (0, 900)
    assert issuer.required_claims[-1] == "jti"
    assert issuer.roles_path == ("realm_access", "roles")
    assert issuer.tenant_path == ("https://example.com/tenant",)
    assert issuer.client_tenants == {"web": {"acme"}}
    assert issuer.expected_claims == {"ver": "2.0"}
    assert issuer.introspection is not None
    assert issuer.introspection.client_secret == SECRET
    assert not tokens.loopback_http


def test_a_shared_secret_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S90; a line break at the end of the file is an editor's, not the secret's."""
    monkeypatch.setenv("TOKENS_SECRET", SECRET)
    name = secret_file(tmp_path, SECRET.encode() + b"\n")
    for setting in (f'secret_file = "{name}"', 'secret_env = "TOKENS_SECRET"'):
        tokens = read_tokens(f'{COMMON}\nalgorithms = ["HS256"]\n{setting}', tmp_path)
        assert tokens.issuers[0].secret == SECRET.encode()


REFUSED = {
    "no issuer": ("", "names no issuer"),
    "an issuer without a name": (JWKS.replace('issuer = "https://id.example.com"', ""), "`issuer` is missing"),
    "no audience": (JWKS.replace(f'audiences = ["{AUDIENCE}"]', ""), "`audiences` is missing"),
    "an empty list of audiences": (JWKS.replace(f'"{AUDIENCE}"', ""), "`audiences` is missing"),
    "an empty audience": (JWKS.replace(AUDIENCE, ""), "must not be empty"),
    "the audience api": (JWKS.replace(AUDIENCE, "API"), "which other servers may have as well"),
    "the audience *": (JWKS.replace(AUDIENCE, "*"), "which other servers may have as well"),
    "an audience with a wildcard": (JWKS.replace(AUDIENCE, "https://*.example.com"), "which other servers"),
    "an audience that is text": (JWKS.replace(f'["{AUDIENCE}"]', f'"{AUDIENCE}"'), "must be a list"),
    "an audience twice": (JWKS.replace(f'["{AUDIENCE}"]', f'["{AUDIENCE}", "{AUDIENCE}"]'), "twice"),
    "no algorithms": (JWKS.replace('algorithms = ["RS256", "PS256"]', ""), "`algorithms` is missing"),
    "mixed families": (JWKS.replace("PS256", "ES256"), "mixes ES and RS/PS"),
    "HS beside a JWKS": (JWKS.replace('"RS256", "PS256"', '"HS256"'), "HS algorithms beside `jwks_uri`"),
    "HS beside discovery": (COMMON + 'algorithms = ["HS256"]\ndiscovery = true', "HS algorithms beside `discovery`"),
    "the algorithm none": (JWKS.replace("PS256", "none"), "holds `none`"),
    "the algorithm NoNe": (JWKS.replace("PS256", "NoNe"), "holds `none`"),
    "an unknown algorithm": (JWKS.replace("PS256", "RS265"), "did you mean `RS256`?"),
    "an algorithm in lower case": (JWKS.replace("PS256", "ps256"), "did you mean `PS256`?"),
    "no keys": (COMMON + 'algorithms = ["RS256"]', "nothing says where its keys are"),
    "two sources of keys": (JWKS + "discovery = true", "exclude each other"),
    "a secret beside a JWKS": (JWKS + 'secret_env = "NOT_SET"', "keep the one that the issuer signs with"),
    "a secret in the file": (COMMON + f'algorithms = ["HS256"]\nsecret = "{SECRET}"', "must not be in this file"),
    "a variable that is not set": (COMMON + 'algorithms = ["HS256"]\nsecret_env = "NOT_SET"', "is not set"),
    "a missing secret file": (COMMON + 'algorithms = ["HS256"]\nsecret_file = "none"', "cannot be read"),
    "http": (JWKS.replace("https://id.example.com/keys", "http://id.example.com/keys"), "use `https`"),
    "http on loopback without saying so": (
        JWKS.replace("https://id.example.com/keys", "http://127.0.0.1:9000/keys"),
        "`insecure_loopback = true`",
    ),
    "http beyond loopback all the same": (
        JWKS.replace("https://id", "http://id") + "insecure_loopback = true",
        "use `https`",
    ),
    "a name that begins like loopback": (
        JWKS.replace("https://id.example.com/keys", "http://127.0.0.1.example.com/") + "insecure_loopback = true",
        "use `https`",
    ),
    "another scheme": (JWKS.replace("https://id.example.com/keys", "file:///etc/passwd"), "not a plain `https://` URL"),
    "a URL with a user": (JWKS.replace("//id.example.com/keys", "//u:p@id.example.com/keys"), "`jwks_uri`"),
    "a development issuer beside a real one": (
        JWKS.replace("id.", "dev.") + "insecure_loopback = true\n" + JWKS,
        "in a file of their own",
    ),
    "an issuer over http": (JWKS.replace('"https://id.example.com"', '"http://id.example.com"'), "`issuer` is not enc"),
    "leeway of minutes": (JWKS + "leeway = 121", "from 0 to 120 seconds"),
    "negative leeway": (JWKS + "leeway = -1", "from 0 to 120"),
    "leeway that is text": (JWKS + 'leeway = "60"', "must be a number"),
    "leeway that is no number": (JWKS + "leeway = nan", "must be a number"),
    "leeway that is true": (JWKS + "leeway = true", "must be a number"),
    "a number beyond all bounds": (JWKS + "leeway = 1" + "0" * 400, "from 0 to 120"),
    "no lifetime": (JWKS + "max_lifetime = 0", "`max_lifetime` must be from 1"),
    "an endless lifetime": (JWKS + "max_lifetime = inf", "`max_lifetime` must be from 1"),
    "exp not required": (JWKS + 'required_claims = ["iss", "aud", "sub"]', "must hold `exp`"),
    "aud not required": (JWKS + 'required_claims = ["iss", "exp", "sub"]', "must hold `aud`"),
    "nothing required": (JWKS + "required_claims = []", "must hold `exp`, `iss`, `aud`, `sub`"),
    "logout tokens": (JWKS + 'types = ["logout+jwt"]', "which is no access token"),
    "no types": (JWKS + "types = []", "`types` is empty"),
    "a misspelt setting": (JWKS + 'audience = ["x"]', "did you mean `audiences`?"),
    "a setting that nobody knows": (JWKS + "zzz = 1", "`zzz` is no setting"),
    "an unknown table": (JWKS + "[cahce]\nentries = 1", "did you mean `cache`?"),
    "an unknown setting in a table": (JWKS + "[cache]\nentires = 1", "[cache]: `entires` is no setting: did you"),
    "a cache of nothing": (JWKS + "[cache]\nentries = 0", "from 1 to 1e+06"),
    "half a cache entry": (JWKS + "[cache]\nentries = 1.5", "a whole number"),
    "an issuer twice": (JWKS + JWKS, "as another table does"),
    "an issuer that is no table": ("issuer = 5", "must be a list of tables"),
    "tenants but not where": (JWKS + 'tenants = ["acme"]', "not where a token has its own"),
    "a required tenant but not where": (JWKS + "tenant_required = true", "`tenant_required` needs `tenant`"),
    "clients' tenants but not where": (JWKS + '[issuer.clients]\nweb = ["acme"]', "not where a token has its own"),
    "a path with an empty name": (JWKS + 'roles = "realm_access..roles"', "names joined by dots"),
    "an unknown preset": (
        f'[[issuer]]\npreset = "keycloack"\naudiences = ["{AUDIENCE}"]',
        "did you mean `keycloak`?",
    ),
    "a preset without its parameter": (
        f'[[issuer]]\npreset = "auth0"\naudiences = ["{AUDIENCE}"]',
        "needs `domain`",
    ),
    "a preset's parameter with a path": (
        f'[[issuer]]\npreset = "auth0"\ndomain = "evil.example.com/x"\naudiences = ["{AUDIENCE}"]',
        "`domain` must look like",
    ),
    "every tenant of Entra ID unsaid": (
        f'[[issuer]]\npreset = "entra-multitenant"\naudiences = ["{AUDIENCE}"]',
        "tokens of every tenant there is",
    ),
    "any tenant of a single one": (JWKS + "any_tenant = true", "only for an issuer with"),
    "braces that are no template": (JWKS.replace("id.example.com", "{tenant}.example.com"), "no other braces"),
    "a template in the host": (
        JWKS.replace('"https://id.example.com"', '"https://{tenantid}.example.com/"')
        + 'tenants = ["x"]\ntenant = "tid"',
        "only as a part of",
    ),
    "an issuer that a template covers": (
        f"""
[[issuer]]
preset = "entra-multitenant"
any_tenant = true
audiences = ["{AUDIENCE}"]
[[issuer]]
preset = "entra"
tenant_id = "72f988bf-86f1-41af-91ab-2d7cd011db47"
audiences = ["{AUDIENCE}"]
""",
        "is also an issuer of",
    ),
    "introspection without a secret": (
        JWKS + '[issuer.introspection]\nendpoint = "https://id.example.com/i"\nclient_id = "x"',
        "has no secret",
    ),
    "introspection with an inline secret": (
        JWKS + f'[issuer.introspection]\nclient_id = "x"\nclient_secret = "{SECRET}"',
        "`client_secret` must not be in this file",
    ),
    "introspection nowhere": (JWKS + '[issuer.introspection]\nclient_id = "x"', "`endpoint` is missing"),
    "introspection over http": (
        JWKS + '[issuer.introspection]\nendpoint = "http://id.example.com/i"\nclient_id = "x"',
        "`endpoint` is not encrypted",
    ),
    "Redis without TLS": (JWKS + '[redis]\nurl = "redis://redis.example.com"', "is not encrypted"),
    "Redis with a password in the URL": (JWKS + '[redis]\nurl = "rediss://:p@redis.example.com"', "no password"),
    "Redis that trusts anybody": (
        JWKS + '[redis]\nurl = "rediss://redis.example.com?ssl_cert_reqs=none"',
        "must not hold `?`",
    ),
    "Redis without a key": (JWKS + '[redis]\nurl = "unix:///run/redis.sock"', "has no key"),
    "Redis nowhere": (JWKS + "[redis]\nprefix = 'x'", "`url` is missing"),
    "a public network": (JWKS.replace("[[issuer]]", 'networks = ["8.8.8.0/24"]\n[[issuer]]'), "`networks`"),
    "a certificate file that is missing": (JWKS.replace("[[issuer]]", 'ca_file = "no.pem"\n[[issuer]]'), "is no file"),
    "what is no TOML": ("[[issuer", "this is not TOML"),
    "a number without end": ("x = " + "9" * 5000, "this is not TOML"),
    "brackets without end": ("x = " + "[" * 100_000, "this is not TOML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_weaken_a_check_is_refused_and_named(case: str, tmp_path: Path) -> None:
    """Issue 4, item 1; S36, S57, S77: what weakens a check does not start, and unknown keys are refused."""
    text, expected = REFUSED[case]
    told = problems(text, tmp_path)
    assert expected in told
    assert SECRET not in told


SECRETS = {
    "short": (b"0123456789abcdefghijklmnopqrstu", 'algorithms = ["HS256"]', "has 31 bytes, and must have 32"),
    "shorter than its digest": (b"0123456789abcdef" * 2, 'algorithms = ["HS512"]', "and must have 64"),
    "empty": (b"\n", 'algorithms = ["HS256"]', "is empty"),
    "one letter": (b"a" * 64, 'algorithms = ["HS256"]', "repeats itself"),
    "a public key": (
        b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
        'algorithms = ["HS256"]',
        "a key's text",
    ),
    "a public key after spaces": (
        b"\r\n  -----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
        'algorithms = ["HS256"]',
        "a key's text",
    ),
    "a JWK": (b'{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78","e":"AQAB"}',
              'algorithms = ["HS256"]', "a key's text"),
    "for RS256": (SECRET.encode(), 'algorithms = ["RS256"]', "for HS algorithms only"),
}  # fmt: skip


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_that_can_be_guessed_or_is_public_is_refused(case: str, tmp_path: Path) -> None:
    """CVE-2026-102266, CVE-2022-29217 and CVE-2026-48526: empty, short and public keys as secrets."""
    content, algorithms, expected = SECRETS[case]
    name = secret_file(tmp_path, content)
    assert expected in problems(f'{COMMON}{algorithms}\nsecret_file = "{name}"', tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_secret_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    """Issue 4, item 1: secrets by file."""
    name = secret_file(tmp_path, mode=mode)
    told = problems(f'{COMMON}algorithms = ["HS256"]\nsecret_file = "{name}"', tmp_path)
    assert "can be read by others than its owner" in told


def test_all_problems_are_told_at_once_with_the_file_and_the_table(tmp_path: Path) -> None:
    """Style: report every error."""
    path = tmp_path / "tokens.toml"
    path.write_text(JWKS + "leeway = 300\nmax_lifetime = 0\n" + JWKS.replace("id.", "other.") + "types = []")
    with pytest.raises(TokenConfigError) as caught:
        load_issuers(path)
    assert [problem.split("`")[0] for problem in caught.value.problems] == [
        f"{path}: [[issuer]] 1: ",
        f"{path}: [[issuer]] 1: ",
        f"{path}: [[issuer]] 2: ",
    ]
    assert str(caught.value).endswith("(and 2 more)")


def test_two_issuers_cannot_both_be_asked_about_opaque_tokens(tmp_path: Path) -> None:
    """S42: a token is routed by configuration, never sent to whoever might know it."""
    asked = f"""[issuer.introspection]
endpoint = "https://id.example.com/introspect"
client_id = "mcp"
client_secret_file = "{secret_file(tmp_path)}"
"""
    text = JWKS + asked + JWKS.replace("id.", "other.") + asked
    assert "only one issuer can be asked" in problems(text, tmp_path)


def test_an_issuer_of_opaque_tokens_alone_needs_no_keys(tmp_path: Path) -> None:
    """Issue 4, item 4."""
    text = f"""{COMMON}
[issuer.introspection]
endpoint = "https://id.example.com/introspect"
client_id = "mcp"
client_secret_file = "{secret_file(tmp_path)}"
"""
    assert read_tokens(text, tmp_path).issuers[0].algorithms == frozenset()


def test_an_issuer_on_loopback_is_taken_where_the_file_says_so(tmp_path: Path) -> None:
    """S55: http on loopback under a development flag."""
    text = JWKS.replace("https://id.example.com", "http://127.0.0.1:9000") + "insecure_loopback = true"
    assert read_tokens(text, tmp_path).loopback_http


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be read"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "too large": (lambda path: path.write_bytes(b"#" * (MAX_FILE + 1)), "larger than"),
    "Latin-1": (lambda path: path.write_bytes(b"# caf\xe9"), "not valid UTF-8 at byte 6"),
    "UTF-16": (lambda path: path.write_bytes("x = 1".encode("utf-16")), "not valid UTF-8 at byte 1"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    """Issue 4, item 1: one TOML file; a named pipe must not be waited for."""
    path = tmp_path / "tokens.toml"
    make, expected = FILES[case]
    make(path)
    with pytest.raises(TokenConfigError, match=expected) as caught:
        load_issuers(path)
    assert "\n" not in str(caught.value)


def test_no_secret_is_in_what_the_configuration_prints(tmp_path: Path) -> None:
    """S64, S108: a planted secret is nowhere."""
    name = secret_file(tmp_path)
    text = f"""{COMMON}
algorithms = ["HS256"]
secret_file = "{name}"
[issuer.introspection]
endpoint = "https://id.example.com/introspect"
client_id = "mcp"
client_secret_file = "{name}"
[redis]
url = "unix:///run/redis.sock"
password_file = "{name}"
key_file = "{name}"
"""
    tokens = read_tokens(text, tmp_path)
    assert tokens.redis is not None
    assert tokens.redis.password == SECRET
    assert tokens.redis.key == SECRET.encode()
    assert SECRET not in repr(tokens)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=8) | st.dates()
    | st.sampled_from(["https://id.example.com", "{tenantid}", "keycloak", "entra-multitenant", "RS256", "none"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
NAMES = sorted({one.name for one in (*ISSUER, *INTROSPECTION)} | {"domain", "realm", "server", "tenant_id", "zzz"})


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8))
def test_whatever_is_in_a_table_is_read_or_refused(values: dict[str, object]) -> None:
    """S83: bound everything that comes from outside: nothing but an issuer that is safe, or problems in words."""
    found: list[str] = []
    issuer = read_issuer(values, "[[issuer]] 1", Path("/nowhere"), found)
    assert all("\n" not in problem for problem in found)
    if not found:
        assert issuer.issuer
        assert issuer.audiences
        assert issuer.discovery or issuer.jwks_uri or issuer.secret or issuer.introspection


# --- Presets --------------------------------------------------------------------------------


def preset(name: str, folder: Path, extra: str = "") -> Tokens:
    """Read a configuration of one preset with the parameters of its examples."""
    given = "\n".join(f'{key} = "{parameter.example}"' for key, parameter in PRESETS[name].parameters.items())
    tenants = "any_tenant = true" if "multitenant" in name and "tenants" not in extra else ""
    text = f'[[issuer]]\npreset = "{name}"\naudiences = ["{AUDIENCE}"]\n{given}\n{tenants}\n{extra}'
    return read_tokens(text, folder)


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_loads_with_its_parameters_alone(name: str, tmp_path: Path) -> None:
    """Issue 4, item 1: presets as data."""
    (issuer,) = preset(name, tmp_path).issuers
    assert issuer.issuer.startswith("https://")
    assert issuer.discovery or issuer.jwks_uri.startswith("https://")
    assert issuer.algorithms == {"RS256"}
    assert "{" not in issuer.jwks_uri
    assert issuer.audience_claim in issuer.required_claims


def test_presets_know_where_each_provider_puts_what(tmp_path: Path) -> None:
    """S2: claim paths and quirks; the providers' documentation is named in presets.py."""
    found = {name: preset(name, tmp_path).issuers[0] for name in PRESETS}
    assert found["auth0"].issuer == "https://example.eu.auth0.com/"
    assert found["auth0"].known_audiences == {"https://example.eu.auth0.com/userinfo"}
    assert found["okta"].issuer == "https://example.okta.com/oauth2/aus9o8wzkhckw9TLa0h7z"
    assert (found["okta"].scope_claims, found["okta"].client_claims) == (("scp",), ("cid",))
    assert found["keycloak"].roles_path == ("realm_access", "roles")
    assert found["keycloak"].expected_claims == {"typ": "Bearer"}
    assert found["entra"].tenant_path == ("tid",)
    assert found["entra-v1"].issuer == "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/"
    assert found["entra-v1"].client_claims == ("appid",)
    assert found["entra-multitenant"].issuer == "https://login.microsoftonline.com/{tenantid}/v2.0"
    assert (found["cognito"].audience_claim, found["cognito"].expected_claims) == ("client_id", {"token_use": "access"})
    assert found["google"].max_lifetime == 3600


def test_a_setting_beside_a_preset_wins_and_a_table_is_added_to_its_own(tmp_path: Path) -> None:
    """Otherwise naming one expected claim would take the preset's away."""
    (issuer,) = preset("cognito", tmp_path, 'scope_claims = ["scp"]\n[issuer.expected_claims]\nver = "1"').issuers
    assert issuer.scope_claims == ("scp",)
    assert issuer.expected_claims == {"token_use": "access", "ver": "1"}


def test_a_preset_can_take_its_keys_from_elsewhere(tmp_path: Path) -> None:
    """Where its keys are is one choice: naming an address replaces discovery."""
    (issuer,) = preset("keycloak", tmp_path, 'jwks_uri = "https://mirror.example.com/keys"').issuers
    assert (issuer.jwks_uri, issuer.discovery) == ("https://mirror.example.com/keys", False)
