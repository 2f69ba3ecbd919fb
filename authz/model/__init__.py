"""What is asked and what is answered: frozen values that every door shares.

A `Request` that exists is valid: its constructor checks everything L60 demands, so nothing
after it has to. A `Decision` is what `Program.decide` returns and what every door renders.

quick      how a value of a frozen class is made fast
values     JSON values, and how much of them one request may hold
parts      what a request is made of
checks     what L60 refuses
request    what is asked
decision   what is answered
traces     how it came about
act        who does something administrative
"""

from typing import TYPE_CHECKING

from authz.lazily import names_of
from authz.model.decision import Decision, Effect, Obligation, Reason
from authz.model.parts import Client, Part, Resource, ToolInfo, resource_of
from authz.model.quick import maker
from authz.model.request import CALLER, Request, unchecked_request
from authz.model.values import MAX_DEPTH, MAX_IDENTIFIER, MAX_ITEMS, MAX_TEXT, MAX_VALUES, Attributes, Value

if TYPE_CHECKING:
    from authz.model.act import Act
    from authz.model.traces import ConditionTrace, Explanation, Fact, Outcome, RuleTrace, Seen

__all__ = [
    "CALLER",
    "MAX_DEPTH",
    "MAX_IDENTIFIER",
    "MAX_ITEMS",
    "MAX_TEXT",
    "MAX_VALUES",
    "Act",
    "Attributes",
    "Client",
    "ConditionTrace",
    "Decision",
    "Effect",
    "Explanation",
    "Fact",
    "Obligation",
    "Outcome",
    "Part",
    "Reason",
    "Request",
    "Resource",
    "RuleTrace",
    "Seen",
    "ToolInfo",
    "Value",
    "maker",
    "resource_of",
    "unchecked_request",
]

__getattr__ = names_of(
    __name__,
    {  # A decision needs none of these, and making their classes shows in the start-up of `authz-eval`.
        "authz.model.act": ("Act",),
        "authz.model.traces": ("ConditionTrace", "Explanation", "Fact", "Outcome", "RuleTrace", "Seen"),
    },
)
