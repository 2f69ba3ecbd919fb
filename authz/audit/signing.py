"""The Ed25519 key that signs how far the log has come (RFC 8032), in PEM files."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from authz.audit.chain import statement
from authz.errors import LoadError

if TYPE_CHECKING:
    from pathlib import Path

    from authz.audit.chain import Head, HeadKind

_MAX_BYTES: Final = 16 * 1024


class Signer:
    """Signs heads with one private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Sign with this key."""
        self._key = key

    def sign(self, head: Head, time: str, kind: HeadKind = "head") -> bytes:
        """Return the signature of a head, 64 bytes."""
        return self._key.sign(statement(kind, head, time))

    @property
    def public(self) -> Verifier:
        """Return what checks these signatures."""
        return Verifier(self._key.public_key())


class Verifier:
    """Checks signatures of heads with one public key."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        """Check with this key."""
        self._key = key

    def verify(self, head: Head, time: str, signature: bytes, kind: HeadKind = "head") -> bool:
        """Say whether the signature is this key's, over this very head and time."""
        return self.covers(statement(kind, head, time), signature)

    def covers(self, stated: bytes, signature: bytes) -> bool:
        """Say whether the signature is this key's, over this statement."""
        try:
            self._key.verify(signature, stated)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """Return the public key as PEM."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def create_key(path: Path) -> Signer:
    """Write a new private key, readable by its owner only, and its public key beside it as `NAME.pub`.

    Raises `LoadError` where a file is there already or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    signer = Signer(key)
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write(public_path(path), signer.public.pem(), 0o644)
    return signer


def public_path(path: Path) -> Path:
    """Return where the public half of a private key's file is written."""
    return path.with_name(path.name + ".pub")


def load_signer(path: Path) -> Signer:
    """Read a private key. Raises `LoadError`, also where others than its owner may read the file."""
    data = _read(path, private=True)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise LoadError(f"`{path}` holds no private key in PEM that can be read without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise LoadError(f"`{path}` holds a key of another kind: the log is signed with Ed25519")
    return Signer(key)


def load_verifier(path: Path) -> Verifier:
    """Read a public key. Raises `LoadError`."""
    data = _read(path, private=False)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise LoadError(f"`{path}` holds no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise LoadError(f"`{path}` holds a key of another kind: the log is signed with Ed25519")
    return Verifier(key)


def _read(path: Path, *, private: bool) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise LoadError(f"`{path}` is not a regular file")
            if private and mode & 0o077:
                raise LoadError(f"`{path}` can be read by others than its owner: `chmod 600 {path}`")
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise LoadError(f"`{path}` cannot be read: {(error.strerror or 'it failed').lower()}") from None


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise LoadError(f"`{path}` cannot be written: {(error.strerror or 'it failed').lower()}") from None
