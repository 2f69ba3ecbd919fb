"""Read JSON Web Keys (RFC 7517) into keys that may verify; whatever is weak or ambiguous is left out and reported."""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from authz.errors import AuthzError, InvalidRequestError
from authz.json_form import WHOLE, read_json, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

MAX_BYTES: Final = 256 * 1024
"""Of one key set."""
MAX_KEYS: Final = 64
MAX_VALUES: Final = 8_192
"""In one key set, counted by their commas and brackets: a reader of JSON takes long over many small values."""
MAX_KEY_ID: Final = 256
"""Characters."""
RSA_BITS: Final = (2_048, 8_192)
"""The shortest key that is not weak (RFC 7518, section 3.3), and the longest that is worth the time."""

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final[Mapping[str, tuple[str, type[EllipticCurve], int]]] = {
    "P-256": ("ES256", SECP256R1, 32),
    "P-384": ("ES384", SECP384R1, 48),
    "P-521": ("ES512", SECP521R1, 66),
}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*\Z")
_ED25519_PRIME: Final = 2**255 - 19
# The y of the points whose order divides 8: with such a key, signatures that nobody made verify.
_ED25519_SMALL: Final = frozenset(
    {
        0,
        1,
        _ED25519_PRIME - 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    }
)
_SMALL_PRIMES: Final = tuple(n for n in range(3, 168) if all(n % d for d in range(2, int(n**0.5) + 1)))


class KeysError(AuthzError):
    """Raised when a text is no key set at all, or one that is too large to look at."""


class _UnusableError(Exception):
    """Raised within this module when one key is left out; the text says why."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the algorithms that it may verify: those of its kind that configuration allows."""

    kid: str
    """"" where the set names none."""
    algorithms: frozenset[str]
    key: PublicKey | bytes = field(repr=False)


def read_jwks(body: bytes, allowed: frozenset[str]) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """Return the usable keys of a set, and a line about each key that was left out.

    Every member of the set gives one or the other. Left out are symmetric and private keys, keys for
    encryption or for algorithms that are not allowed, weak and malformed ones, and all that share a `kid`.
    Raises `KeysError` for what is no key set, and for one beyond `MAX_BYTES`, `MAX_VALUES` or `MAX_KEYS`.
    """
    members = _members(body)
    kids = Counter(kid for member in members if isinstance(member, dict) and isinstance(kid := member.get("kid"), str))
    keys: list[Key] = []
    problems: list[str] = []
    for place, member in enumerate(members):
        try:
            keys.append(_key(member, kids, allowed))
        except _UnusableError as error:
            problems.append(f"{_name(place, member)} {error}")
    return tuple(keys), tuple(problems)


def _members(body: bytes) -> list[object]:
    if len(body) > MAX_BYTES:
        raise KeysError(f"the key set is larger than {MAX_BYTES} bytes")
    if body.count(b",") + body.count(b"{") + body.count(b"[") > MAX_VALUES:
        raise KeysError(f"the key set holds more than {MAX_VALUES} values")
    try:
        found = read_json(body.decode())
    except UnicodeDecodeError:
        raise KeysError("the key set is not UTF-8") from None
    except InvalidRequestError as error:
        where = "" if error.field == WHOLE else f" `{shown(error.field)}`"
        raise KeysError(f"the key set{where} {error.problem}") from None
    members = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(members, list):
        raise KeysError("the key set is no object with a list `keys`")
    if len(members) > MAX_KEYS:
        raise KeysError(f"the key set holds {len(members)} keys; {MAX_KEYS} are read")
    return members


def _name(place: int, member: object) -> str:
    kid = member.get("kid") if isinstance(member, dict) else None
    return f"key `{shown(kid)}`" if isinstance(kid, str) and kid else f"key number {place + 1}"


def _key(member: object, kids: Counter[str], allowed: frozenset[str]) -> Key:
    if not isinstance(member, dict):
        raise _UnusableError("is not an object")
    kid = member.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_KEY_ID or (not kid and "kid" in member):
        raise _UnusableError("has a `kid` that is no text, empty or too long")
    if kids[kid] > 1:
        raise _UnusableError("shares its `kid` with another key: neither is used")
    if member.get("kty") == "oct":
        raise _UnusableError("is a shared secret, which a published set cannot hold")
    if not _PRIVATE.isdisjoint(member):
        raise _UnusableError("is published with its private half: whoever reads the set can sign with it")
    _check_purpose(member)
    algorithms, key = _public_key(member)
    if "alg" in member:
        algorithms = frozenset(name for name in algorithms if name == member["alg"])
        if not algorithms:
            raise _UnusableError("states an `alg` that does not fit its kind")
    if not algorithms & allowed:
        raise _UnusableError("is for algorithms that are not allowed here")
    return Key(kid, algorithms & allowed, key)


