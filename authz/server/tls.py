"""TLS of the decision listener: certificate, key, and whose client certificates count.

All of it is looked over before anything listens, since gRPC would only say that a handshake failed.
The files are read again when they change, at the next handshake; new ones that cannot be used are
reported, and the ones before them go on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from authz.server.config import ConfigError
from authz.tokens.errors import TokenConfigError
from authz.tokens.settings import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from structlog.typing import FilteringBoundLogger

    from authz.server.config import TlsConfig

_MAX_FILE: Final = 1024 * 1024
_MIN_RSA_BITS: Final = 2_048
_Mark: TypeAlias = tuple[int, int, int]


class _Files(NamedTuple):
    """What the files hold, in PEM."""

    chain: bytes
    key: bytes
    client_ca: bytes | None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Return what gRPC makes its handshakes with."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.client_ca)


def credentials(config: TlsConfig, logger: FilteringBoundLogger) -> grpc.ServerCredentials:
    """Return what a listener encrypts with; with a `client_ca`, clients without its certificate are refused.

    Raises `ConfigError`, naming the file, for anything that cannot be used.
    """
    files = _Watched(config, logger)
    return grpc.dynamic_ssl_server_credentials(
        files.first.configuration(),
        files.changed,  # type: ignore[arg-type]  # its stubs know nothing of None, which the reference does
        require_client_authentication=config.client_ca is not None,
    )


class _Watched:
    """The files, and whether they are still the same; asked before each handshake, in gRPC's own threads."""

    def __init__(self, config: TlsConfig, logger: FilteringBoundLogger) -> None:
        self._config = config
        self._logger = logger
        self._seen = self._marks()  # before reading, so that no change is missed
        self.first = _read(config)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return new certificates, None where there are none that can be used."""
        try:
            marks = self._marks()
            if marks == self._seen:
                return None
            self._seen = marks
            files = _read(self._config)
        except ConfigError as error:
            self._logger.error("certificate_broken", problem=str(error))  # noqa: TRY400  # a finding, not a defect
            return None
        except Exception:  # nothing may reach gRPC, which would go on without a word
            self._logger.exception("defect", method="tls")
            return None
        self._logger.info("certificate_reloaded", file=str(self._config.cert))
        return files.configuration()

    def _marks(self) -> tuple[_Mark | None, ...]:
        config = self._config
        return tuple(_mark(path) for path in (config.cert, config.key, config.client_ca) if path is not None)


def _mark(path: Path) -> _Mark | None:
    """Return what changes with a file or its mode, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ctime_ns, found.st_ino, found.st_size


def _read(config: TlsConfig) -> _Files:
    """Read the files, and see whether a handshake could succeed with them. Raises `ConfigError`."""
    chain = _bytes("--tls-cert", config.cert)
    key = _bytes("--tls-key", config.key, private=True)
    certificate = _certificate("--tls-cert", config.cert, chain)
    _check_period(config.cert, certificate)
    public = _private_key(config.key, key).public_key()
    if public != certificate.public_key():
        raise ConfigError(f"--tls-key: `{config.key}` is not the key of the certificate in `{config.cert}`")
    if isinstance(public, RSAPublicKey) and public.key_size < _MIN_RSA_BITS:
        raise ConfigError(f"--tls-key: `{config.key}` is an RSA key of less than {_MIN_RSA_BITS} bits")
    if config.client_ca is None:
        return _Files(chain, key, None)
    client_ca = _bytes("--tls-client-ca", config.client_ca)
    _certificate("--tls-client-ca", config.client_ca, client_ca)
    return _Files(chain, key, client_ca)


def _bytes(option: str, path: Path, *, private: bool = False) -> bytes:
    try:
        return read_bounded(path, _MAX_FILE, private=private)
    except TokenConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


def _certificate(option: str, path: Path, pem: bytes) -> x509.Certificate:
    """Return the first of the certificates; all must be well-formed."""
    try:
        first, *others = x509.load_pem_x509_certificates(pem)
        for one in (first, *others):
            one.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{option}: `{path}` holds no certificate in PEM that can be used") from None
    return first


def _private_key(path: Path, pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, None)
    except TypeError:
        raise ConfigError(f"--tls-key: `{path}` is encrypted: keep the key without a password, mode 600") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"--tls-key: `{path}` holds no private key in PEM that can be used") from None


def _check_period(path: Path, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise ConfigError(f"--tls-cert: `{path}` expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if now < certificate.not_valid_before_utc:
        raise ConfigError(
            f"--tls-cert: `{path}` is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        )
