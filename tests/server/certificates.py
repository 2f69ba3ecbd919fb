"""Certificates for tests: an authority, and what it signs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str, mode: int = 0o600) -> tuple[Path, Path]:
        """Put both where a server reads them; each file is replaced as a whole."""
        paths = folder / f"{name}.crt", folder / f"{name}.key"
        for path, data in zip(paths, (self.certificate, self.key), strict=True):
            new = path.with_suffix(".new")
            new.write_bytes(data)
            new.chmod(mode)
            new.rename(path)
        return paths


class Authority:
    """Signs certificates that are valid for the loopback addresses."""

    def __init__(self, name: str = "tests") -> None:
        """Make an authority of its own key."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"authority of {name}")
        self.certificate = _pem(
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, SHA256())
        )

    def sign(
        self,
        name: str = "localhost",
        *,
        expired: bool = False,
        early: bool = False,
        rsa_bits: int = 0,
        password: bytes = b"",
    ) -> Pair:
        """Return a certificate for a DNS name and the loopback address, and its key."""
        key: CertificateIssuerPrivateKeyTypes = (
            rsa.generate_private_key(65_537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        )
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        shift = -400 * _DAY if expired else 400 * _DAY if early else timedelta()
        certificate = (
            _builder(_name(name), self._name, key, shift)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, SHA256())
        )
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        return Pair(_pem(certificate), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificateIssuerPrivateKeyTypes, shift: timedelta = timedelta()
) -> x509.CertificateBuilder:
    now = datetime.now(UTC) + shift
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 30 * _DAY)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
