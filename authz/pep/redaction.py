"""Take fields out of a result: what stays is JSON whose every field was looked at, never text that was not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from authz.errors import InvalidRequestError
from authz.json_form import read_json
from authz.lang.values import glob
from authz.pep.obligations import ObligationError

if TYPE_CHECKING:
    from authz.model import Attributes
    from authz.pep.obligations import Call

Pattern: TypeAlias = tuple[str, ...]
"""Names from the outside in; in each, `*` is any run of characters, and `**` is any number of names."""

REDACTED: Final = "[redacted]"
"""What stands for content that cannot be looked into."""
MAX_PATTERNS: Final = 100
_WRAPPED: Final = "result"
"""The member that servers wrap a result in which is no object."""
_PASSED: Final = frozenset({"isError", "resultType", "ttlMs", "cacheScope"})
"""Members of a result that say nothing of what it is about."""


@dataclass(frozen=True, slots=True)
class Redact:
    """Meets `redact { fields: "owner.email, *.secret", with: "…" }`: fields of results are replaced, or left out.

    Lists add no name to a path. Where a result has `structuredContent`, its content becomes the
    text of that; else text that is a JSON object or list is redacted, and all other content
    replaced as a whole, as is text that is all there is of a result (`{"result": "…"}`). Text in any other
    field stays as it is, unless it is a JSON object or list, which is redacted. Raises `ObligationError`
    for parameters that name nothing, and for results of other methods than `tools/call`,
    `resources/read` and `prompts/get`.
    """

    whole: str = REDACTED
    """What replaces content as a whole."""

    async def before(self, call: Call, parameters: Attributes) -> None:
        """Refuse what could not be done afterwards."""
        _Fields(parameters)
        if call.verdict.message.method not in {"tools/call", "resources/read", "prompts/get"}:
            raise ObligationError("the result of this method cannot be redacted")

    async def after(self, call: Call, parameters: Attributes, result: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # of the Protocol
        """Return the result without the fields."""
        fields = _Fields(parameters)
        if isinstance(structured := result.get("structuredContent"), dict) and structured.keys() == {_WRAPPED}:
            # No object: what a server wraps is mostly text, which may be JSON with the fields in it.
            result = {**result, "structuredContent": {_WRAPPED: self._inside(structured[_WRAPPED], fields)}}
        redacted = {name: value if name in _PASSED else fields.cut(value) for name, value in result.items()}
        if (structured := result.get("structuredContent")) is not None:
            if not isinstance(structured, dict | list):
                redacted["structuredContent"] = self.whole
            redacted["content"] = [_text(json.dumps(redacted["structuredContent"], ensure_ascii=False))]
            return redacted
        if "content" in result:
            redacted["content"] = [self._block(block, fields) for block in _listed(result["content"])]
        if "contents" in result:
            redacted["contents"] = [self._resource(one, fields) for one in _listed(result["contents"])]
        if "messages" in result:
            redacted["messages"] = [
                {**_object(one), "content": self._block(_object(one).get("content"), fields)}
                for one in _listed(result["messages"])
            ]
        return redacted

    def _inside(self, wrapped: object, fields: _Fields) -> object:
        if isinstance(wrapped, list):
            return [self._inside(one, fields) for one in wrapped]
        return self._of_text(wrapped, fields) if isinstance(wrapped, str) else wrapped

    def _block(self, block: object, fields: _Fields) -> dict[str, Any]:
        block = _object(block)
        return _text(self._of_text(block.get("text"), fields) if block.get("type") == "text" else self.whole)

    def _resource(self, one: object, fields: _Fields) -> dict[str, Any]:
        one = _object(one)
        kept: dict[str, Any] = {name: one[name] for name in ("uri", "mimeType") if name in one}
        return {**kept, "text": self._of_text(one.get("text"), fields)}

    def _of_text(self, text: object, fields: _Fields) -> str:
        try:
            found = read_json(text) if isinstance(text, str) else None
        except InvalidRequestError:
            return self.whole
        if not isinstance(found, dict | list):  # a value alone has no name that could be looked for
            return self.whole
        return json.dumps(fields.cut(found), ensure_ascii=False)


class _Fields:
    """The fields to take out, and what to put in their place."""

    def __init__(self, parameters: Attributes) -> None:
        given = parameters.get("fields")
        paths = given.split(",") if isinstance(given, str) else given
        if not isinstance(paths, list | tuple) or not 0 < len(paths) <= MAX_PATTERNS:
            raise ObligationError("the obligation to redact names no fields")
        patterns = [_pattern(path) for path in paths]
        # Text holds such a result as it is, and the structured form wraps it: both must lose the field.
        bare = [pattern[1:] for pattern in patterns if pattern[0] == _WRAPPED and len(pattern) > 1]
        wrapped = [(_WRAPPED, *pattern) for pattern in patterns]
        self._first = _opened(frozenset((*patterns, *bare, *wrapped)))
        replacement = parameters.get("with")
        if replacement is not None and not isinstance(replacement, str):
            raise ObligationError("the obligation to redact has no text to replace by")
        self._replacement = replacement

    def cut(self, value: Any) -> Any:  # noqa: ANN401  # a JSON value
        """Return a value without the fields."""
        return self._cut(value, self._first)

    def _cut(self, value: Any, patterns: frozenset[Pattern]) -> Any:  # noqa: ANN401  # as above
        if isinstance(value, list | tuple):
            return [self._cut(item, patterns) for item in value]
        if isinstance(value, str):
            return self._cut_text(value, patterns)
        if not isinstance(value, dict):
            return value
        found = {}
        for name, member in value.items():
            below = _opened(frozenset(rest for pattern in patterns for rest in _after(pattern, name)))
            if () not in below:
                found[name] = self._cut(member, below) if below else member
            elif self._replacement is not None:
                found[name] = self._replacement
        return found

    def _cut_text(self, text: str, patterns: frozenset[Pattern]) -> str:
        """Return a text without the fields, if it is a JSON object or list that has any."""
        if not text.lstrip().startswith(("{", "[")):
            return text
        try:
            found = read_json(text)
        except InvalidRequestError:
            return text
        cut = self._cut(found, patterns)
        return text if cut == found else json.dumps(cut, ensure_ascii=False)


def _pattern(path: object) -> Pattern:
    names = tuple(name.strip() for name in path.split(".")) if isinstance(path, str) else ()
    if not names or not all(names) or names[-1] == "**":
        raise ObligationError("the obligation to redact names a field that cannot be")
    return names


def _opened(patterns: frozenset[Pattern]) -> frozenset[Pattern]:
    """Add what `**` at the beginning of a pattern comes to when it stands for no name."""
    found = set(patterns)
    for pattern in patterns:
        while pattern and pattern[0] == "**":
            pattern = pattern[1:]  # noqa: PLW2901  # each shorter one counts
            found.add(pattern)
    return frozenset(found)


def _after(pattern: Pattern, name: str) -> tuple[Pattern, ...]:
    """Return what is left of a pattern below a member."""
    if not pattern:
        return ()
    if pattern[0] == "**":
        return (pattern,)
    return (pattern[1:],) if glob(pattern[0].split("*"), name) else ()


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
