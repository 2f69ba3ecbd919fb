"""Read the answers of a decision service strictly: what is not clearly an answer is none.

`client` reads leniently, for people to look at; this is for those who act on the answer. An answer
that contradicts itself is refused as a whole, since nobody can tell which half of it is true.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from google.protobuf.message import DecodeError

from authz.errors import AuthzError, InvalidRequestError
from authz.model import Decision, Effect, Obligation, Reason
from authz.v1 import decision_pb2 as v1
from authz.wire.parts import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from authz.model import Request

    MessageT = TypeVar("MessageT", bound=Message)

Answer: TypeAlias = "Decision | AuthzError"

_REVISION: Final = re.compile(r"[0-9a-f]{64}")
_EFFECTS: Final = {effect.value: effect for effect in Effect}
_REASONS: Final = {reason.value: reason for reason in Reason}
_SHORT: Final = 512  # bytes of an answer that is worth remembering
_FIELD: Final = re.compile(r"(?P<field>[A-Za-z_][^\s:]{0,199}): (?P<problem>.+)", re.DOTALL)


class AnswerError(AuthzError):
    """Raised when an answer is none, or did not come; its text is for a log."""


def check_answer(data: bytes, request: Request) -> Decision:
    """Return the decision that the answer to one question carries. Raises `AnswerError`."""
    message = message_strictly(v1.CheckResponse, data)
    revision = revision_strictly(message.policy_revision)
    return decision_strictly(message, open_=bool(request.unknown), revision=revision)


def batch_answers(data: bytes, requests: Sequence[Request]) -> tuple[str, list[Answer]]:
    """Return the revision that has answered a batch, and its answers. Raises `AnswerError` where there is none."""
    message = message_strictly(v1.BatchCheckResponse, data)
    results = message.results[:]
    if len(results) != len(requests):
        raise AnswerError(f"{len(requests)} questions got {len(results)} answers")
    revision = revision_strictly(message.policy_revision)
    answers: list[Answer] = []
    for result, request in zip(results, requests, strict=True):
        try:
            answers.append(_result(result, request, revision))
        except AuthzError as error:
            answers.append(error)
    return revision, answers


def _result(result: v1.CheckResult, request: Request, revision: str) -> Decision:
    match result.WhichOneof("result"):
        case "response":
            response = result.response
            if not request.unknown:
                return decision_strictly(response, open_=False, revision=revision)
            response.ClearField("decision_id")  # the one thing in which two answers to the same question differ
            data = response.SerializeToString()
            if len(data) > _SHORT:
                return decision_strictly(response, open_=True, revision=revision)
            return _listed(data, revision)
        case "error":
            error = result.error
            if error.code == v1.ERROR_CODE_INVALID_ARGUMENT:
                raise InvalidRequestError(error.field or "request", error.message or "was refused")
            raise AnswerError(f"the question was not decided: {error.message[:200]}")
    raise AnswerError("a question got neither an answer nor an error")


@lru_cache(maxsize=4_096)
def _listed(data: bytes, revision: str) -> Decision:
    """Return what `decision_strictly` does, remembered: lists of tools get the same answers again and again.

    Looking closely at an answer takes eight times as long as finding out that one like it was looked at.
    """
    return decision_strictly(v1.CheckResponse.FromString(data), open_=True, revision=revision)


def message_strictly(kind: type[MessageT], data: bytes) -> MessageT:
    """Read a message. Raises `AnswerError` where the bytes are none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise AnswerError(f"the answer is no well-formed {kind.DESCRIPTOR.name} message") from None


def revision_strictly(text: str) -> str:
    """Return what must be a policy revision. Raises `AnswerError`."""
    if _REVISION.fullmatch(text) is None:
        raise AnswerError("the answer names no policy revision")
    return text


def decision_strictly(message: v1.CheckResponse, *, open_: bool, revision: str) -> Decision:
    """Return the decision of a response by this revision. Raises `AnswerError` where it is none.

    `open_` says whether the request named unknown parts (L68).
    """
    effect, reason = _EFFECTS.get(message.decision), _REASONS.get(message.reason)
    if effect is None or reason is None:
        raise AnswerError(f"the answer is none: decision {message.decision}, reason {message.reason}")
    if effect is Effect.CONDITIONAL and not open_:
        raise AnswerError("the answer is conditional, though the question left nothing open")
    if (effect is Effect.ALLOW) is not (reason is Reason.ALLOWED) or (effect is Effect.CONDITIONAL) is not (
        reason is Reason.CONDITIONAL
    ):
        raise AnswerError(f"the answer contradicts itself: {effect.name} because {reason.name}")
    missing, obligations = _texts(message.missing_scopes), message.obligations
    if (reason is Reason.INSUFFICIENT_SCOPE) is not bool(missing):
        raise AnswerError(f"the answer contradicts itself: {reason.name} and missing scopes do not go together")
    if obligations and effect is not Effect.ALLOW:
        raise AnswerError(f"the answer contradicts itself: {effect.name} comes with obligations")
    if message.policy_revision != revision:
        raise AnswerError("one batch was answered by two policy revisions")
    return Decision(
        effect,
        reason,
        message.message,
        _texts(message.rules),
        revision,
        tuple(map(_obligation, obligations)) if obligations else (),
        _texts(message.required_scopes),
        missing,
    )


def _texts(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(texts) if texts else ()  # a tuple of an empty field takes three times as long as this look at it


def _obligation(message: v1.Obligation) -> Obligation:
    if not message.name:
        raise AnswerError("the answer comes with an obligation that has no name")
    try:
        return Obligation(message.name, Reader().struct("obligations", message.parameters))
    except InvalidRequestError as error:
        raise AnswerError(f"the answer comes with an obligation that cannot be read: {error.problem}") from None


def refused(details: str) -> InvalidRequestError:
    """Return what a server says of a question that it finds malformed, from the details of its status."""
    found = _FIELD.match(details[:1_000])
    return InvalidRequestError(found["field"], found["problem"]) if found else InvalidRequestError("request", details)
