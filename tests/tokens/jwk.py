"""Keys in the form in which issuers publish them."""

from __future__ import annotations

import base64
import functools
import json

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Jwk = dict[str, object]


def text(octets: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def number(value: int) -> str:
    """Encode an integer as JWKs have it."""
    return text(value.to_bytes((value.bit_length() + 7) // 8))


@functools.cache
def rsa_key(which: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return one of several RSA keys, made once."""
    del which
    return rsa.generate_private_key(65_537, bits)


def rsa_jwk(kid: str | None = "rsa", key: rsa.RSAPrivateKey | None = None, **more: object) -> Jwk:
    """Return the public half of an RSA key."""
    numbers = (key or rsa_key()).public_key().public_numbers()
    return named(kid, {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}, more)


def ec_jwk(kid: str | None = "ec", curve: ec.EllipticCurve | None = None, **more: object) -> Jwk:
    """Return the public half of a new key on a curve."""
    used = curve or ec.SECP256R1()
    numbers = ec.generate_private_key(used).public_key().public_numbers()
    size = (used.key_size + 7) // 8
    name = {256: "P-256", 384: "P-384", 521: "P-521"}.get(used.key_size, "P-192")
    point = {"x": text(numbers.x.to_bytes(size)), "y": text(numbers.y.to_bytes(size))}
    return named(kid, {"kty": "EC", "crv": name, **point}, more)


def ed_jwk(kid: str | None = "ed", **more: object) -> Jwk:
    """Return the public half of a new Ed25519 key."""
    point = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return named(kid, {"kty": "OKP", "crv": "Ed25519", "x": text(point)}, more)


def named(kid: str | None, jwk: Jwk, more: Jwk) -> Jwk:
    """Add a name, where there is one, and what else the key says."""
    return {**({} if kid is None else {"kid": kid}), **jwk, **more}


def key_set(*keys: object) -> bytes:
    """Return the document that an issuer publishes."""
    return json.dumps({"keys": list(keys)}).encode()
