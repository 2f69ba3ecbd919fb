"""How JSON values are read as the language's types, and the tests on strings.

Readers return None for what cannot be read: the atom that asked is then unknown (L14). Times and
durations are whole nanoseconds; a path is the tuple of its segments, "" first when it is absolute.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias

from authz.lang.ast import DURATION_UNITS, SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_INTEGER: Final = 2**53
MAX_DECIMAL: Final = 9 * 10**11
DECIMAL_SCALE: Final = 10_000
MAX_DURATION: Final = 3_660_000 * 86_400 * SECOND

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_DURATION: Final = re.compile(r"(-?(?:0|[1-9]\d{0,19}))(ms|s|m|h|d)", re.ASCII)
_LONGEST_ADDRESS: Final = 45
_ABNORMAL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|%(?:2[fFeE5]|5[cC]|[01][0-9a-fA-F]|7[fF]|[cC]2%[89])")


def nanoseconds(moment: datetime) -> int:
    """Return the exact time since 1970 of an aware datetime."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1_000


MIN_TIME: Final = nanoseconds(datetime.min.replace(tzinfo=UTC))
MAX_TIME: Final = nanoseconds(datetime.max.replace(tzinfo=UTC)) + 999


@lru_cache(maxsize=4096)
def _time(text: str) -> int | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime(*map(int, match.group(1, 2, 3, 4, 5, 6)), tzinfo=UTC)  # type: ignore[misc, arg-type]  # six ints
    except ValueError:
        return None
    value = nanoseconds(moment) + int((match[7] or "0").ljust(9, "0"))
    if match[8]:
        offset = (int(match[9]) * 60 + int(match[10])) * 60 * SECOND
        value += -offset if match[8] == "+" else offset
    return value if MIN_TIME <= value <= MAX_TIME else None


def read_time(value: object) -> int | None:
    """Read an RFC 3339 date-time with an offset (L12)."""
    return _time(value) if type(value) is str and len(value) <= len("2026-01-01T00:00:00.123456789+00:00") else None


def read_duration(value: object) -> int | None:
    """Read a duration written like the literal, `15m` (L12, L39)."""
    if type(value) is not str or (match := _DURATION.fullmatch(value)) is None:
        return None
    result = int(match[1]) * DURATION_UNITS[match[2]]
    return result if abs(result) <= MAX_DURATION else None


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def read_address(value: object) -> Address | None:
    """Read an IP address without zone; an IPv4-mapped one is the IPv4 address (L38)."""
    return _address(value) if type(value) is str and len(value) <= _LONGEST_ADDRESS else None


def read_network(text: str) -> Network | None:
    """Read `address/length`; bits beyond the length must be zero."""
    try:
        network = ip_network(text)
    except ValueError:
        return None
    mapped_bits = 96
    if isinstance(network, IPv6Network) and network.prefixlen >= mapped_bits:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - mapped_bits))
    return network


def read_number(value: object) -> int | float | None:
    """Read an exact number (L12): a whole float is its int, so 1 and 1.0 are one value."""
    if type(value) is int:
        return value if -MAX_INTEGER <= value <= MAX_INTEGER else None
    if type(value) is not float:
        return None
    if value.is_integer():
        return int(value) if -MAX_INTEGER <= value <= MAX_INTEGER else None
    if not -MAX_DECIMAL <= value <= MAX_DECIMAL:
        return None
    return value if is_exact(round(value * DECIMAL_SCALE), value) else None


def is_exact(scaled: int, value: float) -> bool:
    """Say whether a float and a count of ten-thousandths name one another and nothing else."""
    return scaled / DECIMAL_SCALE == value and (scaled - 1) / DECIMAL_SCALE != value != (scaled + 1) / DECIMAL_SCALE


def from_scaled(scaled: int) -> int | float | None:
    """Turn a count of ten-thousandths into a number, or None where it is not exact (L31)."""
    if scaled % DECIMAL_SCALE == 0:
        return read_number(scaled // DECIMAL_SCALE)
    value = scaled / DECIMAL_SCALE
    return value if abs(value) <= MAX_DECIMAL and is_exact(scaled, value) else None


def scaled(number: float) -> int:
    """Count the ten-thousandths of an exact number."""
    return number * DECIMAL_SCALE if type(number) is int else round(number * DECIMAL_SCALE)


def in_zone(time: int, zone: str) -> datetime:
    """Return the wall clock of a time in a named zone, to the microsecond."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 (only policies that ask for local time pay for it)

    return (_EPOCH + timedelta(microseconds=time // 1_000)).astimezone(ZoneInfo(zone))


def split_path(text: str) -> tuple[str, ...] | None:
    """Split a normal path into segments; None for any other text (L35)."""
    if not text or _ABNORMAL.search(text):
        return None
    if text == "/":
        return ("",)
    segments = tuple(text.split("/"))
    named = segments[1:] if segments[0] == "" else segments
    return None if any(segment in {"", ".", ".."} for segment in named) else segments


def glob(pieces: Sequence[str], text: str) -> bool:
    """Match a pattern, given as the pieces between its `*`, against the whole text (L20, L34).

    Pieces are found from the left; no backtracking, so no text can make it slow.
    """
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return text == first
    end = len(text) - len(last)
    at = len(first)
    if end < at or not text.startswith(first) or not text.endswith(last):
        return False
    for piece in pieces[1:-1]:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
