"""The file of the development issuer: what it must hold, and one clear line about what is wrong in it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from authz.oauth.dev_issuer.config import load_config, read_config
from authz.oauth.dev_issuer.redirects import matches, may_register
from authz.tokens.errors import TokenConfigError
from tests.oauth.support import CONFIG

EXAMPLE = Path(__file__).parents[2] / "examples" / "dev-issuer.toml"


def test_the_example_is_good() -> None:
    """S68: Every example is run by the tests."""
    config = load_config(EXAMPLE)
    assert set(config.users) == {"alice", "bob", "carol"}
    assert config.clients["desktop-opaque"].opaque
    assert config.clients["documents-server"].introspect


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("resources", None, "`resources` is missing"),
        ("resources", "https://mcp.example", "`resources` must be a list of texts"),
        ("resources", ["mcp"], "`resources`: `mcp` is not an http or https URL without a fragment"),
        ("resources", ["https://mcp.example/#a"], "without a fragment"),
        ("clients", None, "names no client"),
        ("clients", {"desktop": 1}, "`clients` must be made of tables"),
        ("clients", {"a b": {}}, "`clients` must be made of tables"),
        ("clients", [], "`clients` must be a table"),
        ("users", None, "names no user"),
        ("algorithm", "HS256", "`algorithm` must be one of `RS256`, `ES256`"),
        ("algorithm", "none", "`algorithm` must be one of"),
        ("access_lifetime", 0, "`access_lifetime` must be from 1 to 86400 seconds"),
        ("access_lifetime", True, "`access_lifetime` must be a number"),
        ("access_lifetime", 90_000, "`access_lifetime` must be from 1 to 86400 seconds"),
        ("code_lifetime", 601, "`code_lifetime` must be from 1 to 600 seconds"),
        ("listen", "0.0.0.0:9000", "`listen` is no setting"),
        ("clients.web.secrets", "x" * 20, "[clients.web]: `secrets` is no setting: did you mean `secret`?"),
        ("clients.web.secret", "short", "[clients.web]: `secret` must be 16 to 128 visible ASCII characters"),
        ("clients.web.scopes", "documents:read", "[clients.web]: `scopes` must be a list of texts"),
        ("clients.web.scopes", ["a b"], "[clients.web]: `scopes`: `a b` is not a scope"),
        ("clients.web.grants", ["password"], "[clients.web]: `grants`: `password` is none of"),
        ("clients.web.grants", ["implicit"], "[clients.web]: `grants`: `implicit` is none of"),
        ("clients.web.redirect_uris", ["http://app.example/cb"], "is neither https nor loopback"),
        ("clients.web.redirect_uris", ["https://app.example/cb#x"], "or has a fragment"),
        ("clients.web.redirect_uris", ["https://*.example/cb"], "is neither https nor loopback"),
        ("clients.web.redirect_uris", ["javascript:alert(1)"], "is neither https nor loopback"),
        ("clients.web.redirect_uris", [], "[clients.web]: `redirect_uris` is missing"),
        ("clients.robot.secret", None, "[clients.robot]: `secret` is missing: the grant `client_credentials` needs it"),
        ("clients.web.tokens", "saml", "[clients.web]: `tokens` must be one of `jwt`, `opaque`"),
        ("clients.web.introspect", "yes", "[clients.web]: `introspect` must be `true` or `false`"),
        ("clients.desktop.introspect", True, "[clients.desktop]: `secret` is missing: `introspect` needs it"),
        ("users.alice.role", ["x"], "[users.alice]: `role` is no setting: did you mean `roles`?"),
        ("users.alice.roles", "editor", "[users.alice]: `roles` must be a list of texts"),
        ("users.alice.tenant", 7, "[users.alice]: `tenant` must be a text"),
    ],
)
def test_a_setting_that_is_wrong_is_named(path: str, value: object, problem: str) -> None:
    """Issue 4, item 8: every key is checked; a secret is not repeated."""
    table: Any = copy.deepcopy(CONFIG)
    *outer, name = path.split(".")
    place = table
    for part in outer:
        place = place[part]
    if value is None:
        del place[name]
    else:
        place[name] = value
    with pytest.raises(TokenConfigError) as raised:
        read_config(table)
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)
    if name == "secret" and value:
        assert str(value) not in str(raised.value)


def test_all_problems_are_told_at_once() -> None:
    """An operator mends the file once."""
    with pytest.raises(TokenConfigError) as raised:
        read_config({"algorithm": "none", "listen": "x", "clients": {"a": {"tokens": "saml"}}}, "issuer.toml: ")
    assert len(raised.value.problems) == 6
    assert all(problem.startswith("issuer.toml: ") and "\n" not in problem for problem in raised.value.problems)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"resources = [", "this is not TOML"),
        (b"\xff", "is not valid UTF-8"),
        (b"x = " + b"[" * 20_000, "this is not TOML"),
        (b"#" * (1024 * 1024 + 1), "is larger than"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """House rule: one clear line."""
    path = tmp_path / "issuer.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TokenConfigError, match=problem) as raised:
        load_config(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb",
        "http://127.0.0.1/",
        "http://localhost:3000/cb?a=b",
        "http://[::1]/x",
        "com.example.app:/cb",
    ],
)
def test_what_may_be_registered_matches_itself(uri: str) -> None:
    """S56: https, loopback, or a scheme of the application's own (RFC 8252, section 7.1)."""
    assert may_register(uri)
    assert matches(uri, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost.evil.example/cb",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "https://user@app.example/cb",
        "https://app.example",
        "data:text/html,x",
        "myapp:/cb",
        "https://app.example/c b",
        "https://app.example\\@evil.example/",
        "http://10.0.0.1/cb",
        "//app.example/cb",
        "",
    ],
)
def test_what_may_not_be_registered(uri: str) -> None:
    """S56: by the parsed host, not by how it starts."""
    assert not may_register(uri)
