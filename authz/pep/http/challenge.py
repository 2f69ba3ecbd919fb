"""What the gate answers when it does not let a request through: status, `WWW-Authenticate`, and a body.

The challenges are those of RFC 6750, section 3, with `resource_metadata` of RFC 9728, section 5.1, each
value a quoted-string of RFC 9110, section 5.6.4. Nothing from outside can end one: what may not stand
in it is left out, and scopes that cannot be written are not asked for.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from authz.model import Reason
from authz.pep.http.asgi import json_answer
from authz.pep.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.pep.http.asgi import Answer
    from authz.pep.verdict import Verdict

Mode: TypeAlias = Literal["required", "missing"]
"""Which scopes a challenge names: all that the operation needs, or those that the token lacks (R10).

Clients of 2025-11-25 ask for the scopes of a challenge and no others, and would lose what they have.
"""
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
RpcId: TypeAlias = "str | int | None"

INVALID_REQUEST: Final = -32600
MAX_SCOPES: Final = 4_096
"""Characters of the scopes in one challenge: many clients and proxies take no more than 8 KiB of headers."""
_MAX_TEXT: Final = 200
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""`scope-token` of RFC 6749, section 3.3."""
_UNQUOTABLE: Final = re.compile(r'[^\x20-\x7e]|["\\]')
_NEVER: Final = "offline_access"
"""Whether a client gets refresh tokens is between it and the issuer (R12)."""
_WAIT_FOR_ISSUER: Final = 5
_WAIT_AFTER_FAILURES: Final = 60


def writable(scopes: Iterable[str]) -> tuple[str, ...] | None:
    """Return scopes as a challenge may name them, without `offline_access`; None where one cannot be written."""
    found = tuple(dict.fromkeys(scope for scope in scopes if scope != _NEVER))
    if not all(_SCOPE.fullmatch(scope) for scope in found) or sum(len(scope) + 1 for scope in found) > MAX_SCOPES:
        return None
    return found


def is_quotable(text: str) -> bool:
    """Say whether a header can hold a text as it is."""
    return _UNQUOTABLE.search(text) is None


def refuse_unquotable(name: str, text: str) -> None:
    """Raise `ValueError` for a text of the configuration that no header can hold as it is."""
    if not text or not is_quotable(text):
        raise ValueError(f"`{name}` must be printable ASCII without quotes and backslashes, and not empty")


@dataclass(frozen=True, slots=True)
class Challenges:
    """The refusals of one server. Raises `ValueError` for a realm or an address that cannot be quoted."""

    realm: str
    metadata_url: str
    mode: Mode = "required"

    def __post_init__(self) -> None:
        """Refuse what no header can hold."""
        refuse_unquotable("realm", self.realm)
        refuse_unquotable("resource", self.metadata_url)

    def no_token(self, scopes: tuple[str, ...], request_id: str) -> Answer:
        """Return 401 for a request without a token: no `error` (RFC 6750, section 3.1), what to ask for (R3, R4)."""
        header = self._header(scopes=scopes)
        return _refusal(401, "unauthorized", "an access token is required", request_id, header)

    def bad_token(self, scopes: tuple[str, ...], text: str, request_id: str) -> Answer:
        """Return 401 for a token that is not accepted (R5); `text` is safe for the caller."""
        header = self._header("invalid_token", scopes, text)
        return _refusal(401, "invalid_token", text, request_id, header)

    def malformed(self, text: str, request_id: str) -> Answer:
        """Return 400 for a request that carries its token wrongly (R8)."""
        return _refusal(400, "invalid_request", text, request_id, self._header("invalid_request", (), text))

    def step_up(self, verdict: Verdict, id_: RpcId) -> Answer | None:
        """Return 403 for a call that more scopes would allow (R9), None where no challenge would help.

        All scopes of the operation stand in the one challenge (R10). None of them is left out silently:
        a client that gets all it was told to ask for, and is refused again, goes round in circles.
        """
        decision = verdict.decision
        if (
            verdict.outcome is not Outcome.DENIED
            or decision is None
            or decision.reason is not Reason.INSUFFICIENT_SCOPE
        ):
            return None
        if _NEVER in decision.missing_scopes:
            return None
        scopes = writable(decision.required_scopes if self.mode == "required" else decision.missing_scopes)
        if not scopes:
            return None
        text = verdict.text if verdict.text.isascii() else "more scopes are needed"
        return rpc_verdict(403, verdict, id_, self._header("insufficient_scope", scopes, text))

    def _header(self, error: str = "", scopes: tuple[str, ...] = (), text: str = "") -> Headers:
        """Return the challenge. The text comes last: some clients look for `scope=` anywhere in it."""
        parameters = {
            "realm": self.realm,
            "error": error,
            "scope": " ".join(scopes),
            "resource_metadata": self.metadata_url,
            "error_description": _quotable(text),
        }
        value = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)
        return ((b"www-authenticate", f"Bearer {value}".encode("ascii")),)


def _quotable(text: str) -> str:
    return _UNQUOTABLE.sub("", text)[:_MAX_TEXT]


def unavailable(request_id: str, text: str = "the token cannot be checked at the moment") -> Answer:
    """Return 503: nothing is known of the request's caller, so it is neither good nor bad."""
    return _refusal(503, "temporarily_unavailable", text, request_id, _after(_WAIT_FOR_ISSUER))


def too_many_failures(text: str, request_id: str) -> Answer:
    """Return 429 for a source that had too many tokens refused."""
    return _refusal(429, "too_many_failures", text, request_id, _after(_WAIT_AFTER_FAILURES))


def foreign_origin(request_id: str) -> Answer:
    """Return 403 for a page of an origin that is not allowed (R18)."""
    return _refusal(403, "invalid_origin", "requests from this origin are not allowed", request_id, ())


def limited(verdict: Verdict, id_: RpcId) -> Answer | None:
    """Return 429 for a call beyond a limit (S27, S58), None for any other."""
    if verdict.allowed or verdict.retry_after <= 0:
        return None
    return rpc_verdict(429, verdict, id_, _after(max(1, math.ceil(verdict.retry_after))))


def rpc_verdict(status: int, verdict: Verdict, id_: RpcId, headers: Headers) -> Answer:
    """Return a denial as an error of JSON-RPC, for clients that look at the body first."""
    error = {"code": verdict.code, "message": verdict.text, "data": verdict.data}
    return json_answer(status, {"jsonrpc": "2.0", "id": id_, "error": error}, headers)


def rpc_error(status: int, code: int, text: str, id_: RpcId = None, headers: Headers = ()) -> Answer:
    """Return an error of JSON-RPC about a message that cannot be taken."""
    return json_answer(status, {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": text}}, headers)


def _after(seconds: int) -> Headers:
    return ((b"retry-after", str(seconds).encode("ascii")),)


def _refusal(status: int, error: str, text: str, request_id: str, headers: Headers) -> Answer:
    content = {"error": error, "error_description": text, "request_id": request_id}
    return json_answer(status, content, headers)
