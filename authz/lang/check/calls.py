"""Calls of the functions of L38."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.lang import ast, checked
from authz.lang.check.typed import Typed, listed, noun, unknown
from authz.lang.checked import Place
from authz.lang.diagnostics import near
from authz.lang.types import ANY, BOOL, CIDR, IP, NUMBER, STRING, TIME, Type, kind_of
from authz.lang.values import read_address, read_network, read_time

if TYPE_CHECKING:
    from authz.lang.check.checker import Checker
    from authz.lang.source import Source

_FUNCTIONS: Final[dict[str, tuple[tuple[Type, ...], Type]]] = {
    "time": ((STRING,), TIME),
    "ip": ((STRING,), IP),
    "cidr": ((STRING,), CIDR),
    "hour": ((TIME, STRING), NUMBER),
    "weekday": ((TIME, STRING), NUMBER),
    "size": ((ANY,), NUMBER),
    "lower": ((STRING,), STRING),
    "starts_with": ((STRING, STRING), BOOL),
    "ends_with": ((STRING, STRING), BOOL),
    "contains": ((STRING, STRING), BOOL),
}
_USAGE: Final = {
    "time": 'time("2026-01-31T08:00:00Z")',
    "ip": 'ip("10.0.0.1")',
    "cidr": 'cidr("10.0.0.0/8")',
    "hour": 'hour(now, "Europe/Berlin")',
    "weekday": 'weekday(now, "Europe/Berlin")',
    "size": "size(roles)",
    "lower": "lower(subject.id)",
    "starts_with": 'starts_with(subject.id, "svc-")',
    "ends_with": 'ends_with(subject.id, "@example.com")',
    "contains": 'contains(subject.id, "@")',
}
_SIZED: Final = frozenset({"string", "set", "map", "dynamic"})


def call(check: Checker, written: ast.Call, source: Source) -> Typed:
    """Check a call: the function, the number of its arguments, and their types."""
    name = written.function.text
    place = Place(source, written.span)
    if name not in _FUNCTIONS:
        check.error(
            "unknown-function",
            f"there is no function `{name}`",
            source,
            written.function.span,
            near(name, _FUNCTIONS) or f"the functions are {listed(_FUNCTIONS)}",
        )
        return unknown(place)
    wanted, type_ = _FUNCTIONS[name]
    if len(written.arguments) != len(wanted):
        check.error(
            "wrong-arguments",
            f"`{name}` takes {len(wanted)} argument{'s' * (len(wanted) > 1)}, and here "
            f"{'is' if len(written.arguments) == 1 else 'are'} {len(written.arguments)}",
            source,
            written.span,
            f"write it as in `{_USAGE[name]}`",
        )
        return unknown(place)
    parts = [check.value(argument, source) for argument in written.arguments]
    for part, type_wanted in zip(parts, wanted, strict=True):
        _check_argument(check, name, part, type_wanted)
    if name in {"time", "ip", "cidr", "hour", "weekday"}:
        constant = _constant(check, name, parts, type_, place)
        if constant is not None:
            return constant
    node = checked.Call(name, tuple(part.node for part in parts), type_, place)
    result = check.of(node, type_, parts, deeper=1)
    return result._replace(terms=result.terms + (type_ is BOOL))


def _check_argument(check: Checker, name: str, part: Typed, wanted: Type) -> None:
    """Check the type of one argument."""
    kind = kind_of(part.type)
    fits = kind in _SIZED if wanted is ANY else kind in {wanted.kind, "dynamic"}
    if not fits:
        expected = "a string, set or map" if wanted is ANY else noun(wanted)
        check.mismatch(
            f"`{name}` takes {expected}, and this is {noun(part.type)}",
            part.node.place,
            f"write it as in `{_USAGE[name]}`",
        )


def _constant(check: Checker, name: str, parts: list[Typed], type_: Type, place: Place) -> Typed | None:
    """Read literal times, addresses, networks and zones now, so that a typing error shows at once."""
    last = parts[-1].node
    if not isinstance(last, checked.Const):
        if name in {"cidr", "hour", "weekday"}:
            what = "a network" if name == "cidr" else "a zone"
            check.error(
                "not-a-literal",
                f"`{name}` takes {what} as a literal",
                last.place.source,
                last.place.span,
                f"write it as in `{_USAGE[name]}`",
            )
            return unknown(place)
        return None
    if not isinstance(last.value, str):
        return unknown(place)  # _check_argument() has reported it
    if name in {"hour", "weekday"}:
        if not _zone_exists(last.value):
            check.error(
                "unknown-zone",
                f"there is no time zone `{last.value}`",
                last.place.source,
                last.place.span,
                'zones are named as in `"Europe/Berlin"`',
            )
        return None
    readers = {"time": read_time, "ip": read_address, "cidr": read_network}
    value = readers[name](last.value)
    if value is None:
        forms = {"time": "a time with an offset", "ip": "an address", "cidr": "a network"}
        check.error(
            f"invalid-{name}",
            f"`{last.value[:60]}` is not {forms[name]}",
            last.place.source,
            last.place.span,
            f"write it as in `{_USAGE[name]}`",
        )
        return unknown(place)
    return Typed(checked.Const(value, type_, place), type_)


def _zone_exists(zone: str) -> bool:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 (only policies that ask for local time pay for it)

    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        return False
    return True
