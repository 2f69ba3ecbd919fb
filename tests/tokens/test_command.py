"""`authz-eval token inspect|verify` (issue 4, item 6)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from authz.cli.failures import Program
from authz.tokens.advice import ADVICE
from authz.tokens.errors import Refusal
from tests.tokens.servers import Server, answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = ec.generate_private_key(ec.SECP256R1())
AUDIENCE = "https://mcp.example.com"


@click.group(cls=Program, elsewhere={"token": "authz.cli.token"})
def program() -> None:
    """Stand for `authz-eval`."""


class Ran(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


def run(*arguments: object, stdin: str = "") -> Ran:
    """Run a command."""
    result = CliRunner().invoke(program, ["token", *map(str, arguments)], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


class Issuing(NamedTuple):
    """An issuer on loopback, and a configuration of it."""

    server: Server
    config: Path

    def token(self, **changes: Any) -> str:  # noqa: ANN401  # as claims are
        """Return a token, with these claims in place of the usual; None leaves one out."""
        now = int(time.time())
        usual = {
            "iss": self.server.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "client_id": "web",
            "scope": "docs:read docs:write",
            "roles": ["editor"],
            "tenant_id": "acme",
            "iat": now,
            "exp": now + 600,
            "jti": "token-1",
        }
        claims = {name: value for name, value in {**usual, **changes}.items() if value is not None}
        return jwt.encode(claims, KEY, "ES256", headers={"kid": "key-1", "typ": "at+jwt"})


@pytest.fixture
def issuing(tmp_path: Path) -> Iterator[Issuing]:
    """Run an issuer."""
    with Server() as server:
        jwk = {**json.loads(ECAlgorithm.to_jwk(KEY.public_key())), "kid": "key-1", "alg": "ES256", "use": "sig"}
        server.answers["/keys"] = answer({"keys": [jwk]}, content_type="application/json")
        config = tmp_path / "tokens.toml"
        config.write_text(f"""
[[issuer]]
issuer = "{server.url}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256"]
jwks_uri = "{server.url}/keys"
insecure_loopback = true
roles = "roles"
tenant = "tenant_id"
claims = ["jti"]
""")
        yield Issuing(server, config)


def signature(token: str) -> str:
    """Return the part that is never printed."""
    return token.rpartition(".")[2]


# --- inspect --------------------------------------------------------------------------------


def test_inspect_says_first_that_nothing_is_verified_and_never_prints_the_signature(issuing: Issuing) -> None:
    """Issue 4, item 6: explains, and never prints the signature part."""
    token = issuing.token()
    ran = run("inspect", stdin=token + "\n")
    assert ran.code == 0
    assert ran.out.splitlines()[0].startswith("NOT VERIFIED: anybody can write such a token")
    assert "alg" in ran.out
    assert "ES256" in ran.out
    assert "in 9 minutes" in ran.out or "in 10 minutes" in ran.out
    assert signature(token)[:20] not in ran.out
    assert token[:40] not in ran.out
    assert not issuing.server.asked


def test_inspect_in_json_says_that_nothing_is_verified(issuing: Issuing) -> None:
    """For scripts, which do not read warnings."""
    token = issuing.token()
    found = json.loads(run("inspect", "--format", "json", stdin=token).out)
    assert found["verified"] is False
    assert found["claims"]["sub"] == "alice"
    assert found["header"] == {"alg": "ES256", "kid": "key-1", "typ": "at+jwt"}
    assert signature(token) not in json.dumps(found)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("planted-opaque-token", "this is an opaque token"),
        ("a.b.c", "refused everywhere"),
        ("", "there is no token"),
        ("Bearer abc", "without `Bearer`"),
        ("eyJhbGciOiJkaXIifQ.a.b.c.d", "encrypted tokens are not accepted"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.", "refused everywhere"),
        (".." * 1000, "opaque token"),
        ("x" * 2_000_000, "opaque token"),
        ("\x1b[31m.\u2028.x", "refused everywhere"),
    ],
)
def test_inspect_says_of_anything_what_it_is(token: str, expected: str) -> None:
    """Hostile text is neither believed nor printed, and no traceback comes of it."""
    ran = run("inspect", stdin=token)
    assert expected in ran.out + ran.err
    assert "\x1b" not in ran.out
    assert "planted-opaque" not in ran.out
    assert "Traceback" not in ran.err


def test_inspect_shows_the_claims_of_a_token_that_is_refused_for_its_form() -> None:
    """Whoever asks why it is refused wants to see what it says."""
    ran = run("inspect", stdin="eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.")
    assert "bob" in ran.out
    assert "none" in ran.out


def test_a_token_can_be_an_argument_or_in_a_file(issuing: Issuing, tmp_path: Path) -> None:
    """Issue 4, item 6; stdin is the default, since arguments stay in the shell's history."""
    token = issuing.token()
    (tmp_path / "token").write_text(token + "\r\n")
    outputs = [run("inspect", token), run("inspect", "--file", tmp_path / "token"), run("inspect", "-", stdin=token)]
    assert len({ran.out for ran in outputs}) == 1
    assert run("inspect", token, "--file", "x").code == 2
    assert run("inspect", "--file", tmp_path / "none").code == 1


# --- verify ---------------------------------------------------------------------------------


