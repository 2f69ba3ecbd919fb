"""Which published keys may verify, and which are left out (issue 4, item 2; threats 2.1)."""

from __future__ import annotations

import base64
import json
import math
import random
import time
import tracemalloc

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from authz.tokens.keys import MAX_BYTES, Key, KeysError, is_roca, read_jwks
from tests.tokens.jwk import Jwk, ec_jwk, ed_jwk, key_set, number, rsa_jwk, rsa_key, text

RS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ES = frozenset({"ES256", "ES384", "ES512"})
EVERYTHING = RS | ES | {"EdDSA", "HS256", "HS384", "HS512"}


def usable(*keys: object, allowed: frozenset[str] = EVERYTHING) -> tuple[Key, ...]:
    """Return the keys that may verify."""
    return read_jwks(key_set(*keys), allowed)[0]


def problem(*keys: object, allowed: frozenset[str] = EVERYTHING) -> str:
    """Return why the first key was left out; a good one beside it is used all the same (CVE-2026-102274)."""
    found, problems = read_jwks(key_set(*keys, ed_jwk("beside")), allowed | {"EdDSA"})
    assert [key.kid for key in found] == ["beside"]
    assert len(problems) == len(keys)
    return problems[0]


@pytest.mark.parametrize(
    ("jwk", "algorithms"),
    [
        (rsa_jwk(), RS),
        (rsa_jwk(alg="PS384"), {"PS384"}),
        (rsa_jwk(use="sig", key_ops=["verify"]), RS),
        (rsa_jwk(x5c=["nonsense"], x5t="x", x5u="file:///etc/passwd", foo={"bar": 1}), RS),
        (ec_jwk(), {"ES256"}),
        (ec_jwk(curve=ec.SECP384R1(), alg="ES384"), {"ES384"}),
        (ec_jwk(curve=ec.SECP521R1()), {"ES512"}),
        (ed_jwk(alg="EdDSA"), {"EdDSA"}),
    ],
)
def test_a_key_verifies_with_the_algorithms_of_its_kind(jwk: Jwk, algorithms: set[str]) -> None:
    """Issue 4, item 2; RFC 7518, section 3.1."""
    (key,) = usable(jwk)
    assert key.kid == jwk["kid"]
    assert key.algorithms == algorithms


def test_a_key_verifies_with_no_algorithm_that_is_not_allowed() -> None:
    """S33, CVE-2026-48523: the algorithm belongs to the key, the header and the configuration at once."""
    (key,) = usable(rsa_jwk(), allowed=frozenset({"RS256"}))
    assert key.algorithms == {"RS256"}
    assert "not allowed here" in problem(rsa_jwk(), allowed=ES)
    assert "not allowed here" in problem(rsa_jwk(alg="RS512"), allowed=frozenset({"RS256"}))


def test_a_key_that_was_read_verifies_what_its_other_half_signed() -> None:
    """Issue 4, item 3: the key goes to PyJWT as it is."""
    (key,) = usable(rsa_jwk())
    token = jwt.encode({"sub": "ann"}, rsa_key(), algorithm="RS256")
    assert not isinstance(key.key, bytes)
    assert jwt.decode(token, key.key, algorithms=["RS256"]) == {"sub": "ann"}


@pytest.mark.parametrize("algorithm", ["ES521", "ES224", "ES384", "RS256", "none", "HS256", "", 5, None, ["ES256"], {}])
def test_a_key_for_another_algorithm_is_left_out(algorithm: object) -> None:
    """Wycheproof's wrong and invalid algorithm: P-256 that states `ES521`."""
    assert "`alg`" in problem(ec_jwk(alg=algorithm))


@pytest.mark.parametrize("use", ["enc", "", "SIG", "sig ", 1, None, ["sig"]])
def test_a_key_for_another_use_is_left_out(use: object) -> None:
    """Wycheproof's wrong use (353 to 356): a key for encryption verifies nothing."""
    assert "`use`" in problem(rsa_jwk(use=use))


@pytest.mark.parametrize("operations", [["sign"], [], ["encrypt", "wrapKey"], "verify", None, 1, [["verify"]]])
def test_a_key_for_other_operations_is_left_out(operations: object) -> None:
    """Wycheproof's wrong `key_ops`."""
    assert "`key_ops`" in problem(rsa_jwk(key_ops=operations))


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_a_key_published_with_its_private_half_is_left_out_and_reported(member: str) -> None:
    """CVE-2026-102275; threats 3a: a key whose entry carries private members."""
    said = problem({**rsa_jwk(), member: "AQAB"})
    assert said.startswith("key `rsa` is published with its private half")
    assert "AQAB" not in said