def _check_purpose(member: Mapping[str, object]) -> None:
    """Refuse a key that is not for verifying (RFC 7517, sections 4.2 and 4.3)."""
    if member.get("use", "sig") != "sig":
        raise _UnusableError("is not for signatures: its `use` is not `sig`")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations or len(operations) > 8:
        raise _UnusableError("is not for verifying: its `key_ops` does not hold `verify`")


def _public_key(member: Mapping[str, object]) -> tuple[frozenset[str], PublicKey]:
    """Return what a key of this kind can verify, and the key. Raises `_UnusableError`."""
    try:
        match member.get("kty"):
            case "RSA":
                return _RSA, _rsa(member)
            case "EC":
                return _elliptic(member)
            case "OKP":
                return frozenset({"EdDSA"}), _edwards(member)
    except (ValueError, TypeError, OverflowError):
        raise _UnusableError("is malformed") from None
    raise _UnusableError("is of a kind that is not supported")


def _rsa(member: Mapping[str, object]) -> RSAPublicKey:
    modulus = int.from_bytes(_octets(member.get("n"), RSA_BITS[1] // 8 + 8))
    exponent = int.from_bytes(_octets(member.get("e"), 8))
    if modulus.bit_length() < RSA_BITS[0]:
        raise _UnusableError(f"is weak: RSA of {modulus.bit_length()} bits, where {RSA_BITS[0]} are needed")
    if modulus.bit_length() > RSA_BITS[1]:
        raise _UnusableError(f"is too long: RSA beyond {RSA_BITS[1]} bits")
    if exponent < 65_537 or exponent % 2 == 0:
        raise _UnusableError("is weak: its exponent is even or below 65537")
    if any(modulus % prime == 0 for prime in (2, *_SMALL_PRIMES)):
        raise _UnusableError("is weak: its modulus has a small factor")
    if is_roca(modulus):
        raise _UnusableError("is weak: it comes from a generator whose keys can be factored (ROCA)")
    return RSAPublicNumbers(exponent, modulus).public_key()


def is_roca(modulus: int) -> bool:
    """Whether an RSA modulus bears the fingerprint of CVE-2017-15361.

    The primes of that generator are powers of 65537 modulo every small prime, and so is their product;
    of other moduli, fewer than one in a hundred million is so by chance.
    """
    return all(modulus % prime in powers for prime, powers in _fingerprint())


@functools.cache
def _fingerprint() -> tuple[tuple[int, frozenset[int]], ...]:
    found = []
    for prime in _SMALL_PRIMES:
        powers = frozenset(pow(65_537, exponent, prime) for exponent in range(prime - 1))
        if len(powers) < prime - 1:
            found.append((prime, powers))
    return tuple(found)


def _elliptic(member: Mapping[str, object]) -> tuple[frozenset[str], EllipticCurvePublicKey]:
    name = member.get("crv")
    if not isinstance(name, str) or name not in _CURVES:
        raise _UnusableError("is on a curve that is not supported")
    algorithm, curve, size = _CURVES[name]
    x, y = (_octets(member.get(part), size) for part in ("x", "y"))
    if len(x) != size or len(y) != size:
        raise _UnusableError("is malformed: its coordinates do not fill the field (RFC 7518, section 6.2.1.2)")
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve())
    return frozenset({algorithm}), numbers.public_key()


def _edwards(member: Mapping[str, object]) -> Ed25519PublicKey:
    if member.get("crv") != "Ed25519":
        raise _UnusableError("is on a curve that is not supported")
    point = _octets(member.get("x"), 32)
    y = int.from_bytes(point, "little") & (2**255 - 1)
    if y >= _ED25519_PRIME or y in _ED25519_SMALL:
        raise _UnusableError("is weak: its point is of small order, or not written canonically")
    return Ed25519PublicKey.from_public_bytes(point)


def _octets(text: object, most: int) -> bytes:
    """Decode base64url without padding, as RFC 7515 has it. Raises ValueError."""
    if not isinstance(text, str) or not text or len(text) > (most * 4 + 2) // 3 or not _BASE64URL.match(text):
        raise ValueError("not base64url of that length")
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None
    if base64.urlsafe_b64encode(octets).rstrip(b"=").decode() != text:
        raise ValueError("not canonical")
    return octets
