"""What the development issuer knows: a TOML file → clients, users and resources, each key of it checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from authz.oauth.dev_issuer.redirects import matches, may_register
from authz.tokens.errors import TokenConfigError
from authz.tokens.settings import Table, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE: Final = 1024 * 1024
"""Bytes of the file."""
MAX_ENTRIES: Final = 1000
"""Clients, and users."""
GRANTS: Final = ("authorization_code", "refresh_token", "client_credentials")
ALGORITHMS: Final = ("RS256", "ES256")
MAX_LIFETIME: Final = 24 * 3600
"""Seconds. Longer tokens would let a test pass that production refuses."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}\Z")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}\Z")  # RFC 6749, section 3.3
_RESOURCE: Final = re.compile(r"https?://[^\s#\"\\]{1,500}\Z", re.ASCII)  # without a fragment (RFC 8707, section 2)
_SECRET: Final = re.compile(r"[\x21-\x7e]{16,128}\Z")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can sign in, by a click."""

    name: str
    """`sub` of their tokens."""
    scopes: frozenset[str] | None = None
    """The most that they may grant; None is all that the client may ask for."""
    roles: tuple[str, ...] = ()
    tenant: str = ""

    def get_user_id(self) -> str:
        """Return the name, as Authlib asks for it."""
        return self.name


@dataclass(frozen=True, slots=True)
class Client:
    """A client that is registered beforehand. The `check_…` and `get_…` are what Authlib asks of one."""

    client_id: str
    secret: str = field(default="", repr=False)
    """"" is a public client."""
    redirect_uris: tuple[str, ...] = ()
    grants: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    """For tokens of its own (client credentials), as `tenant` is."""
    tenant: str = ""
    opaque: bool = False
    """Whether its access tokens are random text, for introspection, instead of JWTs."""
    introspect: bool = False
    """Whether it is a resource server, which may ask about any token."""

    def get_client_id(self) -> str:
        """Return the identifier."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """Return none: each request must say where to."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the scopes that are asked for, or all where none is; None where one is not the client's."""
        asked = (scope or "").split()
        if not set(asked) <= set(self.scopes):
            return None
        return " ".join(dict.fromkeys(asked or self.scopes))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether the client may be sent back there."""
        return any(matches(registered, redirect_uri) for registered in self.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        """Tell whether this is the secret, in a time that does not tell how much of it."""
        return bool(self.secret) and compare_digest(self.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002  # Authlib's signature
        """Tell whether the client proves itself so: with its secret where it has one, else by its PKCE verifier."""
        return (method == "none") == (not self.secret)

    def check_response_type(self, response_type: str) -> bool:
        """Tell whether the client may have this from the authorization endpoint."""
        return response_type == "code" and "authorization_code" in self.grants

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether the client may use this grant."""
        return grant_type in self.grants