@pytest.mark.parametrize("secret", ["", text(b"x" * 8), text(b"x" * 64)])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_shared_secret_in_a_set_is_left_out(secret: str, algorithm: str) -> None:
    """Threats 2.1: Wycheproof's mixed set, short and empty HMAC keys; HS* never stands beside a set."""
    said = problem({"kty": "oct", "kid": "hmac", "alg": algorithm, "k": secret}, ec_jwk(d="x"))
    assert "shared secret" in said
    assert not secret or secret not in said


def test_keys_that_share_a_name_are_all_left_out() -> None:
    """Wycheproof's duplicate `kid`: which one is meant is anybody's guess."""
    good = ec_jwk("good")
    for twin in (ec_jwk("twin"), rsa_jwk("twin"), rsa_jwk("twin", d="x"), rsa_jwk("twin", use="enc"), {"kid": "twin"}):
        found, problems = read_jwks(key_set(rsa_jwk("twin"), good, twin), EVERYTHING)
        assert [key.kid for key in found] == ["good"]
        assert len(problems) == 2
        assert "shares its `kid`" in problems[0]


def test_names_differ_when_their_case_does() -> None:
    """Threats 3a: a case-changed `kid` is another."""
    assert [key.kid for key in usable(ec_jwk("a"), ec_jwk("A"))] == ["a", "A"]


@pytest.mark.parametrize("kid", ["", 1, None, ["a"], {"a": 1}, True, "x" * 257])
def test_a_key_with_a_name_that_is_none_is_left_out(kid: object) -> None:
    """Threats 3a: hostile `kid`s."""
    assert "`kid`" in problem({**rsa_jwk(None), "kid": kid})


def test_a_key_without_a_name_is_kept() -> None:
    """RFC 7517, section 4.5: `kid` is optional."""
    assert [key.kid for key in usable(rsa_jwk(None))] == [""]


@pytest.mark.parametrize("bits", [1024, 2040])
def test_rsa_below_2048_bits_is_left_out(bits: int) -> None:
    """Wycheproof's 1024 bits; RFC 7518, section 3.3."""
    assert f"RSA of {bits} bits" in problem(rsa_jwk(key=rsa_key(bits=bits)))


def test_rsa_beyond_any_use_is_left_out_without_being_decoded() -> None:
    """Threats 2.1: what is read is bounded."""
    modulus = rsa_key().public_key().public_numbers().n
    assert "too long" in problem({**rsa_jwk(), "n": number(modulus << 6_200 | 1)})
    assert "malformed" in problem({**rsa_jwk(), "n": "A" * 200_000})


@pytest.mark.parametrize("exponent", [1, 2, 3, 65_535, 65_536, 65_538])
def test_rsa_with_a_weak_exponent_is_left_out(exponent: int) -> None:
    """Wycheproof's exponent 1."""
    assert "exponent" in problem(rsa_jwk(e=number(exponent)))


@pytest.mark.parametrize("factor", [2, 3, 5, 167])
def test_rsa_with_a_small_factor_is_left_out(factor: int) -> None:
    """Threats 2.1: such a modulus is no product of two primes."""
    modulus = (1 << 2_060) // factor * factor + (0 if factor != 2 else 2)
    assert "small factor" in problem(rsa_jwk(n=number(modulus)))


def roca_like(rng: random.Random, primes: int) -> int:
    """Make a modulus as the flawed generator did: each factor k·M + 65537^a mod M; factors need not be prime here."""
    small = [n for n in range(2, 720) if all(n % d for d in range(2, math.isqrt(n) + 1))][:primes]
    product = math.prod(small)
    size = 1_026 - product.bit_length()
    factors = [
        (rng.getrandbits(size) | 1 << (size - 1)) * product + pow(65_537, rng.getrandbits(64), product) for _ in "pq"
    ]
    return factors[0] * factors[1]


@pytest.mark.parametrize("primes", [39, 71, 126])
def test_rsa_from_the_flawed_generator_is_left_out(primes: int) -> None:
    """Wycheproof's ROCA key (CVE-2017-15361), at every size of the generator's product."""
    rng = random.Random(primes)
    for _ in range(20):
        modulus = roca_like(rng, primes)
        assert is_roca(modulus)
        assert "ROCA" in problem(rsa_jwk(n=number(modulus)))


