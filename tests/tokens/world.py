"""One issuer as tests know it: its keys, its configuration, and tokens that it did or did not sign."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from authz.tokens.errors import Refusal, refused
from authz.tokens.issuer import Issuer
from authz.tokens.keys import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.tokens.http import Response

ISSUER = "https://idp.example/realms/main"
DISABLED = "https://idp.example/realms/disabled"
AUDIENCE = "https://mcp.example/mcp"
KEY_ID = "k1"
REVOKED = "jti-that-was-revoked"
HASHES: Mapping[str, type[HashAlgorithm]] = {"RS256": SHA256, "RS384": SHA384, "RS512": SHA512}


@cache
def rsa_key(name: str) -> RSAPrivateKey:
    """Return the key of this name, made once: `k1` is the issuer's, the others are others'."""
    return generate_private_key(65_537, 2_048)


def b64(octets: bytes) -> str:
    """Encode as JWS does."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def octets(value: object) -> bytes:
    """Write a header or a payload; bytes are taken as they are."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def sign(header: object, claims: object, key: RSAPrivateKey | None = None, algorithm: str = "RS256") -> str:
    """Make a token with a good signature, whatever header and payload are."""
    text = f"{b64(octets(header))}.{b64(octets(claims))}"
    signature = (key or rsa_key(KEY_ID)).sign(text.encode(), padding.PKCS1v15(), HASHES[algorithm]())
    return f"{text}.{b64(signature)}"


def header(**changed: object) -> dict[str, object]:
    """Return a good header, changed; None leaves a name out."""
    return _changed({"alg": "RS256", "typ": "at+jwt", "kid": KEY_ID}, changed)


def claims(now: float, **changed: object) -> dict[str, object]:
    """Return good claims, changed; None leaves a name out."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "exp": int(now) + 600,
        "iat": int(now) - 5,
        "jti": "j-1",
        "scope": "files:read files:write",
        "client_id": "agent",
        "tenant_id": "acme",
        "roles": ["editor"],
    }
    return _changed(good, changed)


def _changed(good: dict[str, object], changed: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def issuer(jwks_uri: str = "https://idp.example/keys", **changed: object) -> Issuer:
    """Return the issuer's configuration, changed."""
    good: dict[str, object] = {
        "issuer": ISSUER,
        "audiences": frozenset({AUDIENCE}),
        "algorithms": frozenset({"RS256"}),
        "jwks_uri": jwks_uri,
        "tenant_path": ("tenant_id",),
        "tenant_required": True,
        "roles_path": ("roles",),
        "insecure_loopback": True,
    }
    return Issuer(**{**good, **changed})  # type: ignore[arg-type]  # fields by name


def jwk(name: str, **more: object) -> dict[str, object]:
    """Return the public half of a key as the issuer publishes it."""
    numbers = rsa_key(name).public_key().public_numbers()
    n, e = (b64(number.to_bytes((number.bit_length() + 7) // 8)) for number in (numbers.n, numbers.e))
    return {"kty": "RSA", "kid": name, "n": n, "e": e, "use": "sig", "alg": "RS256", **more}


def key_set() -> bytes:
    """Return what the issuer publishes: two good keys, one that leaked, one that is for encryption."""
    private = rsa_key("leaked").private_numbers()
    leaked = b64(private.d.to_bytes((private.d.bit_length() + 7) // 8))
    keys = [jwk(KEY_ID), jwk("k2"), jwk("leaked", d=leaked), jwk("sealing", use="enc")]
    return json.dumps({"keys": keys}).encode()


@dataclass
class FixedKeys:
    """A key source without a network: the issuer's keys by id; it counts how often it is asked."""

    asked: list[str] = field(default_factory=list)

    async def key(self, kid: str, algorithm: str) -> Key:
        """Return the key, or refuse as a real source does."""
        self.asked.append(kid)
        if kid not in {KEY_ID, "k2"} or algorithm != "RS256":
            raise refused(Refusal.UNKNOWN_KEY)
        return Key(kid, frozenset({"RS256"}), rsa_key(kid).public_key())


class NoHttp:
    """An `Http` that fails the test when it is used."""

    async def get(self, url: str, *, deadline: float, max_bytes: int) -> Response:
        """Fail."""
        raise AssertionError(f"asked {url}")

    async def post(
        self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None, deadline: float, max_bytes: int
    ) -> Response:
        """Fail."""
        raise AssertionError(f"asked {url}")

    async def close(self) -> None:
        """Have nothing to close."""


class Published:
    """A web server on loopback that publishes documents by path, and counts who asks for what."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        """Serve until `close`."""
        self.documents = dict(documents)
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                body = outer.documents.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def do_POST(self) -> None:
                outer.asked.append(self.path)
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