def test_verify_says_who_calls(issuing: Issuing) -> None:
    """Issue 4, item 6: subject, client, scopes, roles, tenant."""
    token = issuing.token()
    ran = run("verify", "--issuers", issuing.config, stdin=token)
    assert ran.code == 0
    assert ran.out.startswith("ACCEPTED  alice\n")
    for text in ("web", "docs:read docs:write", "editor", "acme", AUDIENCE, "token-1", "key-1"):
        assert text in ran.out
    assert signature(token)[:20] not in ran.out + ran.err
    found = json.loads(run("verify", "--issuers", issuing.config, "--format", "json", stdin=token).out)
    assert (found["accepted"], found["subject"], found["scopes"]) == (True, "alice", ["docs:read", "docs:write"])
    assert found["claims"] == {"jti": "token-1"}


REFUSED: dict[str, tuple[dict[str, object], Refusal]] = {
    "expired": ({"exp": int(time.time()) - 100, "iat": int(time.time()) - 200}, Refusal.EXPIRED),
    "another audience": ({"aud": "https://other.example.com"}, Refusal.WRONG_AUDIENCE),
    "another issuer": ({"iss": "https://other.example.com"}, Refusal.UNKNOWN_ISSUER),
    "no subject": ({"sub": None}, Refusal.MISSING_CLAIM),
    "a key": ({"cnf": {"jkt": "x"}}, Refusal.PROOF_REQUIRED),
}


@pytest.mark.parametrize("case", REFUSED)
def test_verify_says_why_a_token_is_refused_and_what_to_do(case: str, issuing: Issuing) -> None:
    """Issue 4, item 6: reason, detail, what to do; exit code 3."""
    changes, reason = REFUSED[case]
    token = issuing.token(**changes)
    ran = run("verify", "--issuers", issuing.config, stdin=token)
    assert ran.code == 3
    assert ran.out.startswith(f"REFUSED  {reason.value}: ")
    assert ADVICE[reason].do in ran.out
    found = json.loads(run("verify", "--issuers", issuing.config, "--format", "json", stdin=token).out)
    assert (found["accepted"], found["reason"]) == (False, reason.value)
    assert token not in ran.out + ran.err


def test_an_altered_token_is_refused_without_being_printed(issuing: Issuing) -> None:
    """S64: no token text in any output."""
    head, _, tail = issuing.token().split(".")
    _, body, _ = issuing.token(sub="mallory").split(".")
    ran = run("verify", "--issuers", issuing.config, stdin=f"{head}.{body}.{tail}")
    assert (ran.code, "bad_signature" in ran.out) == (3, True)
    for part in (head, body, tail):
        assert part not in ran.out + ran.err


def test_an_issuer_that_cannot_be_reached_is_no_refusal(issuing: Issuing) -> None:
    """Exit code 1: nothing is known."""
    token = issuing.token()
    issuing.server.stop()
    ran = run("verify", "--issuers", issuing.config, stdin=token)
    assert ran.code == 1
    assert "unavailable" in ran.out


def test_verify_asks_the_issuer_about_an_opaque_token(issuing: Issuing) -> None:
    """Issue 4, items 4 and 6; the token is sent to its issuer, and printed nowhere."""
    told = {
        "active": True,
        "iss": issuing.server.url,
        "aud": AUDIENCE,
        "sub": "bob",
        "client_id": "web",
        "exp": int(time.time()) + 60,
        "iat": int(time.time()),
    }
    issuing.server.answers["/introspect"] = answer(told, content_type="application/json")
    secret = issuing.config.with_name("secret")
    secret.write_text("a secret of whoever asks")
    secret.chmod(0o600)
    issuing.config.write_text(f"""{issuing.config.read_text()}
[issuer.introspection]
endpoint = "{issuing.server.url}/introspect"
client_id = "mcp"
client_secret_file = "secret"
""")
    ran = run("verify", "--issuers", issuing.config, stdin="planted-opaque-token\n")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "ACCEPTED  bob")
    issuing.server.answers["/introspect"] = answer({"active": False}, content_type="application/json")
    refused = run("verify", "--issuers", issuing.config, stdin="planted-opaque-token\n")
    assert (refused.code, "inactive" in refused.out) == (3, True)
    assert "planted" not in ran.out + ran.err + refused.out + refused.err
    assert issuing.server.asked[-1].body.startswith(b"token=planted-opaque-token&")


def test_every_problem_of_the_configuration_is_one_line(issuing: Issuing) -> None:
    """Issue 4, item 1: one error line per problem, all of them."""
    issuing.config.write_text(issuing.config.read_text() + "leeway = 999\nzzz = 1\n")
    ran = run("verify", "--issuers", issuing.config, stdin=issuing.token())
    assert ran.code == 1
    assert [line.startswith(f"error: {issuing.config}: ") for line in ran.err.splitlines()] == [True, True]


def test_verify_needs_to_know_the_issuers() -> None:
    """A setting whose absence would weaken a check has no default."""
    ran = run("verify", stdin="x")
    assert (ran.code, "--issuers" in ran.err) == (2, True)


def test_inspect_loads_neither_a_network_client_nor_cryptography() -> None:
    """Architecture: `authz-eval` starts without jwt, httpx, cryptography."""
    program_ = (
        "import sys, authz.cli.token, authz.cli.eval\n"
        "from authz.tokens.peek import peek\n"
        "peek('a.b.c')\n"
        "heavy = ('jwt', 'httpcore2', 'httpx2', 'cryptography', 'redis', 'grpc')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program_], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_there_is_advice_for_every_refusal() -> None:
    """Issue 4, done when: every refusal reason is explained."""
    assert set(ADVICE) == set(Refusal)
    assert all(advice.when and advice.do for advice in ADVICE.values())