def test_other_moduli_do_not_bear_that_fingerprint() -> None:
    """CVE-2017-15361: a good key is not mistaken for a bad one."""
    rng = random.Random(7)
    assert not any(is_roca(rng.getrandbits(2_048) | 1) for _ in range(20_000))
    assert not is_roca(rsa_key().public_key().public_numbers().n)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": text(b"\x01" * 32)}, "malformed"),  # not on the curve
        ({"x": text(b"\x01" * 31)}, "coordinates"),
        ({"x": text(b"\x01" * 33)}, "malformed"),
        ({"x": ""}, "malformed"),
        ({"x": None}, "malformed"),
        ({"x": 5}, "malformed"),
        ({"x": "+" * 43}, "malformed"),
        ({"x": "A" * 42 + "B"}, "malformed"),  # not canonical
        ({"x": "A" * 43 + "="}, "malformed"),
        ({"x": "é" * 43}, "malformed"),
        ({"crv": "P-384"}, "coordinates"),
        ({"crv": "secp256k1"}, "curve"),
        ({"crv": "Ed25519"}, "curve"),
        ({"crv": None}, "curve"),
        ({"crv": ["P-256"]}, "curve"),
        ({"kty": "RSA"}, "malformed"),
        ({"kty": "OKP"}, "curve"),
        ({"kty": "ec"}, "kind"),
        ({"kty": None}, "kind"),
        ({"kty": ["EC"]}, "kind"),
    ],
)
def test_a_malformed_key_is_left_out_and_the_others_are_used(change: Jwk, said: str) -> None:
    """CVE-2026-102274; Wycheproof's invalid point, wrong curve and wrong `kty`."""
    assert said in problem({**ec_jwk(), **change})


def test_a_coordinate_that_is_not_written_canonically_is_left_out() -> None:
    """Threats 2.1 (CVE-2026-102269): one value has one spelling."""
    jwk = ec_jwk()
    written = str(jwk["x"])
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = written[:-1] + alphabet[alphabet.index(written[-1]) | 1]
    assert base64.urlsafe_b64decode(other + "=") == base64.urlsafe_b64decode(written + "=")
    assert "malformed" in problem({**jwk, "x": other})
    assert usable(jwk)


@pytest.mark.parametrize("member", [None, 1, "key", [], [["kty", "RSA"]], True])
def test_what_is_no_key_is_left_out(member: object) -> None:
    """CVE-2026-102274."""
    assert problem(member).startswith("key number 1")


def test_a_point_of_small_order_is_left_out() -> None:
    """Threats 2.1: for such Ed25519 keys, signatures verify that nobody made."""
    prime = 2**255 - 19
    for y in (*small_orders(prime), prime, prime + 1, 2**255 - 1):
        for sign in (0, 1 << 255):
            assert "small order" in problem({**ed_jwk(), "x": text((y | sign).to_bytes(32, "little"))})
    assert "malformed" in problem({**ed_jwk(), "x": text(b"\x05" * 31)})
    assert "curve" in problem({**ed_jwk(), "crv": "Ed448"})
    assert "curve" in problem({**ed_jwk(), "crv": "X25519"})