@dataclass(frozen=True, slots=True)
class IssuerConfig:
    """All that the development issuer knows. Lifetimes are seconds."""

    resources: frozenset[str]
    """What tokens can be for: `resource` of a request (RFC 8707) and `aud` of the token, character by character."""
    clients: Mapping[str, Client]
    users: Mapping[str, User]
    algorithm: str = "RS256"
    access_lifetime: int = 900
    code_lifetime: int = 60
    refresh_lifetime: int = 8 * 3600

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return all scopes that a client may ask for, sorted."""
        return tuple(sorted({scope for client in self.clients.values() for scope in client.scopes}))


def load_config(path: Path) -> IssuerConfig:
    """Read a TOML file. Raises `TokenConfigError` with all problems."""
    try:
        values = tomllib.loads(read_bounded(path, MAX_FILE).decode())
    except UnicodeDecodeError as error:
        raise TokenConfigError(f"`{path}` is not valid UTF-8 at byte {error.start + 1}") from None
    except (ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise TokenConfigError(f"{path}: this is not TOML: {told[:1].lower()}{told[1:]}") from None
    return read_config(values, f"{path}: ")


def read_config(values: Mapping[str, object], start: str = "") -> IssuerConfig:
    """Read what such a file holds; problems start with `start`. Raises `TokenConfigError` with all of them."""
    problems: list[str] = []
    top = Table(values, "", problems)
    config = IssuerConfig(
        resources=frozenset(_texts(top, "resources", _RESOURCE, "an http or https URL without a fragment")),
        clients={table.name: _client(table) for table in _tables(top, "clients", problems)},
        users={table.name: _user(table) for table in _tables(top, "users", problems)},
        algorithm=_choice(top, "algorithm", ALGORITHMS),
        access_lifetime=top.whole("access_lifetime", 900, 1, MAX_LIFETIME, "seconds"),
        code_lifetime=top.whole("code_lifetime", 60, 1, 600, "seconds"),
        refresh_lifetime=top.whole("refresh_lifetime", 8 * 3600, 1, MAX_LIFETIME, "seconds"),
    )
    top.finish()
    if not config.resources and not top.has("resources"):
        top.problem('`resources` is missing: name the servers that tokens are for, as in `["https://mcp.example"]`')
    if not config.clients and not top.has("clients"):
        top.problem("names no client: begin a table with `[clients.NAME]`")
    if not config.users and any("authorization_code" in client.grants for client in config.clients.values()):
        top.problem("names no user, and with the grant `authorization_code` somebody must sign in: add `[users.NAME]`")
    if problems:
        raise TokenConfigError(*(start + problem for problem in problems))
    return config


class _Entry(Table):
    """A client's or a user's table."""

    def __init__(self, values: Mapping[str, object], name: str, label: str, problems: list[str]) -> None:
        super().__init__(values, label, problems)
        self.name = name


def _client(table: _Entry) -> Client:
    client = Client(
        client_id=table.name,
        secret=_text(table, "secret", _SECRET, "16 to 128 visible ASCII characters"),
        redirect_uris=table.texts("redirect_uris"),
        # A program that only asks about tokens has no grant at all, which is not the same as saying nothing.
        grants=frozenset(table.texts("grants", ("authorization_code", "refresh_token"))),
        scopes=_texts(table, "scopes", _SCOPE, "a scope"),
        roles=_texts(table, "roles", _NAME, "a role"),
        tenant=_text(table, "tenant", _NAME, "a tenant"),
        opaque=_choice(table, "tokens", ("jwt", "opaque")) == "opaque",
        introspect=table.flag("introspect"),
    )
    table.finish()
    for uri in client.redirect_uris:
        if not may_register(uri):
            table.problem(f"`redirect_uris`: `{uri}` is neither https nor loopback, or has a fragment")
    for grant in sorted(client.grants - set(GRANTS)):
        table.problem(f"`grants`: `{grant}` is none of {_listed(GRANTS)}")
    if "authorization_code" in client.grants and not client.redirect_uris:
        table.problem("`redirect_uris` is missing: the grant `authorization_code` needs it")
    if not table.has("secret") and "client_credentials" in client.grants:
        table.problem("`secret` is missing: the grant `client_credentials` needs it")
    if not table.has("secret") and client.introspect:
        table.problem("`secret` is missing: `introspect` needs it")
    return client


def _user(table: _Entry) -> User:
    user = User(
        name=table.name,
        scopes=frozenset(_texts(table, "scopes", _SCOPE, "a scope")) if table.has("scopes") else None,
        roles=_texts(table, "roles", _NAME, "a role"),
        tenant=_text(table, "tenant", _NAME, "a tenant"),
    )
    table.finish()
    return user


def _tables(top: Table, key: str, problems: list[str]) -> list[_Entry]:
    found = []
    given = top.table(key)
    if len(given) > MAX_ENTRIES:
        top.problem(f"`{key}` has more than {MAX_ENTRIES} entries")
        return []
    for name, values in given.items():
        if not _NAME.match(name) or not isinstance(values, Mapping):
            top.problem(f"`{key}` must be made of tables: `[{key}.NAME]`, NAME of ASCII letters, digits and ._:@/+-")
            continue
        found.append(_Entry(values, name, f"[{key}.{name}]", problems))
    return found


def _text(table: Table, key: str, form: re.Pattern[str], what: str) -> str:
    found = table.text(key)
    if found and not form.match(found):
        table.problem(f"`{key}` must be {what}")  # not repeated: it may be a secret
    return found


def _texts(table: Table, key: str, form: re.Pattern[str], what: str) -> tuple[str, ...]:
    found = table.texts(key)
    for text in found:
        if not form.match(text):
            table.problem(f"`{key}`: `{text}` is not {what}")
    return found


def _choice(table: Table, key: str, choices: tuple[str, ...]) -> str:
    """Read one of several words; the first is the default."""
    found = table.text(key, choices[0])
    if found not in choices:
        table.problem(f"`{key}` must be one of {_listed(choices)}")
    return found


def _listed(choices: tuple[str, ...]) -> str:
    return ", ".join(f"`{choice}`" for choice in choices)
