"""From a bearer token to a caller that can be trusted: usable by itself in any Python server.

The public names are those of `__all__`; they load when first used. What stands where:

errors          why a token is refused: stable reasons, texts that are safe for the client
issuer          what is configured for one issuer, as frozen values
settings        a table of settings, key by key; all problems at once
secret          secrets from files and the environment
endpoints       what the URL of a configured endpoint must be
issuer_table    one table, over the preset that it names → an issuer
issuer_checks   what keeps a weak issuer from existing
config          a TOML file → issuers; what would weaken a check is refused
presets         what is known of Auth0, Okta, Keycloak, Entra ID, Cognito and Google, as data
urls            what addresses are plain enough to be asked
addresses       which hosts may be asked: public ones, and those that configuration opens
http            bounded requests: no redirects, no inner addresses, one deadline
flight          one piece of work at a time for all who wait, less often the more it fails
keys            JSON Web Keys → keys that may verify
jwks            the keys of an issuer, as they change
discovery       where an issuer has its keys and its introspection
compact         the three parts of a token, before anything in them is believed
claims          what a token says of itself, checked
rights          what it says of the caller's rights
validation      one function: token → claims, or a refusal
introspection   opaque tokens (RFC 7662)
cache           what was validated already
revocation      what no longer counts
failures        how often a source may fail
caller          claims → caller
routing         which issuer a token belongs to
sharing         one answer for all who ask the same question at the same time
events          what happened to one token, for the log
service         all of these together: token → caller
opening         configuration → service
peek            a token's parts, for people, none of it believed
advice          what each refusal means, and what to do
settings_text   what each setting means
page            these two and the presets → docs/tokens.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lazily import names_of

if TYPE_CHECKING:
    from authz.tokens.caller import Caller
    from authz.tokens.config import load_issuers
    from authz.tokens.errors import Refusal, TokenConfigError, TokenError
    from authz.tokens.issuer import Introspection, Issuer
    from authz.tokens.opening import open_service
    from authz.tokens.revocation import Revocation, Revoked
    from authz.tokens.service import TokenService

__all__ = [
    "Caller",
    "Introspection",
    "Issuer",
    "Refusal",
    "Revocation",
    "Revoked",
    "TokenConfigError",
    "TokenError",
    "TokenService",
    "load_issuers",
    "open_service",
]

__getattr__ = names_of(
    __name__,
    {
        "authz.tokens.caller": ("Caller",),
        "authz.tokens.config": ("load_issuers",),
        "authz.tokens.errors": ("Refusal", "TokenConfigError", "TokenError"),
        "authz.tokens.issuer": ("Introspection", "Issuer"),
        "authz.tokens.opening": ("open_service",),
        "authz.tokens.revocation": ("Revocation", "Revoked"),
        "authz.tokens.service": ("TokenService",),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
