"""The guard: one MCP message → one verdict. Every plug-in asks here, and so does the step-up gate.

It never raises for what a caller sends. Whatever is not a clear ALLOW with obligations that can be
met is no permission: an error, a time-out, an answer that is CONDITIONAL.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from authz.errors import InvalidRequestError
from authz.model import Decision, Effect, Part, Reason, Request, Resource
from authz.pep.messages import Message, Treatment, targets, tool_call, treatment
from authz.pep.pdp import PdpError, Questions
from authz.pep.uris import spellings
from authz.pep.verdict import UNAVAILABLE, Outcome, Verdict
from authz.pep.waiting import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from authz.model import Attributes
    from authz.pep.catalogue import Catalogue, Item
    from authz.pep.identity import Identity
    from authz.pep.limits import CallLimit
    from authz.pep.mapping import Mapping
    from authz.pep.pdp import Answer, Pdp

ListMode: TypeAlias = Literal["callable", "grantable"]

MOST_QUESTIONS: Final = 1_000
"""Questions of one call to a decision point; longer lists take several."""
_ALL: Final = frozenset(Part)
_ALL_BUT_RESOURCE: Final = _ALL - {Part.RESOURCE}
_ANY_READ: Final = Request(anonymous=True, tool="resources/read", resource=Resource("resource"), unknown=_ALL)
_MOST_REMEMBERED: Final = 10_000  # tools of one server


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides about the messages of one MCP server.

    `resource` identifies it (its resource identifier, RFC 8707). `knows` says which obligations can be
    met. `deadline` is in seconds, for each question; what has no answer by then is denied. `settle`
    makes of a decision what its obligations leave of it for this caller, before anything is done.
    `observe` hears of each verdict.
    """

    pdp: Pdp
    catalogue: Catalogue
    mapping: Mapping
    resource: str
    knows: Callable[[str], bool]
    list_mode: ListMode = "grantable"
    deadline: float = 0.25
    limit: CallLimit | None = None
    settle: Callable[[Decision, Identity], Decision] = field(default=lambda decision, _: decision)
    observe: Callable[[Verdict], None] = field(default=lambda _: None)
    _any_calls: dict[str, tuple[Item, Request]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Questions about any call of a tool, which are the same for all callers as long as its item is the same."""

    async def decide(self, message: Message, identity: Identity, context: Attributes) -> Verdict:
        """Return whether a message may go on."""
        verdict = await self._decide(message, identity, context, secrets.token_hex(16))
        self.observe(verdict)
        return verdict

    async def _decide(self, message: Message, identity: Identity, context: Attributes, request_id: str) -> Verdict:
        def end(outcome: Outcome, text: str = "", **more: Any) -> Verdict:  # noqa: ANN401  # the fields of a verdict
            return Verdict(message, identity, outcome, text, request_id, **more)

        match treatment(message.method):
            case Treatment.PASS | Treatment.FILTER:
                return end(Outcome.PASSED)
            case Treatment.DENY:
                return end(Outcome.DENIED, "this method is not allowed here")
            case _:
                pass
        if self.limit is not None and (wait := self.limit.take(identity)) > 0:
            return end(Outcome.DENIED, "too many calls: wait before the next", retry_after=wait)
        try:
            decision = await within(self.deadline, self._decision(message, identity, context, request_id))
        except InvalidRequestError as error:
            return end(Outcome.INVALID, f"the call cannot be authorized: {error}", problem=str(error))
        except (PdpError, TimeoutError) as error:
            return end(Outcome.UNAVAILABLE, UNAVAILABLE, problem=str(error) or "no answer within the deadline")
        except Exception as error:  # noqa: BLE001  # an error never widens access, whatever it is
            # Not its text, which may quote arguments.
            return end(Outcome.UNAVAILABLE, UNAVAILABLE, problem=f"a defect: {type(error).__name__}")
        return end(Outcome.PASSED) if decision is None else end(*self._outcome(decision), decision=decision)

    async def _decision(
        self, message: Message, identity: Identity, context: Attributes, request_id: str
    ) -> Decision | None:
        """Return the decision; None where a message touches nothing, so that there is nothing to ask."""
        questions = await self._questions(message, identity, context)
        return self.settle(await self._answer(questions, request_id), identity) if questions else None

    async def _questions(self, message: Message, identity: Identity, context: Attributes) -> Sequence[Request]:
        """Return what to ask; nothing where a message touches nothing."""
        if message.method == "tools/call":
            tool, arguments = tool_call(message)
            item = await self.catalogue.tool(tool)
            question = _request(
                identity,
                tool=tool,
                arguments=arguments,
                resource=self.mapping.resource(tool, arguments, identity),
                tool_info=item.info if item is not None else None,
                context=context,
            )
            return (question,)
        return [
            _request(identity, tool=one.tool, resource=Resource(one.type, one.id, identity.tenant), context=context)
            for one in targets(message, self.resource)
        ]

    async def _answer(self, questions: Sequence[Request], request_id: str) -> Decision:
        """Return the decision about all questions together: the first that is not ALLOW, else all obligations."""
        answers: Iterable[Answer]
        if len(questions) == 1:
            answers = (await self.pdp.check(questions[0], request_id=request_id),)
        else:
            answers = await self._answers(questions, request_id)
        allowed: Decision | None = None
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            if not answer.allowed:
                return answer
            due = () if allowed is None else allowed.obligations
            more = tuple(one for one in answer.obligations if one not in due)
            allowed = replace(answer, obligations=(*due, *more)) if due or more else answer
        if allowed is None:
            raise PdpError("there is no answer")
        return allowed

    def _outcome(self, decision: Decision) -> tuple[Outcome, str]:
        if decision.effect is not Effect.ALLOW:
            return Outcome.DENIED, decision.message or "denied"
        unknown = next((one.name for one in decision.obligations if not self.knows(one.name)), None)
        if unknown is not None:
            return Outcome.DENIED, "it is allowed under a condition that cannot be met here"
        return Outcome.ALLOWED, ""

    async def visible(self, method: str, items: Sequence[Item], identity: Identity) -> Sequence[bool] | Verdict:
        """Say for each item of a list whether the caller sees it, in one batch; a verdict where nobody answered.

        What does not depend on the call is decided, the rest left open: an item is shown unless every
        use of it would be denied (L68). `grantable` also shows what more scopes would open, so that a
        caller can learn of it and step up.
        """
        request_id = secrets.token_hex(16)
        try:
            caller = _request(identity, tool="-")
            questions = [self._open_question(method, item, identity.tenant) for item in items]
            answers = await within(self.deadline, self._open_answers(caller, questions, request_id))
        except Exception as error:  # noqa: BLE001  # as in decide
            problem = str(error) or "no answer within the deadline"
            verdict = Verdict(Message(method), identity, Outcome.UNAVAILABLE, UNAVAILABLE, request_id, problem=problem)
            self.observe(verdict)
            return verdict
        return [self._shows(answer) for answer in answers]

    def _open_question(self, method: str, item: Item, tenant: str) -> Request | InvalidRequestError:
        try:
            return self._any_use(method, item, tenant)
        except InvalidRequestError as error:
            return error

    def _any_use(self, method: str, item: Item, tenant: str) -> Request:
        """Return the question about any use of an item, whoever asks it."""
        match method:
            case "tools/list":
                return self._any_call(item)
            case "resources/templates/list":
                return _ANY_READ
            case "prompts/list":
                tool, resource = "prompts/get", Resource("prompt", item.name, tenant)
            case _:
                tool, resource = "resources/read", Resource("resource", spellings(item.name)[0], tenant)
        return Request(anonymous=True, tool=tool, resource=resource, unknown=_ALL_BUT_RESOURCE)

    def _any_call(self, item: Item) -> Request:
        known = self._any_calls.get(item.name)
        if known is not None and known[0] is item:
            return known[1]
        resource = self.mapping.open_resource(item.name)
        unknown = _ALL if self.mapping.has_resource(item.name) else _ALL_BUT_RESOURCE
        question = Request(anonymous=True, tool=item.name, resource=resource, tool_info=item.info, unknown=unknown)
        if len(self._any_calls) >= _MOST_REMEMBERED:
            self._any_calls.clear()
        self._any_calls[item.name] = item, question
        return question

    async def _open_answers(
        self, caller: Request, questions: Sequence[Request | InvalidRequestError], request_id: str
    ) -> Iterable[Answer]:
        """Return the answers to what a caller asks of items; one of which nothing can be asked spoils only itself."""
        asked = Questions(caller, [question for question in questions if isinstance(question, Request)])
        given = iter(await self._answers(asked, request_id))
        return [next(given) if isinstance(question, Request) else question for question in questions]

    async def _answers(self, asked: Sequence[Request], request_id: str) -> Sequence[Answer]:
        answers: list[Answer] = []
        for start in range(0, len(asked), MOST_QUESTIONS):
            answers += await self.pdp.check_all(asked[start : start + MOST_QUESTIONS], request_id=request_id)
        if len(answers) != len(asked):
            raise PdpError("the answers are not as many as the questions")
        return answers

    def _shows(self, answer: Answer) -> bool:
        if not isinstance(answer, Decision):
            return False
        if answer.effect is not Effect.DENY:
            return True
        return self.list_mode == "grantable" and answer.reason is Reason.INSUFFICIENT_SCOPE


def _request(identity: Identity, **question: Any) -> Request:  # noqa: ANN401  # the fields of a request
    return Request(
        subject=identity.subject,
        anonymous=not identity.subject,
        scopes=identity.scopes,
        roles=identity.roles,
        tenant=identity.tenant,
        client=identity.agent,
        subject_attributes=identity.attributes,
        **question,
    )
