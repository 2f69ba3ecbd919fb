"""What generated code calls. Values as in `authz.lang.values`; None always means unknown (L50).

Functions that answer a question return True, False or None. Sets are frozensets of values of one
kind; two kinds never meet in one set, because True, 1 and 1.0 are equal to Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from authz.lang.types import Type
from authz.lang.values import (
    MAX_DURATION,
    MAX_TIME,
    MIN_TIME,
    Address,
    from_scaled,
    glob,
    in_zone,
    read_address,
    read_duration,
    read_number,
    read_time,
    scaled,
    split_path,
)

Truth: TypeAlias = "bool | None"
Reader: TypeAlias = Callable[[Any], Any]

# --- Reading --------------------------------------------------------------------------------


def walk(attributes: Mapping[str, Any], keys: Iterable[Any]) -> Any:
    """Follow keys through objects; None where the way ends, or a key is unknown."""
    value: Any = attributes
    for key in keys:
        if not isinstance(value, Mapping) or type(key) is not str:
            return None
        value = value.get(key)
    return value


def absent(attributes: Mapping[str, Any], keys: Iterable[Any]) -> bool:
    """Say whether an attribute is missing or null, rather than there and of the wrong type (L37)."""
    value: Any = attributes
    for key in keys:
        if type(key) is not str or not isinstance(value, Mapping):
            return False
        value = value.get(key)
        if value is None:
            return True
    return False


_NOTHING: Mapping[str, Any] = {}


def follow(entities: Mapping[tuple[str, str], Mapping[str, Any]], target: str, reference: str | None) -> Any:
    """Return the attributes of the entity that a reference names; none where there is no such entity (L12)."""
    return _NOTHING if reference is None else entities.get((target, reference), _NOTHING)


def absent_behind(
    entities: Mapping[tuple[str, str], Mapping[str, Any]],
    is_absent: bool,  # noqa: FBT001  # generated code passes it
    target: str,
    reference: str | None,
    keys: Iterable[Any],
) -> bool:
    """Say whether what a reference leads to is missing: the reference, its entity, or the attribute there (L37)."""
    if reference is None:
        return is_absent
    entity = entities.get((target, reference))
    return entity is None or absent(entity, keys)


def read_string(value: Any) -> str | None:
    """Read a string."""
    return value if type(value) is str else None


def read_bool(value: Any) -> Truth:
    """Read a bool."""
    return value if value is True or value is False else None


def read_map(value: Any) -> Mapping[str, Any] | None:
    """Read an object."""
    return value if isinstance(value, Mapping) else None


def read_any(value: Any) -> Any:
    """Leave a value as it is."""
    return value


_SCALARS: dict[str, Reader] = {
    "string": read_string,
    "ref": read_string,
    "number": read_number,
    "bool": read_bool,
    "time": read_time,
    "duration": read_duration,
    "ip": read_address,
    "dynamic": read_any,
    "any": read_any,
}


def reader(type_: Type) -> Reader:
    """Return the function that reads a JSON value as a declared type (L12)."""
    match type_.kind:
        case "union":
            options = type_.options
            return lambda value: value if type(value) is str and value in options else None
        case "set":
            return _set_reader(type_.item or type_)
        case "map":
            return _map_reader(reader(type_.item or type_))
        case "record":
            return _record_reader({field.name: (reader(field.type), field.optional) for field in type_.fields})
        case kind:
            return _SCALARS[kind]


def _set_reader(item: Type) -> Reader:
    if item.kind in {"dynamic", "any"}:
        return read_set
    read = reader(item)

    def read_items(value: Any) -> Any:
        if type(value) is not list and type(value) is not tuple:
            return None
        items = [read(member) for member in value]
        return None if None in items else frozenset(map(_member, items))

    return read_items


def _map_reader(read: Reader) -> Reader:
    def read_values(value: Any) -> Any:
        if not isinstance(value, Mapping) or any(v is not None and read(v) is None for v in value.values()):
            return None
        return value

    return read_values


def _record_reader(fields: Mapping[str, tuple[Reader, bool]]) -> Reader:
    def read_record(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return None
        for name, (read, optional) in fields.items():
            member = value.get(name)
            if (member is None and not optional) or (member is not None and read(member) is None):
                return None
        return value

    return read_record


def _hashable(value: Any) -> Any:
    """Stand for an object or array in a set: it can be counted there, and equals no scalar."""
    if isinstance(value, Mapping):
        return frozenset((name, _hashable(member)) for name, member in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else (type(value), value)


def _member(value: Any) -> Any:
    return _hashable(value) if isinstance(value, (Mapping, list, tuple)) else value


def _kind(value: Any) -> str:
    if type(value) is float:
        return "int"
    return type(value).__name__


def read_set(value: Any) -> frozenset[Any] | None:
    """Read an array of undeclared members: they must all be of one type (L12)."""
    if type(value) is not list and type(value) is not tuple:
        return None
    items = [read_number(member) if type(member) in {int, float} else member for member in value]
    if None in items or len({_kind(item) for item in items}) > 1:
        return None
    return frozenset(map(_member, items))


def as_set(value: Any) -> frozenset[Any] | None:
    """Take a set as it is, and read anything else as one."""
    return value if type(value) is frozenset else read_set(value)


def as_scalar(value: Any) -> Any:
    """Read an undeclared value that is compared: objects and arrays have no comparison (L32)."""
    if type(value) is str or value is True or value is False:
        return value
    return read_number(value)


# --- Truth ----------------------------------------------------------------------------------


def both(truths: Iterable[Truth]) -> Truth:
    """Join by Kleene's `and`."""
    truths = tuple(truths)
    return False if False in truths else None if None in truths else True