def small_orders(prime: int) -> set[int]:
    """Find the y of every point that eight times itself is nothing, by the curve's own arithmetic."""
    d = -121_665 * pow(121_666, -1, prime) % prime
    root = pow(2, (prime - 1) // 4, prime)

    def double(x: int, y: int) -> tuple[int, int]:
        product = d * x * x * y * y
        return (
            2 * x * y * pow(1 + product, -1, prime) % prime,
            (y * y + x * x) * pow(1 - product, -1, prime) % prime,
        )

    def x_of(y: int) -> int | None:
        square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
        x = pow(square, (prime + 3) // 8, prime)
        return next((found for found in (x, x * root % prime) if found * found % prime == square), None)

    found = {1}
    candidate = 2
    while len(found) < 5:
        # A random point times the group's odd order lies among the eight.
        x = x_of(candidate)
        if x is not None:
            order = 2**252 + 27742317777372353535851937790883648493
            point, total = (x, candidate), (0, 1)
            while order:
                if order & 1:
                    total = add(total, point, d, prime)
                point, order = double(*point), order >> 1
            found.add(total[1])
            found.add(double(*total)[1])
        candidate += 1
    return found


def add(one: tuple[int, int], two: tuple[int, int], d: int, prime: int) -> tuple[int, int]:
    """Add two points of the curve."""
    product = d * one[0] * two[0] * one[1] * two[1]
    return (
        (one[0] * two[1] + two[0] * one[1]) * pow(1 + product, -1, prime) % prime,
        (one[1] * two[1] + one[0] * two[0]) * pow(1 - product, -1, prime) % prime,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"keys"',
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b'{"keys": "RSA"}',
        b"<html>it works</html>",
        b'{"keys": []',
        b'{"keys": []} {"keys": []}',
        b'{"keys": [], "keys": []}',
        b'{"keys": [{"kid": "a", "kid": "b"}]}',
        b'{"keys": [{"kid": "a", "x": NaN}]}',
        b'{"keys": [{"kid": "a", "x": 1e999}]}',
        b'\xef\xbb\xbf{"keys": []}',
        b'{"keys": ["\xff"]}',
        '{"keys": []}'.encode("utf-16"),
        b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"keys": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
        b'{"keys": [' + b",".join([b"{}"] * 65) + b"]}",
        b'{"keys": [' + b",".join([b"1"] * 20_000) + b"]}",
        b'{"keys": []' + b" " * MAX_BYTES + b"}",
    ],
)
def test_what_is_no_key_set_is_refused_whole(body: bytes) -> None:
    """Threats 3d-17 to 21: HTML, deep, huge, 20 000 keys; CVE-2026-101918: no recursion escapes."""
    with pytest.raises(KeysError) as caught:
        read_jwks(body, EVERYTHING)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_hostile_set_costs_little_time() -> None:
    """Threats 3d-18: what would hold up decisions is refused unread; a second is far more than that takes."""
    began = time.process_time()
    for member in (b"0", b"{}", b"[]", b'{"a":0}', b'""'):
        for wrapped in (b'{"keys":[%s]}', b'{"keys":[],"x":[%s]}', b'{"keys":[{"x":[%s]}]}'):
            many = b",".join([member] * 60_000)
            with pytest.raises(KeysError):
                read_jwks(wrapped % many[: MAX_BYTES - 100].rpartition(b",")[0], EVERYTHING)
    assert time.process_time() - began < 1


def test_an_empty_set_has_no_keys_and_no_problems() -> None:
    """Issue 4: the client of the set tells it from one whose keys are all unusable."""
    assert read_jwks(key_set(), EVERYTHING) == ((), ())


def test_a_set_of_as_many_keys_as_are_read_is_read() -> None:
    """Issue 4, item 2."""
    assert len(usable(*(ec_jwk(str(place)) for place in range(64)))) == 64


@pytest.mark.parametrize(
    "member",
    [
        b"{}",
        b"[]",
        b"0",
        b'{"a":{}}',
        b'"' + b"a" * 100 + b'"',
        b'{"' + b"b" * 60_000 + b'":[1,2,3]}',
        b'{"kty":"RSA"}',
    ],
)
def test_a_hostile_set_costs_little_memory(member: bytes) -> None:
    """Issue 4, speed: below 20 MB."""
    body = b'{"keys":[' + b",".join([member] * ((MAX_BYTES - 20) // (len(member) + 1))) + b"]}"
    assert len(body) <= MAX_BYTES
    tracemalloc.start()
    try:
        read_jwks(body, EVERYTHING)
    except KeysError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20_000_000


def test_no_problem_and_no_key_shows_what_the_issuer_sent() -> None:
    """Threats 3d-47: what comes from outside is shown short and escaped."""
    said = problem({**rsa_jwk("a\n\x1b[31m" + "x" * 100), "use": "planted"})
    assert "\n" not in said
    assert "\x1b" not in said
    assert "planted" not in said
    (key,) = usable(ed_jwk())
    assert "key=" not in repr(key)


def test_reading_a_set_is_the_same_each_time() -> None:
    """Issue 4, item 2."""
    body = key_set(rsa_jwk(), ec_jwk(), {"kty": "oct", "k": "x"})
    first, second = read_jwks(body, EVERYTHING), read_jwks(body, EVERYTHING)
    assert [(key.kid, key.algorithms) for key in first[0]] == [(key.kid, key.algorithms) for key in second[0]]
    assert first[1] == second[1]
    assert json.loads(body)["keys"][0]["kid"] == "rsa"
    assert isinstance(first[0][0].key, rsa.RSAPublicKey)
