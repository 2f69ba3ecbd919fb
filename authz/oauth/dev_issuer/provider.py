"""The authorization server: Authlib's endpoints over the memory."""
# mypy: disable-error-code="import-untyped, misc"
# Authlib has no types: its classes are unknown to the checker, and so are the methods that it calls.

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from authz.oauth.dev_issuer.grants import (
    ANY_CLIENT_AUTH,
    CLIENT_AUTH,
    S256,
    CodeGrant,
    CredentialsGrant,
    RefreshGrant,
)
from authz.oauth.dev_issuer.messages import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.oauth.dev_issuer.config import Client, IssuerConfig, User
    from authz.oauth.dev_issuer.issuing import Issuing
    from authz.oauth.dev_issuer.memory import Issued, Memory
    from authz.oauth.dev_issuer.messages import Asking

# Authlib's debug messages hold whole token responses.
logging.getLogger("authlib").setLevel(logging.WARNING)


class Provider(AuthorizationServer):
    """The authorization server. One request at a time: the caller sees to it."""

    def __init__(self, config: IssuerConfig, memory: Memory, issuing: Issuing, clock: Callable[[], float]) -> None:
        """Register the grants and endpoints."""
        super().__init__(scopes_supported=config.scopes)
        self.config = config
        self.memory = memory
        self.issuing = issuing
        self.clock = clock
        self.register_grant(CodeGrant, [S256(required=True)])
        self.register_grant(RefreshGrant)
        self.register_grant(CredentialsGrant)
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def query_client(self, client_id: str) -> Client | None:
        """Return a client that is registered."""
        return self.config.clients.get(client_id)

    def save_token(self, token: object, request: object) -> None:
        """Do nothing: what is issued is kept as it is issued."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Do nothing: nobody listens."""

    def create_oauth2_request(self, request: Asking | OAuth2Request) -> OAuth2Request:
        """Return the request in Authlib's form. Raises an `OAuth2Error` for one that is ambiguous or not text."""
        return request if isinstance(request, OAuth2Request) else Request(self.issuing.issuer, request)

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> Answer:
        """Return the answer; one that sends the browser away says who does (RFC 9207, section 2)."""
        issuer = urlencode({"iss": self.issuing.issuer})
        named = [
            (name, f"{value}{'&' if '?' in value else '?'}{issuer}" if name == "Location" else value)
            for name, value in headers
        ]
        text = json.dumps(dict(body)) if isinstance(body, (dict, list)) else ""
        return Answer(status, text.encode(), tuple(named))

    def check_authorization(self, asking: Asking) -> Answer | tuple[Client, str]:
        """Return who asks and for which scopes, or the refusal."""
        try:
            request = self.create_oauth2_request(asking)
            grant = self.get_consent_grant(request)
        except OAuth2Error as error:
            return self.refused(error)
        return grant.request.client, grant.request.scope

    def authorize(self, asking: Asking, user: User | None) -> Answer:
        """Send the browser back to the client: with a code where a user has agreed."""
        try:
            request = self.create_oauth2_request(asking)
            grant = self.get_consent_grant(request, user)
        except OAuth2Error as error:
            return self.refused(error)
        answer: Answer = self.create_authorization_response(request, user, grant)
        return answer

    def token(self, asking: Asking) -> Answer:
        """Answer at the token endpoint."""
        return self._answered(self.create_token_response, asking)

    def introspect(self, asking: Asking) -> Answer:
        """Answer at the introspection endpoint (RFC 7662)."""
        return self._answered(lambda request: self.create_endpoint_response("introspection", request), asking)

    def revoke(self, asking: Asking) -> Answer:
        """Answer at the revocation endpoint (RFC 7009)."""
        return self._answered(lambda request: self.create_endpoint_response("revocation", request), asking)

    def _answered(self, answer: Callable[[OAuth2Request], Answer], asking: Asking) -> Answer:
        try:
            return answer(self.create_oauth2_request(asking))
        except OAuth2Error as error:
            return self.refused(error)

    def refused(self, error: OAuth2Error) -> Answer:
        """Return an error as Authlib writes it."""
        answer: Answer = self.handle_response(*error(None))
        return answer


class _Introspection(IntrospectionEndpoint):
    CLIENT_AUTH_METHODS = CLIENT_AUTH

    def query_token(self, token_string: str, token_type_hint: str | None) -> Issued | None:  # noqa: ARG002  # Authlib's
        """Return an access token; of refresh tokens a resource server must not hear that they are good."""
        kept: Issued | None = self.server.memory.tokens.get(token_string)
        return kept if kept is not None and kept.kind == "access_token" else None

    def check_permission(self, token: Issued, client: Client, request: object) -> bool:  # noqa: ARG002  # Authlib's
        return client.introspect

    def introspect_token(self, token: Issued) -> dict[str, object]:
        return {"active": True, "token_type": "Bearer", **token.claims}


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = ANY_CLIENT_AUTH

    def query_token(self, token_string: str, token_type_hint: str | None) -> Issued | None:  # noqa: ARG002  # Authlib's
        kept: Issued | None = self.server.memory.tokens.get(token_string)
        return kept

    def revoke_token(self, token: Issued, request: OAuth2Request) -> None:
        """Forget an access token; with a refresh token goes all that came of it (RFC 7009, section 2.1)."""
        if token.kind == "refresh_token":
            token.family.revoked = True
        else:
            self.server.memory.tokens.take(request.form["token"])
