"""Ask the user in the middle of a call: by a request to the client, or, since 2026-07-28, by another round of the call.

In that revision a server sends no requests. It ends the call with what it wants to know, and the client
calls again with the answers and the server's state (MRTR). What we asked, and what was answered, goes
into that state, and the tool's own state into ours; the SDK seals it to the caller and to the call (R19).
Where nothing seals it, nobody can be asked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams
from mcp_types.methods import INPUT_REQUIRED_METHODS
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from authz.pep.obligations import ObligationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.context import ServerRequestContext

    from authz.pep.obligations import Elicit

    Context = ServerRequestContext[Any, Any]

_OURS: Final = "authz.v1"
_CANNOT: Final = "the user cannot be asked"
_INPUT_REQUIRED: Final = "input_required"


@dataclass(slots=True)
class Asking:
    """What one call asks the user. `inner` is the request as the tool sees it, without what is ours."""

    inner: Context
    elicit: Elicit | None = None
    question: dict[str, Any] | None = None
    """The result that ends this round; None when there is nothing to ask."""
    made: bool = False
    """Whether the call itself was made."""

    def outward(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return what the call came to, with our state around the tool's."""
        return result


def asking(ctx: Context, *, sealed: bool) -> Asking:
    """Return how this request can ask; `sealed` says that the SDK protects the state of calls."""
    if not _can_answer(ctx):
        return Asking(ctx)
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return Asking(ctx, _by_request(ctx) if ctx.session.can_send_request else None)
    # The SDK seals the state of these methods, and passes on that of any other as the client wrote it.
    return _rounds(ctx) if sealed and ctx.method in INPUT_REQUIRED_METHODS else Asking(ctx)


def _can_answer(ctx: Context) -> bool:
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _by_request(ctx: Context) -> Elicit:
    async def elicit(text: str, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        try:
            answer = await ctx.session.elicit_form(text, dict(schema), related_request_id=ctx.request_id)
        except (MCPError, ValidationError) as error:
            raise ObligationError(_CANNOT) from error
        return _entered(answer.action, answer.content)

    return elicit


@dataclass(slots=True)
class _Rounds(Asking):
    """A call that may take several rounds."""

    asked: tuple[str, ...] = ()
    """The questions of the round before, by their names."""
    answers: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """What came of earlier rounds."""
    responses: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    """The tool's own."""

    async def ask(self, text: str, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what was answered, or end the round. Raises `ObligationError`."""
        if self.made:
            raise ObligationError(_CANNOT)  # another round would make the call once more
        name = _name(text, schema)
        if name not in self.answers and name in self.asked and isinstance(self.responses.get(name), dict):
            response = self.responses[name]
            self.answers[name] = _entered(response.get("action"), response.get("content"))
        if name in self.answers:
            return self.answers[name]
        request = ElicitRequest(params=ElicitRequestFormParams(message=text, requested_schema=dict(schema)))
        self.question = {
            "resultType": _INPUT_REQUIRED,
            "inputRequests": {name: request.model_dump(by_alias=True, mode="json", exclude_none=True)},
            "requestState": self._state((name,), self.state),
        }
        raise ObligationError(_CANNOT)

    def outward(self, result: dict[str, Any]) -> dict[str, Any]:
        if result.get("resultType") != _INPUT_REQUIRED or not self.answers:
            return result
        return {**result, "requestState": self._state((), result.get("requestState"))}

    def _state(self, asked: tuple[str, ...], inner: str | None) -> str:
        return json.dumps({_OURS: {"asked": asked, "answers": self.answers, "inner": inner}})


def _rounds(ctx: Context) -> Asking:
    params = dict(ctx.params or {})
    ours = _opened(params.get("requestState"))
    if ours is None:
        rounds = _Rounds(ctx, state=params.get("requestState"))
    else:
        given = params.pop("inputResponses", None)
        responses: dict[str, Any] = given if isinstance(given, dict) else {}
        if others := {name: one for name, one in responses.items() if not name.startswith(_OURS)}:
            params["inputResponses"] = others
        params.pop("requestState")
        if ours["inner"] is not None:
            params["requestState"] = ours["inner"]
        rounds = _Rounds(
            replace(ctx, params=params),
            asked=tuple(ours["asked"]),
            answers=dict(ours["answers"]),
            responses=responses,
            state=ours["inner"],
        )
    rounds.elicit = rounds.ask
    return rounds


def _opened(state: Any) -> dict[str, Any] | None:  # noqa: ANN401  # as it was sent, and then sealed by us or the tool
    """Return our part of a state; None for one that is the tool's alone."""
    if not isinstance(state, str):
        return None
    try:
        found = json.loads(state)
    except (ValueError, RecursionError):
        return None
    ours = found.get(_OURS) if isinstance(found, dict) and found.keys() == {_OURS} else None
    if not isinstance(ours, dict) or ours.keys() != {"asked", "answers", "inner"}:
        return None
    return ours if isinstance(ours["asked"], list) and isinstance(ours["answers"], dict) else None


def _name(text: str, schema: Mapping[str, Any]) -> str:
    """Name a question by what it asks, so that an answer to another one never counts for it."""
    canonical = json.dumps([text, schema], sort_keys=True)
    return f"{_OURS}.{hashlib.sha256(canonical.encode()).hexdigest()[:32]}"


def _entered(action: object, content: object) -> Mapping[str, Any] | None:
    return content if action == "accept" and isinstance(content, dict) else None
