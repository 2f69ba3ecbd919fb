"""Signatures: each algorithm with its own key and no other, and the RFCs' own examples."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from authz.tokens.errors import Refusal, TokenError
from authz.tokens.jwks import SecretKey
from authz.tokens.keys import Key, PublicKey, read_jwks
from authz.tokens.validation import validate
from tests.tokens.world import AUDIENCE, KEY_ID, FixedKeys, claims, header, issuer, rsa_key, sign

if TYPE_CHECKING:
    from authz.tokens.issuer import Issuer

NOW = 1_800_000_000.0
SECRET = bytes(range(64))
EC_KEYS = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@dataclass
class OneKey:
    """A key source that answers with one key, whatever is asked."""

    found: Key

    async def key(self, kid: str, algorithm: str) -> Key:
        """Return it."""
        return self.found


async def outcome(token: str, settings: Issuer, key: PublicKey | bytes, *algorithms: str) -> Refusal | None:
    """Return why a token is refused under a key that is bound to algorithms."""
    try:
        await validate(token, settings, OneKey(Key(KEY_ID, frozenset(algorithms), key)), NOW)
    except TokenError as error:
        return error.reason
    return None


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_each_rsa_algorithm_verifies_its_own_signature_only(algorithm: str) -> None:
    """RFC 7518, sections 3.3 and 3.5; the families RS and PS are not each other's (Wycheproof, threats 2.1)."""
    private = rsa_key(KEY_ID)
    token = jwt.encode(claims(NOW), private, algorithm, headers=header(alg=None))
    settings = issuer(algorithms=frozenset({algorithm}))
    assert await outcome(token, settings, private.public_key(), algorithm) is None
    assert await outcome(token, settings, rsa_key("k2").public_key(), algorithm) is Refusal.BAD_SIGNATURE
    other = "PS" + algorithm[2:] if algorithm.startswith("RS") else "RS" + algorithm[2:]
    assert await outcome(token, settings, private.public_key(), other) is Refusal.UNSUPPORTED_ALGORITHM
    relabelled = sign(header(alg=other), claims(NOW)).split(".")[0] + "." + token.partition(".")[2]
    both = issuer(algorithms=frozenset({algorithm, other}))
    assert await outcome(relabelled, both, private.public_key(), algorithm, other) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("algorithm", EC_KEYS)
async def test_each_curve_verifies_its_own_algorithm_only(algorithm: str) -> None:
    """RFC 7518, section 3.4."""
    private = ec.generate_private_key(EC_KEYS[algorithm])
    token = jwt.encode(claims(NOW), private, algorithm, headers=header(alg=None))
    settings = issuer(algorithms=frozenset({algorithm}))
    assert await outcome(token, settings, private.public_key(), algorithm) is None
    for other, curve in EC_KEYS.items():
        if other != algorithm:
            stranger = ec.generate_private_key(curve).public_key()
            assert await outcome(token, settings, stranger, algorithm) is Refusal.BAD_SIGNATURE


async def test_edwards_keys_verify() -> None:
    """RFC 8037."""
    private = Ed25519PrivateKey.generate()
    token = jwt.encode(claims(NOW), private, "EdDSA", headers=header(alg=None))
    settings = issuer(algorithms=frozenset({"EdDSA"}))
    assert await outcome(token, settings, private.public_key(), "EdDSA") is None
    stranger = Ed25519PrivateKey.generate().public_key()
    assert await outcome(token, settings, stranger, "EdDSA") is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
@pytest.mark.parametrize("signature", [b"\0" * 64, b"", b"\0" * 63, b"\xff" * 64, b"\0" * 1_000])
async def test_an_empty_or_odd_signature_never_verifies(algorithm: str, signature: bytes) -> None:
    """S35, CVE-2022-21449 and its like (threats 2.1)."""
    key = (
        ec.generate_private_key(ec.SECP256R1()).public_key()
        if algorithm == "ES256"
        else Ed25519PrivateKey.generate().public_key()
    )
    head = sign(header(alg=algorithm), claims(NOW)).rpartition(".")[0]
    token = f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    found = await outcome(token, issuer(algorithms=frozenset({algorithm})), key, algorithm)
    assert found is (Refusal.BAD_SIGNATURE if signature else Refusal.MALFORMED)


async def test_shared_secrets_verify_only_where_they_are_configured() -> None:
    """S90: HS256 for an explicit shared secret; never beside keys that are published."""
    token = jwt.encode(claims(NOW), SECRET, "HS256", headers=header(alg=None))
    settings = issuer("", secret=SECRET, algorithms=frozenset({"HS256"}))
    keys = SecretKey(SECRET, settings.algorithms)
    assert (await validate(token, settings, keys, NOW))["sub"] == "alice"
    with pytest.raises(TokenError) as caught:
        await validate(token, issuer(), FixedKeys(), NOW)
    assert caught.value.reason is Refusal.UNSUPPORTED_ALGORITHM
    assert await outcome(token, settings, SECRET[:16], "HS256") is Refusal.BAD_SIGNATURE
    assert await outcome(token, settings, b"", "HS256") is Refusal.BAD_SIGNATURE


