"""What comes and goes over HTTP, and a request in the form in which Authlib wants it."""
# mypy: disable-error-code="import-untyped, misc"
# Authlib has no types: its classes are unknown to the checker, and so are the methods that it calls.

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Payload, OAuth2Request

if TYPE_CHECKING:
    from email.message import Message

_MAX_PARAMETER: Final = 2048


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Asking:
    """What came over HTTP; the parameters of a POST are those of its body, for no secret belongs in a URL."""

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    headers: Message[str, str]


class Request(OAuth2Request):
    """A request whose parameters are text that may stand in an error, each of them once."""

    def __init__(self, issuer: str, asking: Asking) -> None:
        """Check the parameters. Raises `InvalidRequestError` (Authlib's)."""
        super().__init__(asking.method, f"{issuer}{asking.path}", headers=asking.headers)
        times = Counter(name for name, _ in asking.parameters)
        for name, value in asking.parameters:
            if len(value) > _MAX_PARAMETER:
                raise InvalidRequestError("A parameter is too long.")
            if not name.isascii() or not name.isprintable() or not value.isprintable():
                raise InvalidRequestError("A parameter holds characters that no parameter has.")
            if name != "state" and (not value.isascii() or '"' in value or "\\" in value):
                raise InvalidRequestError("A parameter holds characters that no parameter has.")
            if times[name] > 1 and name != "resource":
                raise InvalidRequestError("A parameter is there twice.")
        self.payload = _Payload(asking.parameters)

    @property
    def form(self) -> dict[str, str]:
        """Return the parameters, as Authlib looks for them at the token endpoint."""
        return self.payload.data

    @property
    def args(self) -> dict[str, str]:
        """Return the parameters, as Authlib looks for them at the authorization endpoint."""
        return self.form


class _Payload(OAuth2Payload):
    def __init__(self, parameters: tuple[tuple[str, str], ...]) -> None:
        # A parameter without a value counts as left out (RFC 6749, section 3.1).
        given = [(name, value) for name, value in parameters if value]
        self._data = dict(given)
        self._all = {name: [value for other, value in given if other == name] for name in self._data}

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @property
    def datalist(self) -> dict[str, list[str]]:
        return self._all
