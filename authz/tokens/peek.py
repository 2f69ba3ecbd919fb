"""Look into a token without believing it: for people who ask what they hold."""

from __future__ import annotations

import binascii
import hashlib
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from authz.errors import InvalidRequestError
from authz.json_form import read_json
from authz.tokens.compact import MAX_TOKEN, parse
from authz.tokens.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

Form: TypeAlias = Literal["signed", "encrypted", "opaque"]


@dataclass(frozen=True, slots=True)
class Peeked:
    """What a token says, none of it verified; the signature is left out."""

    form: Form
    header: Mapping[str, object] | None
    claims: Mapping[str, object] | None
    problem: str
    """Why its form alone has it refused everywhere; "" where it does not."""
    digest: str
    """SHA-256 of the token, in hexadecimal digits, as logs name it."""


def peek(token: str) -> Peeked:
    """Take apart what can be taken apart."""
    digest = hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
    parts = token.split(".", 5)
    header = _object(parts[0]) if len(parts) > 1 and len(token) <= 4 * MAX_TOKEN else None
    if header is None and len(parts) != 3:
        return Peeked("opaque", None, None, "", digest)
    if len(parts) == 5:
        return Peeked("encrypted", header, None, "encrypted tokens are not accepted", digest)
    try:
        compact = parse(token)
    except TokenError as error:
        claims = _object(parts[1]) if header is not None else None
        return Peeked("signed", header, claims, error.detail, digest)
    return Peeked("signed", compact.header, compact.payload, "", digest)


def _object(part: str) -> Mapping[str, object] | None:
    """Read one part as loosely as anybody might; None where there is no object."""
    try:
        found = read_json(urlsafe_b64decode(part.rstrip("=") + "=" * (-len(part.rstrip("=")) % 4)).decode())
    except (binascii.Error, UnicodeError, ValueError, InvalidRequestError):
        return None
    return found if isinstance(found, dict) else None