async def test_a_key_of_another_kind_never_verifies() -> None:
    """CVE-2022-29217, CVE-2026-48523: key, header and configuration have to agree (threats 2.1)."""
    public = rsa_key(KEY_ID).public_key()
    secret = jwt.encode(claims(NOW), SECRET, "HS256", headers=header(alg=None))
    settings = issuer(algorithms=frozenset({"HS256", "RS256"}))
    assert await outcome(secret, settings, public, "RS256", "HS256") is Refusal.BAD_SIGNATURE
    assert await outcome(sign(header(), claims(NOW)), settings, SECRET, "RS256", "HS256") is Refusal.BAD_SIGNATURE


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
async def test_a_weak_key_never_verifies() -> None:
    """A second line behind `read_jwks`: PyJWT alone only warns (mcp.md, library verdicts)."""
    private = generate_private_key(65_537, 1_024)
    token = sign(header(), claims(NOW), private)
    assert await outcome(token, issuer(), private.public_key(), "RS256") is Refusal.BAD_SIGNATURE


async def test_types_are_taken_from_configuration_but_some_are_never_taken() -> None:
    """RFC 9068, section 4; RFC 9701, section 8: an answer of an introspection is no access token."""
    public = rsa_key(KEY_ID).public_key()
    loose = issuer(types=frozenset({"jwt", "", "logout+jwt", "token-introspection+jwt", "application/logout+jwt"}))
    for typ, expected in (
        ("JWT", None),
        (None, None),
        ("at+jwt", Refusal.WRONG_TYPE),
        ("logout+jwt", Refusal.WRONG_TYPE),
        ("application/logout+jwt", Refusal.WRONG_TYPE),
        ("token-introspection+jwt", Refusal.WRONG_TYPE),
    ):
        assert await outcome(sign(header(typ=typ), claims(NOW)), loose, public, "RS256") is expected


@pytest.mark.parametrize("name", ["exp", "iss", "sub", "aud"])
async def test_some_claims_are_needed_whatever_is_configured(name: str) -> None:
    """CVE-2026-11718, CVE-2026-55669: a missing claim never skips its check (threats 2.2)."""
    token = sign(header(), claims(NOW, **{name: None}))
    settings = issuer(required_claims=())
    assert await outcome(token, settings, rsa_key(KEY_ID).public_key(), "RS256") is Refusal.MISSING_CLAIM


# RFC 7515, appendices A.1 to A.3: the payload is RFC 7519's example, {"iss":"joe", "exp":1300819380, …}.
PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
A1 = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
A1_KEY = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
A2 = (
    f"eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
    "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j"
    "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ"
    "Ge77Rw"
)
A2_KEY = {
    "kty": "RSA",
    "n": (
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2l"
        "ZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEM"
        "a2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2P"
        "AcDTW9gb54h4FRWyuXpoQ"
    ),
    "e": "AQAB",
}
A3 = (
    f"eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)
A3_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


def published(key: object, algorithm: str) -> PublicKey | bytes:
    """Return a key of the RFC."""
    keys, problems = read_jwks(json.dumps({"keys": [key]}).encode(), frozenset({algorithm}))
    assert not problems
    return keys[0].key


@pytest.mark.parametrize(
    ("token", "algorithm", "key"),
    [
        (A1, "HS256", base64.urlsafe_b64decode(A1_KEY + "==")),
        (A2, "RS256", published(A2_KEY, "RS256")),
        (A3, "ES256", published(A3_KEY, "ES256")),
    ],
    ids=["a1", "a2", "a3"],
)
async def test_the_examples_of_rfc_7515_verify_and_are_no_access_tokens(
    token: str, algorithm: str, key: PublicKey | bytes
) -> None:
    """Their signatures hold: what they lack is a subject. One bit of the payload changed, and they do not hold."""
    settings = issuer(issuer="joe", algorithms=frozenset({algorithm}), types=frozenset({"jwt", ""}))
    assert await outcome(token, settings, key, algorithm) is Refusal.MISSING_CLAIM
    edited = token.replace("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Yi")
    assert await outcome(edited, settings, key, algorithm) is Refusal.BAD_SIGNATURE


async def test_the_unsecured_example_of_rfc_7519_is_refused() -> None:
    """RFC 7519, section 6.1; and so it is with any signature put behind it."""
    settings = issuer(issuer="joe", types=frozenset({"jwt", ""}))
    public = rsa_key(KEY_ID).public_key()
    assert await outcome(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.", settings, public, "RS256") is Refusal.MALFORMED
    signed = f"eyJhbGciOiJub25lIn0.{PAYLOAD}.AAAA"
    assert await outcome(signed, settings, public, "RS256") is Refusal.UNSUPPORTED_ALGORITHM


async def test_claims_come_back_as_they_were_signed() -> None:
    """The one good outcome: the payload itself."""
    found = await validate(sign(header(), claims(NOW)), issuer(), FixedKeys(), NOW)
    assert found == claims(NOW)
    assert found["aud"] == AUDIENCE