def either(truths: Iterable[Truth]) -> Truth:
    """Join by Kleene's `or`."""
    truths = tuple(truths)
    return True if True in truths else None if None in truths else False


def negate(truth: Truth) -> Truth:
    """Turn true into false; unknown stays."""
    return None if truth is None else not truth


def choose_truth(condition: Truth, yes: Truth, no: Truth) -> Truth:
    """Evaluate `(C and A) or (not C and B)` (L50)."""
    return either((both((condition, yes)), both((negate(condition), no))))


def choose(condition: Truth, yes: Any, no: Any) -> Any:
    """Choose between values of one kind: where the condition is unknown, only equal ones are known (L50)."""
    if condition is None:
        return yes if yes == no else None
    return yes if condition else no


def choose_any(condition: Truth, yes: Any, no: Any) -> Any:
    """Choose as `choose` does between values whose kinds are found out now."""
    if condition is None:
        return yes if equal(yes, no) else None
    return yes if condition else no


def first_present(attributes: Iterable[tuple[bool, Any]], otherwise: Any) -> Any:
    """Return the first value that is not absent: one of the wrong type is there, and unknown (L37)."""
    for is_absent, value in attributes:
        if not is_absent:
            return value
    return otherwise


# --- Comparisons ----------------------------------------------------------------------------


def equal(left: Any, right: Any) -> Truth:
    """Compare two values whose kinds are found out now (L32)."""
    if type(left) in {list, tuple, frozenset} or type(right) in {list, tuple, frozenset}:
        return sets_equal(as_set(left), as_set(right))
    if isinstance(left, Mapping) or isinstance(right, Mapping) or left is None or right is None:
        return None
    left, right = _known(left), _known(right)
    if left is None or right is None or _kind(left) != _kind(right):
        return None if not (_is_address(left) and _is_address(right)) else left == right
    return bool(left == right)


def _known(value: Any) -> Any:
    return read_number(value) if type(value) in {int, float} else value


def _is_address(value: Any) -> bool:
    return isinstance(value, Address)


def _unlike(left: frozenset[Any], right: frozenset[Any]) -> bool:
    return (
        bool(left and right)
        and _kind(next(iter(left))) != _kind(next(iter(right)))
        and not (_is_address(next(iter(left))) and _is_address(next(iter(right))))
    )


def sets_equal(left: frozenset[Any] | None, right: frozenset[Any] | None) -> Truth:
    """Compare sets, whatever order and duplicates; of unlike members is unknown."""
    return None if left is None or right is None or _unlike(left, right) else left == right


def subset(left: frozenset[Any] | None, right: frozenset[Any] | None) -> Truth:
    """Answer `subset of` (L33)."""
    return None if left is None or right is None or _unlike(left, right) else left <= right


def intersects(left: frozenset[Any] | None, right: frozenset[Any] | None) -> Truth:
    """Answer `intersects` (L33)."""
    return None if left is None or right is None or _unlike(left, right) else not left.isdisjoint(right)


def member(item: Any, items: frozenset[Any] | None) -> Truth:
    """Answer `in` for a value already read and a set (L33)."""
    if item is None or items is None or isinstance(item, (Mapping, list, tuple, frozenset)):
        return None
    return None if _unlike(frozenset({item}), items) else item in items


def in_network(address: Address | None, network: Any) -> Truth:
    """Answer whether an address lies in a network; other versions never do."""
    return None if address is None else address in network


