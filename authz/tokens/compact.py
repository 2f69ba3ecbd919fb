"""Take a compact JWS (RFC 7515, section 3.1) apart, before anything in it is believed.

What is refused here is refused for every issuer and costs no key, no network and no signature.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping  # noqa: TC003 (the type of a field, which dataclasses look at)
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from authz.errors import InvalidRequestError
from authz.json_form import read_json
from authz.tokens.errors import Refusal, refused

MAX_TOKEN: Final = 16 * 1024
"""Characters of one token; those of Entra ID with many groups come near 10 000."""
MAX_KID: Final = 256
"""Characters of a key's id."""

_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_OPAQUE: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""`b64token` of RFC 6750, section 2.1."""
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
_FORBIDDEN: Final = ("crit", "b64", "zip", "cty", "enc")
"""Extensions we do not have (RFC 7515, section 4.1.11; RFC 7797), compression, nesting, encryption."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A token in its parts. Header and payload are read but not believed; neither is ever printed.

    `digest` is the SHA-256 of the whole, in hexadecimal digits: there is one spelling of a token only.
    """

    header: Mapping[str, object] = field(repr=False)
    payload: Mapping[str, object] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    algorithm: str
    key_id: str
    """`kid`, "" where there is none."""

    @property
    def digest(self) -> str:
        """Return what stands for the token in logs."""
        return hashlib.sha256(self.signing_input + b"." + _encoded(self.signature)).hexdigest()


def parse(token: str, max_bytes: int = MAX_TOKEN) -> Compact:
    """Take a token apart. Raises `TokenError` for whatever no issuer's token may be.

    The size is looked at first, then the form (three parts of canonical base64url, so that no two
    texts are one token), then header and payload (UTF-8, each one JSON object, no name twice), then
    what the header asks for. Keys and addresses in the header (`jwk`, `jku`, `x5u`, `x5c`) are
    never looked at.
    """
    check_size(token, max_bytes)
    if not _FORM.fullmatch(token):
        raise refused(Refusal.MALFORMED, "it is not three parts of base64url with dots between them")
    head, body, tail = token.split(".")
    header, algorithm, key_id = _header(head)
    return Compact(
        header=header,
        payload=_object(_octets(body, "payload"), "payload"),
        signing_input=token[: len(head) + 1 + len(body)].encode("ascii"),
        signature=_octets(tail, "signature"),
        algorithm=algorithm,
        key_id=key_id,
    )


def check_size(token: str, max_bytes: int = MAX_TOKEN) -> None:
    """Refuse an empty or an over-long token, before anything else is done with it. Raises `TokenError`."""
    if not token:
        raise refused(Refusal.MALFORMED, "it is empty")
    if len(token) > max_bytes:
        raise refused(Refusal.TOO_LARGE, f"it is longer than {max_bytes} characters")


def check_opaque(token: str) -> None:
    """Refuse what no bearer token may hold (RFC 6750, section 2.1). Raises `TokenError`."""
    if not _OPAQUE.fullmatch(token):
        raise refused(Refusal.MALFORMED, "it holds a character that no bearer token may hold")


def looks_like_jose(token: str) -> bool:
    """Say whether this wants to be a JWS or a JWE, well-formed or not: such a token is never taken as opaque.

    An encoded JSON object starts with `ey` or `ew`; without any dot it may still
    be chance.
    """
    dots = token.count(".")
    return dots in (2, 4) or (dots > 0 and token.startswith(("ey", "ew")))


@lru_cache(maxsize=64)
def _header(part: str) -> tuple[Mapping[str, object], str, str]:
    """Read a header; return it with its algorithm and its key's id.

    An issuer's tokens share theirs to the letter, and what it means depends on nothing else: reading
    it once takes a third off what taking a token apart costs. Refusals are not kept.
    """
    header = _object(_octets(part, "header"), "header")
    return MappingProxyType(header), _checked_algorithm(header), _checked_header(header)


def _octets(part: str, name: str) -> bytes:
    """Decode one part, whose alphabet is known to be right."""
    try:
        octets = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise refused(Refusal.MALFORMED, f"the {name} is not base64url") from None
    if _encoded(octets) != part.encode("ascii"):
        # The last character may carry bits that decoding drops: another text for the same bytes.
        raise refused(Refusal.MALFORMED, f"the {name} is not canonical base64url")
    return octets


def _encoded(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def _object(octets: bytes, name: str) -> dict[str, object]:
    """Read one JSON object within bounds."""
    try:
        text = octets.decode("utf-8")
        value = read_json(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair cannot be encoded
    except (UnicodeError, InvalidRequestError):
        # What exactly is wrong would quote the token.
        raise refused(
            Refusal.MALFORMED, f"the {name} is not JSON in UTF-8 with distinct names, finite numbers and little nesting"
        ) from None
    if not isinstance(value, dict):
        raise refused(Refusal.MALFORMED, f"the {name} is not an object")
    return value


def _checked_algorithm(header: dict[str, object]) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or not algorithm or algorithm.lower() == "none":
        raise refused(Refusal.UNSUPPORTED_ALGORITHM, "the header names no algorithm, or that there is no signature")
    return algorithm


def _checked_header(header: dict[str, object]) -> str:
    """Refuse what the header may not ask for; return the key's id."""
    for name in _FORBIDDEN:
        if name in header:
            raise refused(Refusal.UNSUPPORTED_HEADER, f"the header holds `{name}`")
    if "kid" not in header:
        return ""
    key_id = header["kid"]
    if not isinstance(key_id, str):
        raise refused(Refusal.MALFORMED, "the header's `kid` is not text")
    if len(key_id) > MAX_KID or not _PRINTABLE.fullmatch(key_id):
        # Such a key cannot be in any set that was read; nobody is asked about it.
        raise refused(Refusal.UNKNOWN_KEY, "the header's `kid` is empty, too long or not printable ASCII")
    return key_id
