"""What `authz-eval token` prints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from authz.cli.render import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from authz.cli.render import Paint
    from authz.tokens.advice import Advice
    from authz.tokens.caller import Caller
    from authz.tokens.errors import TokenError
    from authz.tokens.peek import Peeked

_TIMES: Final = ("exp", "iat", "nbf", "auth_time")
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_LATEST: Final = 253_402_300_799
"""The last second that has a date of four digits."""


def peeked_to_json(peeked: Peeked) -> dict[str, object]:
    """Return what a token says, and that nothing of it is verified."""
    return {
        "verified": False,
        "form": peeked.form,
        "header": peeked.header,
        "claims": peeked.claims,
        "problem": peeked.problem or None,
        "sha256": peeked.digest,
    }


def render_peeked(peeked: Peeked, now: float, paint: Paint) -> str:
    """Say what a token says, and first that anybody may have written it; `now` is in seconds since 1970."""
    return "\n".join(_peeked(peeked, now, paint))


def _peeked(peeked: Peeked, now: float, paint: Paint) -> Iterator[str]:
    warned = paint("NOT VERIFIED", "33", "1")
    if peeked.form == "opaque":
        yield f"{warned}: this is an opaque token: only its issuer can say what it is"
    else:
        yield f"{warned}: anybody can write such a token; `authz-eval token verify` says whether it counts"
    if peeked.problem:
        yield f"{paint('refused everywhere', '31', '1')}: {peeked.problem}"
    for title, part in (("header", peeked.header), ("claims", peeked.claims)):
        if part is not None:
            yield title
            yield from _members(part, now)
    yield f"sha256  {peeked.digest}"


def _members(part: Mapping[str, object], now: float) -> Iterator[str]:
    width = max((len(printable(name)) for name in part), default=0)
    for name, value in part.items():
        text = value if isinstance(value, str) else json_text(value)
        read = f"  ({_moment(value, now)})" if name in _TIMES and _is_time(value) else ""
        yield f"  {printable(name).ljust(width)}  {printable(text)}{read}"


def caller_to_json(caller: Caller) -> dict[str, object]:
    """Return a caller; names are those of its parts."""
    return {
        "subject": caller.subject,
        "issuer": caller.issuer,
        "client": caller.client,
        "actors": list(caller.actors),
        "scopes": list(caller.scopes),
        "roles": list(caller.roles),
        "tenant": caller.tenant,
        "audience": list(caller.audience),
        "token_id": caller.token_id,
        "issued_at": caller.issued_at,
        "expires_at": caller.expires_at,
        "key_id": caller.key_id,
        "claims": dict(caller.claims),
        "sha256": caller.digest,
    }


def render_caller(caller: Caller, now: float, paint: Paint) -> str:
    """Say who calls."""
    rows = {
        "issuer": caller.issuer,
        "client": caller.client,
        "acting": ", ".join(caller.actors),
        "scopes": " ".join(caller.scopes),
        "roles": ", ".join(caller.roles),
        "tenant": caller.tenant,
        "audience": ", ".join(caller.audience),
        "token": caller.token_id,
        "issued": _moment(caller.issued_at, now) if caller.issued_at else "",
        "expires": _moment(caller.expires_at, now),
        "key": caller.key_id,
        **{f"claims.{name}": json_text(value) for name, value in caller.claims.items()},
        "sha256": caller.digest,
    }
    shown = {name: text for name, text in rows.items() if text}
    width = max(len(name) for name in shown)
    lines = [f"  {name.ljust(width)}  {printable(text)}" for name, text in shown.items()]
    return "\n".join([f"{paint('ACCEPTED', '32', '1')}  {printable(caller.subject)}", *lines])


def render_refusal(error: TokenError, advice: Advice, paint: Paint) -> str:
    """Say why a token is refused, to the operator, and what to do."""
    word = paint("REFUSED", "31", "1")
    return f"{word}  {error.reason.value}: {error.message}\n  why   {printable(error.detail)}\n  help  {advice.do}"


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST


def _moment(value: object, now: float) -> str:
    assert isinstance(value, int | float)  # the caller looked
    seconds = min(max(float(value), 0.0), _LATEST)
    away = abs(seconds - now)
    size, unit = next((pair for pair in _UNITS if away >= pair[0]), _UNITS[-1])
    number = int(away // size)
    distance = f"{number} {unit}{'' if number == 1 else 's'}"
    when = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"{when}, {distance} ago" if seconds < now else f"{when}, in {distance}"
