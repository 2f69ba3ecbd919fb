"""TLS on the decision listener: who gets in, what is refused before anything listens, and renewal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import grpc
import pytest

from authz.server.config import Config, ConfigError, DecisionLogConfig, TlsConfig, parse_address
from authz.server.tls import credentials
from authz.v1 import decision_pb2 as v1
from authz.v1.decision_pb2_grpc import DecisionServiceStub
from tests.server.certificates import Authority, Pair
from tests.server.support import Scripted, ask, serving
from tests.server.test_process import failure, server, usage_error

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from tests.server.support import Running

AUTHORITY = Authority()


def _credentials(authority: Authority = AUTHORITY, client: Pair | None = None) -> grpc.ChannelCredentials:
    if client is None:
        return grpc.ssl_channel_credentials(authority.certificate)
    return grpc.ssl_channel_credentials(authority.certificate, client.key, client.certificate)


async def _answer(running: Running, credentials: grpc.ChannelCredentials | None) -> v1.CheckResponse:
    """Ask over a new connection; a handshake that fails is an error at once."""
    address = running.server.address
    options = (("grpc.enable_retries", 0), ("grpc.initial_reconnect_backoff_ms", 100))
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options)
    async with channel:
        response: v1.CheckResponse = await DecisionServiceStub(channel).Check(ask(), timeout=20)
        return response


async def _is_refused(running: Running, credentials: grpc.ChannelCredentials | None) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _answer(running, credentials)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def files(tmp_path: Path) -> TlsConfig:
    """Return a certificate and its key as a server reads them."""
    return TlsConfig(*AUTHORITY.sign().write(tmp_path, "server"))


@pytest.fixture
def mutual(tmp_path: Path, files: TlsConfig) -> TlsConfig:
    """Return what has clients show a certificate of the authority, too."""
    ca = tmp_path / "clients.crt"
    ca.write_bytes(AUTHORITY.certificate)
    return TlsConfig(files.cert, files.key, ca)


# --- Who gets in ----------------------------------------------------------------------------


async def test_a_client_that_trusts_the_authority_is_answered_and_no_other(files: TlsConfig) -> None:
    """Issue 5: TLS for a server that other machines can reach."""
    async with serving(Scripted(), tls=files) as running:
        assert (await _answer(running, _credentials())).decision == v1.DECISION_ALLOW
        await _is_refused(running, _credentials(Authority("somebody else")))
        await _is_refused(running, None)
        assert running.records("listening")[0]["tls"] == "server"


async def test_with_a_client_authority_only_its_clients_are_answered(mutual: TlsConfig) -> None:
    """Issue 5, S79: the enforcement point that names the caller must be one that may."""
    async with serving(Scripted(), tls=mutual) as running:
        assert (await _answer(running, _credentials(client=AUTHORITY.sign("pep-1")))).decision == v1.DECISION_ALLOW
        await _is_refused(running, _credentials())
        await _is_refused(running, _credentials(client=Authority("somebody else").sign("pep-1")))
        await _is_refused(running, _credentials(client=AUTHORITY.sign("pep-1", expired=True)))
        assert running.records("listening")[0]["tls"] == "mutual"


async def test_the_decision_log_names_the_client_by_its_certificate(mutual: TlsConfig, tmp_path: Path) -> None:
    """Issue 5, S63: with mutual TLS the record says which enforcement point asked."""
    path = tmp_path / "decisions.jsonl"
    async with serving(Scripted(), tls=mutual, decision_log=DecisionLogConfig("best-effort", path)) as running:
        await _answer(running, _credentials(client=AUTHORITY.sign("pep-1.example")))
    (record,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert record["pep"].startswith("pep-1.example at ipv4:127.0.0.1:")


# --- Renewal --------------------------------------------------------------------------------


async def test_a_renewed_certificate_counts_from_the_next_connection(files: TlsConfig, tmp_path: Path) -> None:
    """Issue 5: certificates are short-lived; the server need not be."""
    renewed = Authority("the renewal")
    async with serving(Scripted(), tls=files) as running:
        await _answer(running, _credentials())
        renewed.sign().write(tmp_path, "server")
        assert (await _answer(running, _credentials(renewed))).decision == v1.DECISION_ALLOW
        await _is_refused(running, _credentials())
        assert running.records("certificate_reloaded")


async def test_a_renewal_that_cannot_be_used_leaves_the_certificate_that_was(files: TlsConfig, tmp_path: Path) -> None:
    """Issue 5: what is broken is reported once, and nobody is locked out by it."""
    async with serving(Scripted(), tls=files) as running:
        AUTHORITY.sign(expired=True).write(tmp_path, "server")
        await _answer(running, _credentials())
        await _answer(running, _credentials())
        (record,) = running.records("certificate_broken")
        assert "expired on" in record["problem"]
        files.key.unlink()
        await _answer(running, _credentials())
        assert len(running.records("certificate_broken")) == 2


async def test_a_renewal_counts_once_its_mode_is_mended(files: TlsConfig, tmp_path: Path) -> None:
    """Issue 5: a key that others can read is not taken later either, until it is theirs no more."""
    renewed = Authority("the renewal")
    async with serving(Scripted(), tls=files) as running:
        renewed.sign().write(tmp_path, "server", 0o644)
        await _answer(running, _credentials())
        assert f"`chmod 600 {files.key}`" in running.records("certificate_broken")[0]["problem"]
        files.key.chmod(0o600)
        assert (await _answer(running, _credentials(renewed))).decision == v1.DECISION_ALLOW


# --- Before anything listens ----------------------------------------------------------------


def _problem(config: TlsConfig, logger: FilteringBoundLogger | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        credentials(config, logger)  # type: ignore[arg-type]  # nothing is logged before there is a listener
    return str(refused.value)


def test_files_that_cannot_work_are_named_before_anything_listens(files: TlsConfig, tmp_path: Path) -> None:
    """Issue 5: gRPC would only say that a handshake has failed."""
    other = AUTHORITY.sign("other").write(tmp_path, "other")
    absent = tmp_path / "absent"
    text = tmp_path / "text"
    text.write_text("no certificate")
    text.chmod(0o600)
    assert _problem(TlsConfig(files.cert, other[1])) == (
        f"--tls-key: `{other[1]}` is not the key of the certificate in `{files.cert}`"
    )
    assert _problem(TlsConfig(absent, files.key)) == f"--tls-cert: `{absent}` cannot be read: no such file or directory"
    assert _problem(TlsConfig(files.cert, absent)) == f"--tls-key: `{absent}` cannot be read: no such file or directory"
    assert _problem(TlsConfig(text, files.key)) == f"--tls-cert: `{text}` holds no certificate in PEM that can be used"
    assert _problem(TlsConfig(files.cert, text)) == f"--tls-key: `{text}` holds no private key in PEM that can be used"
    assert _problem(TlsConfig(files.cert, files.key, text)) == (
        f"--tls-client-ca: `{text}` holds no certificate in PEM that can be used"
    )
    assert (
        _problem(TlsConfig(files.cert, files.key, tmp_path)) == f"--tls-client-ca: `{tmp_path}` is not a regular file"
    )


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"expired": True}, "expired on"),
        ({"early": True}, "is not valid before"),
        ({"password": b"secret"}, "is encrypted"),
        ({"rsa_bits": 1024}, "is an RSA key of less than 2048 bits"),
    ],
)
def test_a_certificate_that_would_be_weak_or_worthless_is_refused(
    how: dict[str, bool | bytes | int], problem: str, tmp_path: Path
) -> None:
    """Issue 5: refuse to start rather than run weak."""
    assert problem in _problem(TlsConfig(*AUTHORITY.sign(**how).write(tmp_path, "bad")))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_refused(files: TlsConfig, mode: int) -> None:
    """Issue 5: the text says what to do."""
    files.key.chmod(mode)
    assert _problem(files) == (
        f"--tls-key: `{files.key}` can be read by others than its owner: `chmod 600 {files.key}`"
    )


def test_tls_on_a_unix_socket_is_refused(files: TlsConfig, tmp_path: Path) -> None:
    """Issue 5: it would protect from nobody."""
    with pytest.raises(ConfigError, match="a Unix socket takes no TLS"):
        Config(tmp_path, parse_address(f"unix:{tmp_path}/s"), tls=files)


# --- The command ----------------------------------------------------------------------------


def test_half_of_the_tls_options_is_no_use(capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 5: an option that would do nothing is an error."""
    given = ("--policies", "p")
    need = "`--tls-cert` and `--tls-key` need each other"
    assert need in usage_error(capsys, *given, "--tls-cert", "c")
    assert need in usage_error(capsys, *given, "--tls-key", "k", "--tls-client-ca", "a")
    text = usage_error(capsys, *given, "--tls-client-ca", "a")
    assert "`--tls-client-ca` needs `--tls-cert` and `--tls-key`" in text


