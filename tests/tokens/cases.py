"""The catalogue of hostile tokens: one line each, with the one reason for which it has to be refused.

`None` marks what is accepted on purpose, without side effects. The catalogue has 180 entries in seven
groups; those whose number ends in a letter come on top of it. Tokens are made for a time, so that the
same catalogue runs through the library with a clock of its own and through a server with the real one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authz.tokens.errors import Refusal
from tests.tokens.world import (
    AUDIENCE,
    DISABLED,
    ISSUER,
    KEY_ID,
    REVOKED,
    b64,
    claims,
    header,
    jwk,
    octets,
    rsa_key,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = {"form": 26, "alg": 26, "header": 39, "payload": 15, "time": 25, "names": 34, "rights": 15}
"""How many entries of the catalogue each group has: 180 together."""


@dataclass(frozen=True, slots=True)
class Case:
    """One token and what has to become of it."""

    id: str
    token: str
    expected: Refusal | None


def cases(now: float, trap: str = "https://trap.example") -> list[Case]:
    """Return the catalogue for a time; `trap` is an address that nobody may ever ask."""
    found: list[Case] = []
    for group, entries in (
        ("form", _form(now)),
        ("alg", _algorithms(now)),
        ("header", _headers(now, trap)),
        ("payload", _payloads(now)),
        ("time", _times(now)),
        ("names", _names(now)),
        ("rights", _rights(now)),
    ):
        found += [Case(f"{group}-{name}", token, expected) for name, token, expected in entries]
    return found


def _form(now: float) -> Iterator[tuple[str, str, Refusal | None]]:
    good = sign(header(), claims(now))
    head, body, tail = good.split(".")
    other = sign(header(), claims(now, sub="bob"))
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    yield "01-empty", "", Refusal.MALFORMED
    yield "02-one-dot", ".", Refusal.MALFORMED
    yield "03-two-dots", "..", Refusal.MALFORMED
    yield "04-one-part", head, Refusal.MALFORMED
    yield "05-two-parts", f"{head}.{body}", Refusal.MALFORMED
    yield "06-four-parts", f"{good}.{tail}", Refusal.MALFORMED
    yield "07-five-parts-like-a-jwe", f"{good}.{body}.{tail}", Refusal.MALFORMED
    yield "08-bearer-inside", f"Bearer {good}", Refusal.MALFORMED
    yield "09-leading-space", f" {good}", Refusal.MALFORMED
    yield "10-trailing-newline", f"{good}\n", Refusal.MALFORMED
    yield "11-nul-appended", f"{good}\0", Refusal.MALFORMED
    yield "12-newline-inside", f"{head}.{body[:8]}\n{body[8:]}.{tail}", Refusal.MALFORMED
    yield "13-padding", f"{good}==", Refusal.MALFORMED
    yield "14-other-alphabet", f"{head}.{body}.+/{tail[2:]}", Refusal.MALFORMED
    yield "15-last-bits", good[:-1] + last[last.index(good[-1]) + 1], Refusal.MALFORMED
    yield "15a-last-bits-of-the-header", sign_noncanonical(now), Refusal.MALFORMED
    yield "16-not-ascii", f"{head}.{body}é.{tail}", Refusal.MALFORMED
    yield "17-utf-16", good.encode("utf-16").decode("latin-1"), Refusal.MALFORMED
    yield "18-signature-stripped", f"{head}.{body}.", Refusal.MALFORMED
    yield "19-signature-cut", f"{head}.{body}.{b64(base64.urlsafe_b64decode(tail + '==')[:128])}", Refusal.BAD_SIGNATURE
    yield "20-signature-of-another", f"{head}.{body}.{other.split('.')[2]}", Refusal.BAD_SIGNATURE
    yield "21-payload-edited", f"{head}.{other.split('.')[1]}.{tail}", Refusal.BAD_SIGNATURE
    yield "22-ten-megabytes", f"{head}.{'A' * 10_000_000}.{tail}", Refusal.TOO_LARGE
    yield "23-a-million-dots", "." * 1_000_000, Refusal.TOO_LARGE
    yield "23a-a-thousand-dots", f"{head}{'.' * 1_000}{tail}", Refusal.MALFORMED
    general = {"payload": body, "signatures": [{"protected": head, "signature": tail}]}
    yield "24-json-serialised", json.dumps(general), Refusal.MALFORMED
    yield "24a-json-without-signatures", json.dumps({"payload": body, "signatures": []}), Refusal.MALFORMED
    flat = {"payload": body, "protected": head, "signature": tail}
    yield "25-json-flattened", json.dumps(flat), Refusal.MALFORMED
    yield "26-two-headers-joined", f"{good}, Bearer {other}", Refusal.MALFORMED
    yield "26a-surrogate", f"{good}\ud800", Refusal.MALFORMED


def sign_noncanonical(now: float) -> str:
    """Return a token whose header ends in bits that decoding drops, signed as it stands."""
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    head = b64(octets(header(kid=KEY_ID)))
    while len(head) % 4 == 0:
        head = b64(octets(header()) + b" ")
    text = f"{head[:-1]}{chr(ord(head[-1]) + 1)}.{b64(octets(claims(now)))}"
    return f"{text}.{b64(rsa_key(KEY_ID).sign(text.encode(), padding.PKCS1v15(), SHA256()))}"


def _algorithms(now: float) -> Iterator[tuple[str, str, Refusal | None]]:
    unsigned = (
        *("none", "None", "NONE", "nOnE", "", "RS256 ", "rs256", "RS256\0", None, 0, True, ["RS256"], {"RS256": 1}),
        *("HS256", "RS512", "PS256", "ES256", "EdDSA", "dir"),
    )
    for number, algorithm in enumerate(unsigned, 1):
        head = octets({**header(), "alg": algorithm})
        token = f"{b64(head)}.{b64(octets(claims(now)))}.{b64(bytes(256))}"
        yield f"{number:02}-{algorithm!r}", token, Refusal.UNSUPPORTED_ALGORITHM
    yield "20-absent", sign(header(alg=None), claims(now)), Refusal.UNSUPPORTED_ALGORITHM
    public = rsa_key(KEY_ID).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for name, secret in (
        ("21-hmac-with-pem", pem),
        ("22-hmac-with-stripped-pem", pem.strip().replace(b"\n", b"\r\n")),
        ("22a-hmac-with-indented-pem", b" \t" + pem),
        ("22b-hmac-with-bom-and-pem", b"\xef\xbb\xbf" + pem),
        ("23-hmac-with-der", der),
        ("24-hmac-with-jwk", json.dumps(jwk(KEY_ID)).encode()),
        ("24a-hmac-with-ssh", public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)),
        ("25-hmac-with-nothing", b""),
    ):
        text = f"{b64(octets(header(alg='HS256')))}.{b64(octets(claims(now)))}"
        signature = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        yield name, f"{text}.{b64(signature)}", Refusal.UNSUPPORTED_ALGORITHM
    yield "26-rs512-says-the-header", sign(header(alg="RS512"), claims(now)), Refusal.UNSUPPORTED_ALGORITHM
    yield "26a-rs512-truly", sign(header(alg="RS512"), claims(now), algorithm="RS512"), Refusal.UNSUPPORTED_ALGORITHM


def _headers(now: float, trap: str) -> Iterator[tuple[str, str, Refusal | None]]:
    def made(key: str = KEY_ID, **changed: object) -> str:
        return sign(header(**changed), claims(now), rsa_key(key))

    yield "01-evil-jwk", made("evil", jwk=jwk("evil", kid=KEY_ID)), Refusal.BAD_SIGNATURE
    yield "02-evil-jku", made("evil", jku=f"{trap}/jwks"), Refusal.BAD_SIGNATURE
    yield "03-evil-x5u", made("evil", x5u=f"{trap}/chain.pem"), Refusal.BAD_SIGNATURE
    yield "04-evil-x5c", made("evil", x5c=["MIIB"]), Refusal.BAD_SIGNATURE
    yield "05-jku-and-a-good-signature", made(jku=f"{trap}/jwks"), None
    yield "06-jwk-and-a-good-signature", made(jwk=jwk("evil")), None
    yield "07-kid-traversal", made(kid="../../../../dev/null"), Refusal.UNKNOWN_KEY
    yield "08-kid-sql", made(kid="x' UNION SELECT 'k1"), Refusal.UNKNOWN_KEY
    yield "09-kid-file", made(kid="file:///etc/passwd"), Refusal.UNKNOWN_KEY
    yield "10-kid-nul", made(kid="k1\0"), Refusal.UNKNOWN_KEY
    yield "11-kid-case", made(kid="K1"), Refusal.UNKNOWN_KEY
    yield "12-kid-empty", made(kid=""), Refusal.UNKNOWN_KEY
    yield "13-kid-number", made(kid=1), Refusal.MALFORMED
    yield "14-kid-null", sign({**header(), "kid": None}, claims(now)), Refusal.MALFORMED
    yield "15-kid-list", made(kid=[KEY_ID]), Refusal.MALFORMED
    yield "16-kid-object", made(kid={KEY_ID: 1}), Refusal.MALFORMED
    yield "17-kid-100-kb", made(kid="k" * 100_000), Refusal.TOO_LARGE
    yield "17a-kid-1-kb", made(kid="k" * 1_000), Refusal.UNKNOWN_KEY
    yield "18-kid-crlf", made(kid="k1\r\nX-Injected: 1"), Refusal.UNKNOWN_KEY
    yield "19-kid-absent", made(kid=None), Refusal.UNKNOWN_KEY
    yield "20-crit-unknown", made(crit=["exotic"], exotic=1), Refusal.UNSUPPORTED_HEADER
    yield "21-crit-empty", made(crit=[]), Refusal.UNSUPPORTED_HEADER
    yield "22-crit-exp", made(crit=["exp"]), Refusal.UNSUPPORTED_HEADER
    yield "23-crit-text", made(crit="b64"), Refusal.UNSUPPORTED_HEADER
    yield "24-crit-b64-true", made(crit=["b64"], b64=True), Refusal.UNSUPPORTED_HEADER
    yield "25-b64-false-in-crit", made(crit=["b64"], b64=False), Refusal.UNSUPPORTED_HEADER
    yield "26-b64-false", made(b64=False), Refusal.UNSUPPORTED_HEADER
    yield "27-zip", made(zip="DEF"), Refusal.UNSUPPORTED_HEADER
    yield "27a-encryption", made(enc="A128GCM"), Refusal.UNSUPPORTED_HEADER
    yield "28-typ-jwe", made(typ="JWE"), Refusal.WRONG_TYPE
    yield "29-typ-jwt", made(typ="JWT"), Refusal.WRONG_TYPE
    yield "29a-typ-absent", made(typ=None), Refusal.WRONG_TYPE
    yield "29b-typ-in-capitals", made(typ="AT+JWT"), None
    yield "29c-typ-as-media-type", made(typ="application/at+jwt"), None
    yield "30-typ-logout", made(typ="logout+jwt"), Refusal.WRONG_TYPE
    yield "31-typ-number", made(typ=1), Refusal.WRONG_TYPE
    yield "32-typ-introspection", made(typ="token-introspection+jwt"), Refusal.WRONG_TYPE
    yield "33-cty-nested", made(cty="JWT"), Refusal.UNSUPPORTED_HEADER
    doubled = octets(header())[:-1]
    yield "34-alg-twice", sign(doubled + b',"alg":"none"}', claims(now)), Refusal.MALFORMED
    yield "35-kid-twice", sign(doubled + b',"kid":"k2"}', claims(now)), Refusal.MALFORMED
    yield "36-array", sign([header()], claims(now)), Refusal.MALFORMED
    yield "37-trailing-garbage", sign(octets(header()) + b"}", claims(now)), Refusal.MALFORMED
    yield "38-bom", sign(b"\xef\xbb\xbf" + octets(header()), claims(now)), Refusal.MALFORMED
    yield "39-100000-deep", sign(b"[" * 100_000, claims(now)), Refusal.TOO_LARGE
    deep = doubled + b',"x":' + b"[" * 4_000 + b"]" * 4_000 + b"}"
    yield "39a-4000-deep", sign(deep, claims(now)), Refusal.MALFORMED


def _payloads(now: float) -> Iterator[tuple[str, str, Refusal | None]]:
    good = octets(claims(now))
    text = good.decode()
    for name, payload, reason in (
        ("01-array", octets([claims(now)]), Refusal.MALFORMED),
        ("02-text", octets("sub=alice"), Refusal.MALFORMED),
        ("03-null", b"null", Refusal.MALFORMED),
        ("04-empty", b"", Refusal.MALFORMED),
        ("05-no-json", b"sub=alice", Refusal.MALFORMED),
        ("06-sub-twice", good[:-1] + b',"sub":"admin"}', Refusal.MALFORMED),
        ("06a-name-twice-within", good[:-1] + b',"x":{"a":1,"a":2}}', Refusal.MALFORMED),
        ("06b-sub-twice-by-escape", good[:-1] + b',"s\\u0075b":"admin"}', Refusal.MALFORMED),
        ("07-exp-twice", good[:-1] + b',"exp":99999999999}', Refusal.MALFORMED),
        ("08-invalid-utf-8", good[:-1] + b',"x":"\xff"}', Refusal.MALFORMED),
        ("09-lone-surrogate", good[:-1] + b',"x":"\\ud800"}', Refusal.MALFORMED),
        ("10-100000-deep", b"[" * 100_000, Refusal.TOO_LARGE),
        ("10a-4000-deep", good[:-1] + b',"x":' + b"[" * 4_000 + b"]" * 4_000 + b"}", Refusal.MALFORMED),
        ("11-utf-16", text.encode("utf-16"), Refusal.MALFORMED),
        ("11a-utf-16-without-bom", text.encode("utf-16-le"), Refusal.MALFORMED),
        ("12-bom", b"\xef\xbb\xbf" + good, Refusal.MALFORMED),
        ("13-5000-digits", good[:-1] + b',"x":' + b"9" * 5_000 + b"}", Refusal.MALFORMED),
        ("14-trailing-json", good + good, Refusal.MALFORMED),
        ("15-nan", good[:-1] + b',"x":NaN}', Refusal.MALFORMED),
    ):
        yield name, sign(header(), payload), reason


def _times(now: float) -> Iterator[tuple[str, str, Refusal | None]]:
    whole = int(now)
    year = 365 * 86_400

    def made(**changed: object) -> str:
        return sign(header(), claims(now, **changed))

    def raw(name: str, text: str) -> str:
        rest = octets(claims(now, **{name: None}))
        return sign(header(), rest[:-1] + f',"{name}":{text}}}'.encode())

    yield "01-expired", made(exp=whole - 120, iat=whole - 700), Refusal.EXPIRED
    yield "02-exp-missing", made(exp=None), Refusal.MISSING_CLAIM
    yield "03-exp-null", raw("exp", "null"), Refusal.MISSING_CLAIM
    yield "04-exp-digits", made(exp=str(whole + 600)), Refusal.INVALID_CLAIM
    yield "05-exp-text", made(exp="tomorrow"), Refusal.INVALID_CLAIM
    yield "06-exp-fraction", made(exp=whole + 600.5), None
    yield "07-exp-true", made(exp=True), Refusal.INVALID_CLAIM
    yield "08-exp-list", made(exp=[whole + 600]), Refusal.INVALID_CLAIM
    yield "09-exp-1e400", raw("exp", "1e400"), Refusal.MALFORMED
    yield "10-exp-nan", raw("exp", "NaN"), Refusal.MALFORMED
    yield "11-exp-infinity", raw("exp", "Infinity"), Refusal.MALFORMED
    yield "12-exp-negative", made(exp=-1), Refusal.INVALID_CLAIM
    yield "13-exp-zero", made(exp=0, iat=0), Refusal.EXPIRED
    yield "14-exp-2-to-63", made(exp=2**63), Refusal.INVALID_CLAIM
    yield "15-exp-milliseconds", made(exp=(whole + 600) * 1_000), Refusal.INVALID_CLAIM
    yield "16-exp-in-100-years", made(exp=whole + 100 * year), Refusal.LIFETIME_TOO_LONG
    yield "17-nbf-future", made(nbf=whole + 300), Refusal.NOT_YET_VALID
    yield "18-nbf-nan", raw("nbf", "NaN"), Refusal.MALFORMED
    yield "19-nbf-text", made(nbf="now"), Refusal.INVALID_CLAIM
    yield "20-iat-future", made(iat=whole + 300), Refusal.ISSUED_IN_FUTURE
    yield "21-iat-nan", raw("iat", "NaN"), Refusal.MALFORMED
    yield "22-iat-10-years-ago", made(iat=whole - 10 * year), Refusal.LIFETIME_TOO_LONG
    yield "23-iat-missing", made(iat=None), Refusal.MISSING_CLAIM
    yield "24-exp-before-nbf", made(exp=whole + 5, nbf=whole + 30, iat=whole - 5), Refusal.INVALID_CLAIM
    yield "25-iat-text", made(iat="now"), Refusal.INVALID_CLAIM
    yield "25a-iat-true", made(iat=True), Refusal.INVALID_CLAIM


def _names(now: float) -> Iterator[tuple[str, str, Refusal | None]]:
    def made(**changed: object) -> str:
        return sign(header(), claims(now, **changed))

    def null(name: str) -> str:
        return sign(header(), {**claims(now), name: None})

    yield "01-iss-missing", made(iss=None), Refusal.MISSING_CLAIM
    yield "02-iss-other", made(iss="https://evil.example"), Refusal.UNKNOWN_ISSUER
    yield "03-iss-substring", made(iss=ISSUER[:-1]), Refusal.UNKNOWN_ISSUER
    yield "04-iss-slash", made(iss=f"{ISSUER}/"), Refusal.UNKNOWN_ISSUER
    yield "05-iss-capitals", made(iss=ISSUER.upper()), Refusal.UNKNOWN_ISSUER
    yield "06-iss-list", made(iss=[ISSUER]), Refusal.INVALID_CLAIM
    yield "07-iss-nul", made(iss=f"{ISSUER}\0"), Refusal.UNKNOWN_ISSUER
    yield "08-iss-suffix", made(iss=ISSUER.replace("idp.example", "idp.example.evil.example")), Refusal.UNKNOWN_ISSUER
    yield "09-aud-missing", made(aud=None), Refusal.MISSING_CLAIM
    yield "10-aud-other", made(aud="https://other.example/mcp"), Refusal.WRONG_AUDIENCE
    yield "11-aud-empty-list", made(aud=[]), Refusal.WRONG_AUDIENCE
    yield "12-aud-empty", made(aud=""), Refusal.INVALID_CLAIM
    yield "13-aud-wildcard", made(aud="*"), Refusal.WRONG_AUDIENCE
    yield "14-aud-number", made(aud=1), Refusal.INVALID_CLAIM
    yield "15-aud-list-with-number", made(aud=[AUDIENCE, 1]), Refusal.INVALID_CLAIM
    yield "16-aud-prefix", made(aud=AUDIENCE[:-1]), Refusal.WRONG_AUDIENCE
    yield "17-aud-object", made(aud={AUDIENCE: 1}), Refusal.INVALID_CLAIM
    yield "18-aud-null", null("aud"), Refusal.MISSING_CLAIM
    yield "19-aud-slash", made(aud=f"{AUDIENCE}/"), Refusal.WRONG_AUDIENCE
    yield "20-aud-many-with-ours", made(aud=[AUDIENCE, "https://other.example"]), Refusal.WRONG_AUDIENCE
    yield "20a-aud-nine", made(aud=[AUDIENCE, *(f"https://a{n}.example" for n in range(8))]), Refusal.INVALID_CLAIM
    yield "20b-aud-list-of-ours", made(aud=[AUDIENCE]), None
    yield "21-sub-missing", made(sub=None), Refusal.MISSING_CLAIM
    yield "22-sub-empty", made(sub=""), Refusal.INVALID_CLAIM
    yield "23-sub-number", made(sub=7), Refusal.INVALID_CLAIM
    yield "24-sub-null", null("sub"), Refusal.MISSING_CLAIM
    yield "25-sub-list", made(sub=["alice"]), Refusal.INVALID_CLAIM
    yield "26-sub-nul", made(sub="alice\0"), Refusal.INVALID_CLAIM
    yield "27-sub-megabyte", made(sub="a" * 1_000_000), Refusal.TOO_LARGE
    yield "27a-sub-2000", made(sub="a" * 2_000), Refusal.INVALID_CLAIM
    yield "28-sub-newline", made(sub="alice\nbob"), Refusal.INVALID_CLAIM
    yield "29-sub-confusable", made(sub="аlice"), None  # noqa: RUF001  # the first letter is Cyrillic: another subject
    yield "29a-sub-not-nfc", made(sub="e\u0301ric"), Refusal.INVALID_CLAIM
    yield "30-jti-missing", made(jti=None), None
    yield "31-jti-number", made(jti=1), Refusal.INVALID_CLAIM
    yield "32-azp-mismatch", made(azp="another", client_id="agent"), Refusal.INVALID_CLAIM
    yield "33-client-id-mismatch", made(azp="agent", client_id="another"), Refusal.INVALID_CLAIM
    yield "34-client-id-list", made(client_id=["agent"]), Refusal.INVALID_CLAIM


def _rights(now: float) -> Iterator[tuple[str, str, Refusal | None]]:
    def made(key: str = KEY_ID, **changed: object) -> str:
        return sign(header(kid=key), claims(now, **changed), rsa_key(key))

    def chain(length: int) -> object:
        actor: dict[str, object] = {"sub": "a"}
        for _ in range(1, length):
            actor = {"sub": "a", "act": actor}
        return actor

    yield "01-scope-list", made(scope=["files:read"]), Refusal.INVALID_CLAIM
    yield "01a-scope-two-spaces", made(scope="files:read  files:write"), Refusal.INVALID_CLAIM
    yield "01b-scope-tab", made(scope="files:read\tfiles:write"), Refusal.INVALID_CLAIM
    yield "01c-scope-no-break-space", made(scope="files:read\u00a0files:write"), Refusal.INVALID_CLAIM
    yield "02-100000-scopes", made(scope=" ".join(f"s{n}" for n in range(100_000))), Refusal.TOO_LARGE
    yield "02a-1000-scopes", made(scope=" ".join(f"s{n}" for n in range(1_000))), Refusal.INVALID_CLAIM
    yield "03-roles-text", made(roles="admin"), None
    yield "03a-roles-object", made(roles={"admin": True}), Refusal.INVALID_CLAIM
    yield "03b-roles-with-number", made(roles=["editor", 1]), Refusal.INVALID_CLAIM
    yield "04-tenant-missing", made(tenant_id=None), Refusal.TENANT_MISSING
    yield "05-tenant-wildcard", made(tenant_id="*"), Refusal.INVALID_CLAIM
    yield "05a-tenant-empty", made(tenant_id=""), Refusal.INVALID_CLAIM
    yield "06-tenant-list", made(tenant_id=["acme", "globex"]), Refusal.INVALID_CLAIM
    yield "07-act-500-deep", made(act=chain(500)), Refusal.MALFORMED
    yield "07a-act-5-deep", made(act=chain(5)), Refusal.ACTOR_CHAIN_TOO_LONG
    yield "07b-act-4-deep", made(act=chain(4)), None
    yield "07c-act-without-sub", made(act={"client": "x"}), Refusal.INVALID_CLAIM
    yield "07d-act-of-another-issuer", made(act={"sub": "x", "iss": "https://evil.example"}), Refusal.INVALID_CLAIM
    yield "08-id-token", made(nonce="n-0S6", at_hash="MTIz"), Refusal.WRONG_TYPE
    yield "08a-token-use-id", made(token_use="id"), Refusal.WRONG_TYPE
    yield "08b-refresh-token", made(typ="Refresh"), Refusal.WRONG_TYPE
    yield (
        "08c-logout-token",
        made(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
        Refusal.WRONG_TYPE,
    )
    yield "08d-introspection-answer", made(token_introspection={"active": True}), Refusal.WRONG_TYPE
    yield "09-may-act", made(may_act={"sub": "admin"}), None
    yield "10-cnf", made(cnf={"jkt": "0ZcOCORZNYy"}), Refusal.PROOF_REQUIRED
    yield "11-the-same-jti-twice", made(sub="bob"), None
    yield "12-disabled-issuer", made(iss=DISABLED), Refusal.UNKNOWN_ISSUER
    yield "13-another-server", made(aud=["https://mcp.example/other", "https://mcp.example"]), Refusal.WRONG_AUDIENCE
    yield "14-replay-after-revocation", made(jti=REVOKED), Refusal.REVOKED
    yield "15-key-published-with-its-private-half", made("leaked"), Refusal.UNKNOWN_KEY
    yield "15a-key-for-encryption", made("sealing"), Refusal.UNKNOWN_KEY
