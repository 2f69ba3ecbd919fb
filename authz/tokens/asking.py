"""Put the caller that a token stands for into a request that came with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from authz.errors import InvalidRequestError
from authz.model import Client, Request

if TYPE_CHECKING:
    from authz.tokens.caller import Caller

CLAIMS: Final = "claims"
"""The attribute of the subject that holds the claims which configuration exposes."""
_NOT_THE_TOKENS: Final = "is not the token's: leave it out, the token says it"


def asked_by(request: Request, caller: Caller) -> Request:
    """Return a request as this caller asks it: subject, scopes, roles, tenant and client are the token's.

    What the request says of them itself must agree; the claims of a subject are the token's alone.
    Raises `InvalidRequestError`, naming the field.
    """
    if request.subject and request.subject != caller.subject:
        raise InvalidRequestError("subject", _NOT_THE_TOKENS)
    for name, said, meant in (("scopes", request.scopes, caller.scopes), ("roles", request.roles, caller.roles)):
        if said and set(said) != set(meant):
            raise InvalidRequestError(name, _NOT_THE_TOKENS)
    if request.tenant and request.tenant != caller.tenant:
        raise InvalidRequestError("tenant", _NOT_THE_TOKENS)
    client = request.client or Client()
    if client.id and client.id != caller.client:
        raise InvalidRequestError("client.id", _NOT_THE_TOKENS)
    if CLAIMS in request.subject_attributes:
        raise InvalidRequestError(f"subject_attributes.{CLAIMS}", _NOT_THE_TOKENS)
    attributes = dict(request.subject_attributes)
    if caller.claims:
        attributes[CLAIMS] = dict(caller.claims)
    return replace(
        request,
        anonymous=False,
        subject=caller.subject,
        scopes=caller.scopes,
        roles=caller.roles,
        tenant=caller.tenant,
        client=Client(caller.client, client.attributes) if caller.client or request.client else None,
        subject_attributes=attributes,
    )