def test_the_command_serves_other_machines_with_tls(policies: Path, mutual: TlsConfig) -> None:
    """Issue 5: with TLS an address that other machines can reach needs no `--insecure-bind`."""
    options = ("--tls-cert", mutual.cert, "--tls-key", mutual.key, "--tls-client-ca", mutual.client_ca)
    with server(policies, "--listen", "0.0.0.0:0", *map(str, options)) as process:  # TLS is the point
        port = process.record("listening", tls="mutual")["address"].rpartition(":")[2]
        client = AUTHORITY.sign("pep-1")
        with grpc.secure_channel(f"127.0.0.1:{port}", _credentials(client=client)) as channel:
            assert DecisionServiceStub(channel).Check(ask(), timeout=30).decision == v1.DECISION_ALLOW


def test_the_command_says_in_one_line_why_its_certificate_is_refused(policies: Path, files: TlsConfig) -> None:
    """Issue 5: the exit code is that of what could not run."""
    files.key.chmod(0o644)
    said = failure(
        "--policies", str(policies), "--listen", "127.0.0.1:0", "--tls-cert", str(files.cert), "--tls-key",
        str(files.key), code=1,
    )  # fmt: skip
    assert said.splitlines() == [
        f"error: --tls-key: `{files.key}` can be read by others than its owner: `chmod 600 {files.key}`"
    ]
