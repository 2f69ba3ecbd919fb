"""The grants of OAuth 2.1: codes with PKCE, refresh with rotation, client credentials. Authlib checks the requests.

Authlib by itself takes `plain` PKCE, asks no confidential client for PKCE, knows no `resource`
(RFC 8707), and does not revoke what came of a code or refresh token that is used twice. All of
that is here.
"""
# mypy: disable-error-code="import-untyped, misc"
# Authlib has no types: its classes are unknown to the checker, and so are the methods that it calls.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AccessDeniedError, InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc6749 import grants as authlib_grants
from authlib.oauth2.rfc7636 import CodeChallenge

from authz.oauth.dev_issuer.memory import Code, Family, new_secret

if TYPE_CHECKING:
    from authlib.oauth2.rfc6749 import OAuth2Request

    from authz.oauth.dev_issuer.config import Client, IssuerConfig, User
    from authz.oauth.dev_issuer.memory import Issued
    from authz.oauth.dev_issuer.provider import Provider

CLIENT_AUTH: Final = ("client_secret_basic", "client_secret_post")
ANY_CLIENT_AUTH: Final = (*CLIENT_AUTH, "none")
_S256_LENGTH: Final = 43


class InvalidTargetError(OAuth2Error):
    """Raised when a request does not name the one server that its token is for (RFC 8707, section 2)."""

    error = "invalid_target"


def _resource(request: OAuth2Request, config: IssuerConfig) -> str:
    """Return the server that a token is asked for: each request names exactly one that is registered."""
    named = request.payload.datalist.get("resource", [])
    if not named:
        raise InvalidTargetError("The parameter 'resource' is missing: name the server that the token is for.")
    if len(named) > 1:
        raise InvalidTargetError("A token is for one 'resource' only.")
    if named[0] not in config.resources:
        raise InvalidTargetError("The 'resource' is not among those that this issuer is configured for.")
    return str(named[0])


def _same_resource(request: OAuth2Request, family: Family, config: IssuerConfig) -> None:
    if _resource(request, config) != family.resource:
        raise InvalidTargetError("The 'resource' is not the one that was granted.")


class S256(CodeChallenge):
    """PKCE with S256, for every client (OAuth 2.1; RFC 9700, section 2.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:  # noqa: ANN401  # Authlib's
        """Refuse a request for authorization without an S256 challenge."""
        data = grant.request.payload.data
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("The parameter 'code_challenge_method' must be S256.")
        if len(data.get("code_challenge", "")) != _S256_LENGTH:
            raise InvalidRequestError("The parameter 'code_challenge' must be the 43 characters of an S256 challenge.")
        super().validate_code_challenge(grant, redirect_uri)


class CodeGrant(authlib_grants.AuthorizationCodeGrant):
    """Authorization codes (RFC 6749, section 4.1)."""

    TOKEN_ENDPOINT_AUTH_METHODS = ANY_CLIENT_AUTH

    def validate_authorization_request(self) -> str:
        """Return where to send the browser back, after looking at `resource` as well."""
        redirect_uri: str = super().validate_authorization_request()
        try:
            _resource(self.request, self.server.config)
        except OAuth2Error as error:
            error.redirect_uri = redirect_uri
            raise
        return redirect_uri

    def generate_authorization_code(self) -> str:
        """Return a new code."""
        return new_secret()

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Keep what the user granted: of the scopes asked for, those that they have."""
        server = self.server
        user: User = request.user
        asked = request.scope.split()
        granted = [scope for scope in asked if user.scopes is None or scope in user.scopes]
        if asked and not granted:
            redirect_uri = request.payload.redirect_uri
            raise AccessDeniedError("The user may grant none of these scopes.", redirect_uri=redirect_uri)
        family = Family(
            client=request.client,
            user=user,
            scope=" ".join(granted),
            resource=_resource(request, server.config),
            expires_at=server.clock() + server.config.refresh_lifetime,
        )
        kept = Code(family, request.payload.redirect_uri, request.payload.data["code_challenge"])
        server.memory.codes.put(code, kept, server.clock() + server.config.code_lifetime)

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """Return what a code was given for; one that is used again revokes what came of it."""
        kept: Code | None = self.server.memory.codes.get(code)
        if kept is None or not kept.family.check_client(client):
            return None
        if kept.used:
            kept.family.revoked = True  # two parties have it, and one of them should not (RFC 6749, section 4.1.2)
            return None
        return kept

    def validate_token_request(self) -> None:
        """Refuse an exchange for another server."""
        super().validate_token_request()
        _same_resource(self.request, self.request.authorization_code.family, self.server.config)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Let the code be used no more."""
        authorization_code.used = True

    def authenticate_user(self, authorization_code: Code) -> User | None:
        """Return who agreed."""
        return authorization_code.family.user

    def generate_token(self, *, scope: str, include_refresh_token: bool, **_: object) -> dict[str, object]:
        """Return the token response."""
        family = self.request.authorization_code.family
        return _issued(self.server, family, scope, refresh=include_refresh_token)


class RefreshGrant(authlib_grants.RefreshTokenGrant):
    """Refresh tokens, each good once (RFC 6749, section 6; RFC 9700, section 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = ANY_CLIENT_AUTH
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Issued | None:
        """Return what a refresh token stands for; one that is used again revokes its family."""
        kept: Issued | None = self.server.memory.tokens.get(refresh_token)
        if kept is None or kept.kind != "refresh_token":
            return None
        if kept.is_revoked():
            kept.family.revoked = True  # used twice: either holder may be the thief (RFC 9700, section 4.14.2)
            return None
        return kept

    def validate_token_request(self) -> None:
        """Refuse a refresh for another server."""
        super().validate_token_request()
        _same_resource(self.request, self.request.refresh_token.family, self.server.config)

    def authenticate_user(self, refresh_token: Issued) -> User | None:
        """Return who agreed."""
        return refresh_token.family.user

    def revoke_old_credential(self, refresh_token: Issued) -> None:
        """Do nothing: the family counts its newest refresh token only."""

    def generate_token(self, *, scope: str, **_: object) -> dict[str, object]:
        """Return the token response, with the next refresh token."""
        return _issued(self.server, self.request.refresh_token.family, scope, refresh=True)


class CredentialsGrant(authlib_grants.ClientCredentialsGrant):
    """Tokens of a client for itself (RFC 6749, section 4.4)."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH

    def validate_token_request(self) -> None:
        """Refuse a request that names no server of ours."""
        super().validate_token_request()
        _resource(self.request, self.server.config)

    def generate_token(self, **_: object) -> dict[str, object]:
        """Return the token response."""
        client: Client = self.request.client
        scope = client.get_allowed_scope(self.request.payload.scope)
        if scope is None:
            raise InvalidScopeError
        server = self.server
        resource = _resource(self.request, server.config)
        family = Family(client, None, scope, resource, server.clock() + server.config.access_lifetime)
        return _issued(server, family, scope, refresh=False)


def _issued(server: Provider, family: Family, scope: str, *, refresh: bool) -> dict[str, object]:
    return server.issuing.issue(family, scope, refresh=refresh)
