"""What each setting of the configuration means, for docs/tokens.md."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # the type of a constant, which the reader looks at
from typing import Final, NamedTuple


class Setting(NamedTuple):
    """A setting's name, its default as the page shows it ("" where it must be given), and its meaning."""

    name: str
    default: str
    meaning: str


TOP: Final = (
    Setting("issuer", "", "The issuers, each a table `[[issuer]]`."),
    Setting("max_token_bytes", "16384", "The longest token that is looked at."),
    Setting("ca_file", "the system's", "Certificates (PEM) to trust, for issuers of your own."),
    Setting("networks", "none", "Private networks that issuers may be in: `10.20.0.0/16`. No others are connected to."),
    Setting("fresh_tools", "none", "Patterns of tools for which a token is validated anew, and its issuer asked anew."),
    Setting("cache", "as below", "The table `[cache]`."),
    Setting("failures", "as below", "The table `[failures]`."),
    Setting("redis", "none", "The table `[redis]`."),
)
ISSUER: Final = (
    Setting("preset", "none", "A provider's settings, from the table below; those beside it win."),
    Setting("issuer", "", "`iss` of its tokens, byte for byte."),
    Setting("audiences", "", "This server's own names, of which a token must have one."),
    Setting("algorithms", "", "Of one family: `RS*`/`PS*`, `ES*`, `EdDSA`, or `HS*` with a shared secret."),
    Setting("discovery", "`false`", "Finds keys and endpoints by the issuer's metadata (RFC 8414, OpenID Connect)."),
    Setting("jwks_uri", "none", "Where its keys are, instead of discovery."),
    Setting(
        "secret_file",
        "none",
        "A file with a shared secret, instead of keys; at least 32 bytes, 48 and 64 for HS384 and HS512.",
    ),
    Setting("secret_env", "none", "The same, in an environment variable."),
    Setting("types", '`["at+jwt", "application/at+jwt"]`', '`typ` of its access tokens; `""` stands for none.'),
    Setting("leeway", "60", "Seconds by which clocks may differ; 120 at most."),
    Setting("max_lifetime", "86400", "The most seconds from `iat` to `exp`."),
    Setting(
        "required_claims",
        '`["exp", "iat", "iss", "aud", "sub"]`',
        "Claims that must be there. Only `iat` can go; where all tokens are opaque, also `iss` and `exp`.",
    ),
    Setting("expected_claims", "none", "A table of claims that must be there with exactly this text."),
    Setting("audience_claim", "`aud`", "Where the audience is."),
    Setting("known_audiences", "none", "Audiences that may stand beside ours."),
    Setting(
        "extra_audiences",
        "`false`",
        "Takes any audiences beside ours: whoever is meant as well can use the token here.",
    ),
    Setting("scope_claims", '`["scope", "scp"]`', "Where scopes are; those of all of them count."),
    Setting("scope_lists", '`["scp", "permissions"]`', "Which of them may be lists instead of text."),
    Setting(
        "roles", "none", "Where roles are: `realm_access.roles`, or a list of names where one of them holds a dot."
    ),
    Setting("tenant", "none", "Where the tenant is, in the same way."),
    Setting("tenant_required", "`false`", "Refuses tokens without a tenant."),
    Setting("tenants", "any", "The tenants that may call."),
    Setting("any_tenant", "`false`", "Takes every tenant of an issuer with `{tenantid}`."),
    Setting(
        "client_claims", '`["azp", "client_id"]`', "Where the client is; where there are several, they must agree."
    ),
    Setting("clients", "any", 'A table of the clients that may call, each with its tenants: `web = ["acme"]`.'),
    Setting("claims", "none", "Claims that policies may read as `subject.claims.NAME`."),
    Setting("introspection", "none", "The table `[issuer.introspection]`, for opaque tokens; one issuer may have it."),
    Setting("insecure_loopback", "`false`", "Takes `http` on this machine: for development."),
)
INTROSPECTION: Final = (
    Setting("endpoint", "by discovery", "Where to ask (RFC 7662)."),
    Setting("client_id", "", "Who asks."),
    Setting("client_secret_file", "one of the two", "A file with the secret of who asks."),
    Setting("client_secret_env", "one of the two", "The same, in an environment variable."),
    Setting("positive_ttl", "30", "Seconds for which a yes is kept, and at most until `exp`; 300 at most."),
    Setting("negative_ttl", "5", "Seconds for which a no is kept. Failures are never kept."),
)
CACHE: Final = (
    Setting("entries", "10000", "Validated tokens that are remembered, for five minutes and at most until `exp`."),
)
FAILURES: Final = (
    Setting(
        "per_source", "100", "Refused tokens of one source within the window, before further ones are refused unseen."
    ),
    Setting(
        "per_issuer",
        "10000",
        "The same, of all sources together, for one issuer: whoever fills it shuts out its new tokens.",
    ),
    Setting("window", "60", "Seconds of the window, which moves."),
    Setting("sources", "10000", "Sources that are counted one by one; further ones share counters."),
)
REDIS: Final = (
    Setting(
        "url", "", "`rediss://host:6379/0`, `unix:///path`, or on this machine `redis://`; with no password in it."
    ),
    Setting("username", "none", "The user."),
    Setting("password_file", "none", "A file with the password."),
    Setting("password_env", "none", "The same, in an environment variable."),
    Setting(
        "key_file",
        "one of the two",
        "A file with at least 32 bytes that all replicas share: names are hashed, and tokens sealed, with it.",
    ),
    Setting("key_env", "one of the two", "The same, in an environment variable."),
    Setting("share_cache", "`false`", "Shares validated tokens, beside revocations."),
    Setting("prefix", "`authz`", "What all names begin with."),
    Setting("timeout", "0.5", "Seconds for one command."),
    Setting("ca_file", "the system's", "Certificates (PEM) to trust."),
)

TABLES: Final[Mapping[str, tuple[Setting, ...]]] = {
    "Top of the file": TOP,
    "`[[issuer]]`": ISSUER,
    "`[issuer.introspection]`": INTROSPECTION,
    "`[cache]`": CACHE,
    "`[failures]`": FAILURES,
    "`[redis]`": REDIS,
}