def in_entities(ancestors: Sequence[str] | None, entities: Any) -> Truth:
    """Answer `resource in …`: one entity, or any of a set (L33)."""
    wanted = _entities(entities)
    return None if ancestors is None or wanted is None else not wanted.isdisjoint(ancestors)


def in_groups(groups: frozenset[str] | None, entities: Any) -> Truth:
    """Answer `subject in "group:…"`: groups are listed with or without the prefix (L33)."""
    wanted = _entities(entities)
    if groups is None or wanted is None:
        return None
    return any(e.startswith("group:") and (e in groups or e.removeprefix("group:") in groups) for e in wanted)


def _entities(entities: Any) -> frozenset[str] | None:
    if type(entities) is str:
        return frozenset({entities})
    wanted = as_set(entities)
    return wanted if wanted is not None and all(type(entity) is str for entity in wanted) else None


# --- Strings --------------------------------------------------------------------------------


def join(parts: Iterable[str | None]) -> str | None:
    """Join text and inserted values; unknown when one is."""
    parts = tuple(parts)
    return None if None in parts else "".join(parts)  # type: ignore[arg-type]  # no None is left


def like(text: str | None, pieces: Sequence[str | None]) -> Truth:
    """Answer `like` for a pattern with inserted values (L34)."""
    return None if text is None or None in pieces else glob(pieces, text)  # type: ignore[arg-type]  # no None is left


def under(text: str | None, base: Sequence[str] | None) -> Truth:
    """Answer `under`: segment by segment; unknown for a path that is not normal (L35)."""
    path = split_path(text) if text is not None else None
    return None if path is None or base is None else path[: len(base)] == base


def path_of(parts: Sequence[str | None], inserted: Sequence[int]) -> tuple[str, ...] | None:
    """Build the path of `under` from its parts; those at `inserted` may fill a segment and no more."""
    if any(not parts[at] or "/" in parts[at] for at in inserted):  # type: ignore[operator]  # `not` catches None
        return None
    return split_path("".join(parts))  # type: ignore[arg-type]  # no None is left


def starts_with(text: str | None, prefix: str | None) -> Truth:
    """Answer `starts_with`."""
    return None if text is None or prefix is None else text.startswith(prefix)


def ends_with(text: str | None, suffix: str | None) -> Truth:
    """Answer `ends_with`."""
    return None if text is None or suffix is None else text.endswith(suffix)


def contains(text: str | None, part: str | None) -> Truth:
    """Answer `contains`."""
    return None if text is None or part is None else part in text


def lower(text: str | None) -> str | None:
    """Lower a string's case by Unicode's default mapping."""
    return None if text is None else text.lower()


# --- Numbers, times, sizes ------------------------------------------------------------------


def sum_numbers(operands: Iterable[tuple[int, Any]]) -> int | float | None:
    """Add exactly, from left to right; a result that is not exact is unknown (L31)."""
    total: int | float | None = 0
    for sign, operand in operands:
        if operand is None or total is None:
            return None
        total = from_scaled(scaled(total) + sign * scaled(operand))
    return total


def sum_times(operands: Iterable[tuple[int, int | None]], kinds: Sequence[str]) -> int | None:
    """Add times and durations; `kinds` are those of the running results (L31)."""
    total = 0
    for (sign, operand), kind in zip(operands, kinds, strict=True):
        if operand is None:
            return None
        total += sign * operand
        low, high = (MIN_TIME, MAX_TIME) if kind == "time" else (-MAX_DURATION, MAX_DURATION)
        if not low <= total <= high:
            return None
    return total


def hour(time: int | None, zone: str) -> int | None:
    """Return the hour, 0-23, of a time in a zone."""
    return _local(time, zone, lambda moment: moment.hour)


def weekday(time: int | None, zone: str) -> int | None:
    """Return the day of the week, 1 = Monday, of a time in a zone."""
    return _local(time, zone, lambda moment: moment.isoweekday())


def _local(time: int | None, zone: str, part: Callable[[Any], int]) -> int | None:
    try:
        return None if time is None else part(in_zone(time, zone))
    except (OverflowError, ValueError):  # the first or last hours of the calendar, moved out of it by the zone
        return None


def size(value: Any) -> int | None:
    """Count characters, distinct members or entries (L38)."""
    if type(value) is str or type(value) is frozenset:
        return len(value)
    if isinstance(value, Mapping):
        return sum(member is not None for member in value.values())
    items = read_set(value)
    return None if items is None else len(items)
