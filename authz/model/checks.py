"""What L60 refuses of a request: every check there is, each naming the field."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeGuard

from authz.errors import InvalidRequestError
from authz.model.parts import Part, Resource
from authz.model.values import MAX_DEPTH, MAX_IDENTIFIER, MAX_ITEMS, MAX_TEXT, MAX_VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.model.request import Request

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc, which will never grow


def check(request: Request) -> None:
    """Raise `InvalidRequestError` for whatever L60 refuses."""
    if not request.tool:
        raise InvalidRequestError("tool", "must not be empty")
    if not request.subject and not request.anonymous:
        raise InvalidRequestError("subject", "must not be empty unless `anonymous` is set")
    if request.subject and request.anonymous:
        raise InvalidRequestError("anonymous", "must not be set beside a subject")
    if request.now is not None and request.now.tzinfo is None:
        raise InvalidRequestError("now", "must carry an offset from UTC")
    if request.unknown:
        _check_left_out(request)
    budget = _Budget()
    if not budget.took(*_names(request)):
        _check_names(budget, request)
    if request.resource is not None:
        budget.text("resource.id", request.resource.id)
        budget.attributes("resource.attributes", request.resource.attributes)
        budget.texts("resource.ancestors", request.resource.ancestors)
    budget.attributes("arguments", request.arguments)
    budget.attributes("context", request.context)
    budget.attributes("subject_attributes", request.subject_attributes)
    if request.client is not None:
        budget.attributes("client.attributes", request.client.attributes)


def _names(request: Request) -> tuple[list[str], list[Sequence[str]]]:
    """Return all identifiers of a request but the names of attributes: the single ones, and those in lists."""
    names, lists = [request.subject, request.tenant, request.tool], [request.scopes, request.roles]
    if (resource := request.resource) is not None:
        names += (resource.type, resource.tenant)
    if (client := request.client) is not None:
        names.append(client.id)
    if (info := request.tool_info) is not None:
        names.append(info.server)
        lists.append(info.tags)
    return names, lists


def _check_names(budget: _Budget, request: Request) -> None:
    """Refuse the first identifier that is none."""
    budget.identifier("subject", request.subject)
    budget.identifiers("scopes", request.scopes)
    budget.identifiers("roles", request.roles)
    budget.identifier("tenant", request.tenant)
    budget.identifier("tool", request.tool)
    if (resource := request.resource) is not None:
        budget.identifier("resource.type", resource.type)
        budget.identifier("resource.tenant", resource.tenant)
    if (client := request.client) is not None:
        budget.identifier("client.id", client.id)
    if (info := request.tool_info) is not None:
        budget.identifier("tool_info.server", info.server)
        budget.identifiers("tool_info.tags", info.tags)


def _check_left_out(request: Request) -> None:
    """Refuse values of parts that are said to be unknown: one of the two statements must be wrong."""
    resource = request.resource
    for part, name, given in (
        (Part.ARGUMENTS, "arguments", request.arguments),
        (Part.CONTEXT, "context", request.context),
        (Part.RESOURCE, "resource", resource is not None and resource != Resource(type=resource.type)),
    ):
        if given and part in request.unknown:
            raise InvalidRequestError(name, "is given, and named in `unknown` as well")


class _Budget:
    """What one request may still hold; every check of L60 draws on it.

    Each method looks first for what nearly all values are, plain ASCII text and plain numbers, and says
    where something stands only when there is something to say: half of a decision's time is spent here.
    """

    __slots__ = ("characters", "values")

    def __init__(self) -> None:
        self.characters = MAX_TEXT
        self.values = MAX_VALUES

    def took(self, names: list[str], lists: Sequence[Sequence[str]]) -> bool:
        """Count identifiers that are all plain and not many; False, and nothing is counted, where they may not be.

        Looked at as one text, they take a quarter of the time.
        """
        listed = 0
        for values in lists:
            if type(values) is not tuple and type(values) is not list:
                return False
            names += values
            listed += len(values)
        try:
            text = "".join(names)
        except TypeError:
            return False
        if listed > MAX_ITEMS or not _is_plain(text):
            return False
        self.characters -= len(text)
        self.values -= listed
        return True

    def text(self, where: str, value: object) -> None:
        if not isinstance(value, str):
            raise InvalidRequestError(where, "must be a string")
        self.spend(where, len(value))
        if not value.isascii() and _SURROGATE.search(value):
            raise InvalidRequestError(where, "is not valid Unicode: it holds half of a surrogate pair")

    def spend(self, where: str, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise InvalidRequestError(where, f"the request holds more than {MAX_TEXT} characters")

    def identifier(self, where: str, value: object) -> None:
        if _is_plain(value):
            self.spend(where, len(value))
            return
        self.text(where, value)
        assert isinstance(value, str)  # text() has refused everything else
        if len(value) > MAX_IDENTIFIER:
            raise InvalidRequestError(where, f"is longer than {MAX_IDENTIFIER} characters")
        if _CONTROL.search(value):
            raise InvalidRequestError(where, "holds a control character")
        if not unicodedata.is_normalized("NFC", value):
            raise InvalidRequestError(where, "is not in Unicode normal form NFC")

    def identifiers(self, where: str, values: object) -> None:
        if type(values) is tuple and not values:
            return
        spent = 0
        for index, value in enumerate(self.sequence(where, values)):
            if _is_plain(value):
                spent += len(value)
            else:
                self.identifier(f"{where}[{index}]", value)
        self.spend(where, spent)

    def texts(self, where: str, values: object) -> None:
        for index, value in enumerate(self.sequence(where, values)):
            self.text(f"{where}[{index}]", value)

    def sequence(self, where: str, values: object) -> Sequence[object]:
        if not isinstance(values, (list, tuple)):
            raise InvalidRequestError(where, "must be a list")
        self.count(where, len(values))
        return values

    def count(self, where: str, length: int) -> None:
        if length > MAX_ITEMS:
            raise InvalidRequestError(where, f"holds more than {MAX_ITEMS} items")
        self.values -= length
        if self.values < 0:
            raise InvalidRequestError(where, f"the request holds more than {MAX_VALUES} values")

    def attributes(self, where: str, values: object, depth: int = 1) -> None:
        if type(values) is dict:
            if not values and depth == 1:
                return
        elif not isinstance(values, Mapping):
            raise InvalidRequestError(where, "must be an object")
        if depth > MAX_DEPTH:
            raise InvalidRequestError(where, f"nests deeper than {MAX_DEPTH} levels")
        self.count(where, len(values))
        spent = 0
        for name, value in values.items():
            if _is_plain(name):
                spent += len(name)
            else:
                self.identifier(f"{where} (a name)", name)
            kind = type(value)
            if kind is str and len(value) <= MAX_IDENTIFIER and value.isascii():
                spent += len(value)
            elif kind is not bool and kind is not int and value is not None:
                self.value(f"{where}.{name}", value, depth)
        self.spend(where, spent)

    def value(self, where: str, value: object, depth: int) -> None:
        match value:
            case None | bool() | int():
                return
            case float():
                if not math.isfinite(value):
                    raise InvalidRequestError(where, "is not a finite number")
            case str():
                self.text(where, value)
            case list() | tuple():
                if depth >= MAX_DEPTH:
                    raise InvalidRequestError(where, f"nests deeper than {MAX_DEPTH} levels")
                for index, item in enumerate(self.sequence(where, value)):
                    self.value(f"{where}[{index}]", item, depth + 1)
            case Mapping():
                self.attributes(where, value, depth + 1)
            case _:
                raise InvalidRequestError(where, "is not a JSON value")


def _is_plain(value: object) -> TypeGuard[str]:
    """Say whether a value is certainly an identifier, as nearly all are."""
    return type(value) is str and value.isascii() and value.isprintable() and len(value) <= MAX_IDENTIFIER
