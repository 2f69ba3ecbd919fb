"""The policies and the questions that every engine is given, with the right answers.

W2: a hundred tools on documents, each behind a scope; whoever holds the tool's role may call it, or owns the document;
the document's tenant must be the caller's. W3: n rules of which one matches, told apart by something that differs.

The answers follow from the rules as they stand here, by no engine. Plain values, and nothing but the standard library:
every engine's process reads this module, also where authz is not installed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

TOOLS: Final = 100
ROLES: Final = 20
SCOPES: Final = 10
ASKED: Final = 400
"""Questions of a workload: enough that they do not all lie in the processor's nearest memory."""
FEW: Final = 10
"""Rules that are asked about where only their number is to make a difference: as many as the fewest there are."""
KINDS: Final = ("exact", "prefix", "suffix", "glob", "type", "role", "tenant", "alike")
"""By what the rules of W3 differ: the tool's name, or the pattern of it with `*` at its end, before it, and on both
sides; the resource's type; the role; the tenant's section; and a condition that no index can use."""
FLOOR: Final = 1_000
"""What a level must exceed for the first of the rules that are alike; each further one demands one more."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One tool of W2: who may call it."""

    tool: str
    scope: str
    role: str


@dataclass(frozen=True, slots=True)
class Question:
    """May this caller call this tool, on this resource."""

    subject: str
    tool: str
    tenant: str = "acme"
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    type: str = ""
    """The resource's; empty where there is none."""
    id: str = ""
    owner: str = ""
    of_tenant: str = ""
    """The resource's tenant."""
    level: int = 0
    """An attribute of the context."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the right answer to it."""

    question: Question
    allowed: bool


def w2_rules() -> tuple[Rule, ...]:
    """Return the rules of W2."""
    return tuple(Rule(f"tool_{n}", f"scope_{n % SCOPES}", f"role_{n % ROLES}") for n in range(TOOLS))


def w2_allows(question: Question) -> bool:
    """Say what W2 means."""
    for rule in w2_rules():
        if rule.tool == question.tool and question.type == "document":
            entitled = rule.role in question.roles or question.owner == question.subject
            return rule.scope in question.scopes and question.of_tenant == question.tenant and entitled
    return False


def w2_questions() -> tuple[Asked, ...]:
    """Return questions on W2: three in four are allowed, by role or as the owner; the others lack one thing each."""
    asked = []
    for number in range(ASKED):
        rule = w2_rules()[number * 37 % TOOLS]
        user = f"user_{number}"
        right = Question(
            subject=user,
            tool=rule.tool,
            scopes=(f"scope_{(number + 3) % SCOPES}", rule.scope),
            roles=(f"role_{(number + 7) % ROLES}", rule.role) if number % 2 else ("guest",),
            type="document",
            id=f"doc_{number}",
            owner=f"user_{number + 1}" if number % 2 else user,
            of_tenant="acme",
        )
        question = right if number % 4 else _spoilt(right, number // 4)
        asked.append(Asked(question, w2_allows(question)))
    return tuple(asked)


def _spoilt(right: Question, number: int) -> Question:
    """Return the question without the scope, without role and ownership, or with another tenant's document."""
    values = {name: getattr(right, name) for name in Question.__slots__}
    match number % 3:
        case 0:
            values |= {"scopes": ("scope_none",)}
        case 1:
            values |= {"roles": ("guest",), "owner": "somebody_else"}
        case _:
            values |= {"of_tenant": "globex"}
    return Question(**values)


def w3_questions(kind: str, rules: int, different: int = ASKED) -> tuple[Asked, ...]:
    """Return questions on so many of n rules, spread over them all: one rule allows each, but for one in four."""
    draw = random.Random(rules)  # noqa: S311  # which rules are asked for is no secret
    chosen = draw.sample(range(rules), min(different, rules))
    return tuple(
        Asked(_w3_question(kind, chosen[number % len(chosen)], number % 4 != 0), number % 4 != 0)
        for number in range(ASKED)
    )


def _w3_question(kind: str, rule: int, allowed: bool) -> Question:  # noqa: FBT001  # private, one caller
    roles = ("reader",) if allowed else ("guest",)
    match kind:
        case "exact" | "prefix" | "suffix" | "glob":
            return Question("alice", w3_tool(kind, rule).replace("*", "my"), roles=roles)
        case "type":
            return Question("alice", "read", roles=roles, type=f"type{rule}", id="d", of_tenant="acme")
        case "role":
            return Question("alice", "read", roles=("guest", f"role{rule}" if allowed else "nobody"))
        case "tenant":
            return Question("alice", "read", tenant=f"tenant{rule}", roles=roles)
        case "alike":
            return Question("alice", "read", roles=("reader",), level=FLOOR + 1 if allowed else FLOOR)
    raise ValueError(kind)


def w3_tool(kind: str, rule: int) -> str:
    """Return the tool's name, or the pattern of it."""
    return {
        "exact": f"tool{rule}",
        "prefix": f"server{rule}_*",
        "suffix": f"*_thing{rule}",
        "glob": f"get_*_thing{rule}_*",
    }[kind]
