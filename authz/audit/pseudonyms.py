"""Name a person in the log so that they can be forgotten without changing a record.

A pseudonym is a keyed hash over the subject, under a random key of their tenant and a random salt of
their own. Who holds both can tell whose records they are. Without the salt nobody can, nor tell that two
names were one person; so a person is forgotten by dropping the salt, and a tenant by dropping the key.
What is kept about a person reveals no subject without the tenant's key.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from authz.model import Act

PREFIX: Final = "p:"
KEY_BYTES: Final = 32
_CACHED: Final = 10_000
_FRESH_S: Final = 0.05
"""How long a name is used without a look at whether it was erased: the look costs 10 µs, more than the record does.

A record that is written meanwhile still holds the old name, which nobody can tell whose it was.
"""


class PseudonymKeys(Protocol):
    """Keeps keys of tenants and salts of persons, durably. All raise `StoreError`."""

    def erasures(self) -> int:
        """Return a number that grows whenever something is forgotten, by whichever process."""

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have a key."""

    def tenant_key(self, tenant: str) -> bytes | None:
        """Return a tenant's key."""

    def keep_tenant_key(self, tenant: str, key: bytes) -> bytes:
        """Keep this key unless the tenant has one; return the one that it has then."""

    def salt(self, tenant: str, person: bytes) -> bytes | None:
        """Return a person's salt."""

    def keep_salt(self, tenant: str, key: bytes, person: bytes, salt: bytes) -> bytes | None:
        """Keep this salt unless the person has one; return the one that they have then.

        None where the tenant has another key by now: the person would never be found under it.
        """

    def forget(self, tenant: str, person: bytes | None, act: Act) -> bool:
        """Forget a person or, where None, a whole tenant; with a record in the log that names no person.

        Returns False where there was nothing to forget.
        """


class Pseudonyms:
    """Gives subjects their pseudonyms; used by one thread at a time, outside of a transaction."""

    def __init__(self, keys: PseudonymKeys, cached: int = _CACHED, fresh: float = _FRESH_S) -> None:
        """Remember up to `cached` pseudonyms, until something is forgotten or at most `fresh` seconds later."""
        self._keys = keys
        self._fresh = fresh
        self._next = 0.0
        self._cached = cached
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._erasures = -1

    def of(self, tenant: str, subject: str) -> str:
        """Return the pseudonym of a subject, from now on and until they are erased. Raises `StoreError`."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + self._fresh
            erasures = self._keys.erasures()
            if erasures != self._erasures:
                self._known.clear()
                self._erasures = erasures
        name = (tenant, subject)
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _made(self._keys, tenant, subject)
            if len(self._known) > self._cached:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(name)
        return known


def find(keys: PseudonymKeys, subject: str, tenant: str | None = None) -> tuple[str, ...]:
    """Return the pseudonyms that a subject has, in one tenant or in all; makes none. Raises `StoreError`."""
    found = []
    for one in keys.tenants() if tenant is None else (tenant,):
        key = keys.tenant_key(one)
        salt = key and keys.salt(one, _person(key, subject))
        if key and salt:
            found.append(_pseudonym(key, salt, subject))
    return tuple(found)


def erase(keys: PseudonymKeys, tenant: str, subject: str | None, act: Act) -> bool:
    """Forget a subject of a tenant, or the whole tenant; say whether there was anything. Raises `StoreError`.

    Their records stay as they are; nobody can tell any more whose they are.
    """
    key = keys.tenant_key(tenant)
    if key is None:
        return False
    return keys.forget(tenant, None if subject is None else _person(key, subject), act)


def _made(keys: PseudonymKeys, tenant: str, subject: str) -> str:
    while True:
        key = keys.tenant_key(tenant) or keys.keep_tenant_key(tenant, secrets.token_bytes(KEY_BYTES))
        person = _person(key, subject)
        salt = keys.salt(tenant, person) or keys.keep_salt(tenant, key, person, secrets.token_bytes(KEY_BYTES))
        if salt is not None:
            return _pseudonym(key, salt, subject)


def _person(key: bytes, subject: str) -> bytes:
    return hmac.digest(key, b"person\x00" + _bytes(subject), "sha256")


def _pseudonym(key: bytes, salt: bytes, subject: str) -> str:
    return PREFIX + hmac.digest(key, b"pseudonym\x00" + salt + _bytes(subject), "sha256")[:16].hex()


def _bytes(subject: str) -> bytes:
    return subject.encode(errors="surrogatepass")
