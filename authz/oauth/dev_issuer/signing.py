"""The keys that sign access tokens, as they change."""

from __future__ import annotations

import base64
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

if TYPE_CHECKING:
    from collections.abc import Mapping

_PUBLISHED: Final = 2
"""Keys in the set: the one that signs, and the one before it, for tokens that are still about."""


@dataclass(frozen=True, slots=True)
class _Key:
    kid: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = field(repr=False)
    public: Mapping[str, str]
    """As a JSON Web Key (RFC 7517)."""


class SigningKeys:
    """Keys of one algorithm, RS256 or ES256, that live as long as the process."""

    def __init__(self, algorithm: str) -> None:
        """Make the first key."""
        self.algorithm = algorithm
        self._changing = threading.Lock()
        self._keys: tuple[_Key, ...] = (_made(algorithm),)

    def rotate(self) -> str:
        """Sign with a new key from now on and return its `kid`; the one before stays published, older ones do not."""
        made = _made(self.algorithm)
        with self._changing:
            self._keys = (made, *self._keys)[:_PUBLISHED]
        return made.kid

    def jwks(self) -> dict[str, list[Mapping[str, str]]]:
        """Return the public keys as a JSON Web Key Set."""
        return {"keys": [key.public for key in self._keys]}

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return an access token with these claims (RFC 9068, section 2)."""
        key = self._keys[0]
        return jwt.encode(dict(claims), key.private, self.algorithm, headers={"typ": "at+jwt", "kid": key.kid})


def _made(algorithm: str) -> _Key:
    kid = secrets.token_hex(8)
    about = {"kid": kid, "use": "sig", "alg": algorithm}
    if algorithm == "ES256":
        elliptic = ec.generate_private_key(ec.SECP256R1())
        point = elliptic.public_key().public_numbers()
        public = {"kty": "EC", "crv": "P-256", "x": _text(point.x, 32), "y": _text(point.y, 32)}
        return _Key(kid, elliptic, public | about)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = private.public_key().public_numbers()
    return _Key(kid, private, {"kty": "RSA", "n": _text(numbers.n, 256), "e": _text(numbers.e, 3), **about})


def _text(number: int, size: int) -> str:
    """Return a number as RFC 7518 writes it (section 6.2.1.2 and 6.3.1)."""
    return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()
