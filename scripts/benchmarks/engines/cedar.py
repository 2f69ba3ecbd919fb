"""Cedar, by cedarpy: policies parsed beforehand; roles and owners are what Cedar has entities for."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any, Final

from scripts.benchmarks.engines.engine import Engine
from scripts.benchmarks.workloads import w2_rules, w3_tool

if TYPE_CHECKING:
    from scripts.benchmarks.workloads import Question

PACKAGE: Final = "cedarpy"
_W2: Final = """\
permit (principal, action == Action::"{tool}", resource is Document) when {{
  principal.scopes.contains("{scope}") &&
  resource.tenant == principal.tenant &&
  (principal in Role::"{role}" || resource.owner == principal)
}};
"""
_W3: Final = """\
permit (principal in Role::"reader", action == Action::"{tool}", resource);
"""


def w2() -> Engine:
    """Return the policy W2."""
    return _engine("".join(_W2.format(tool=one.tool, scope=one.scope, role=one.role) for one in w2_rules()))


def w3(kind: str, rules: int) -> Engine:
    """Return n rules that differ in the tool's name."""
    return _engine("".join(_W3.format(tool=w3_tool(kind, number)) for number in range(rules)))


def _engine(text: str) -> Engine:
    cedarpy: Any = importlib.import_module("cedarpy")
    policies = cedarpy.PolicySet.from_str(text)
    entities, decide = cedarpy.Entities.from_json_str, cedarpy.is_authorized

    def prepare(question: Question) -> tuple[dict[str, str], Any]:
        return _asked(question), entities(json.dumps(_entities(question)))

    return Engine(prepare, lambda asked: decide(asked[0], policies, asked[1]), lambda answer: bool(answer.allowed))


def _asked(question: Question) -> dict[str, str]:
    return {
        "principal": f'User::"{question.subject}"',
        "action": f'Action::"{question.tool}"',
        "resource": f'Document::"{question.id}"',
    }


def _entities(question: Question) -> list[dict[str, Any]]:
    user = {
        "uid": {"type": "User", "id": question.subject},
        "attrs": {"tenant": question.tenant, "scopes": list(question.scopes)},
        "parents": [{"type": "Role", "id": role} for role in question.roles],
    }
    if not question.type:
        return [user]
    owner = {"__entity": {"type": "User", "id": question.owner}}
    document = {
        "uid": {"type": "Document", "id": question.id},
        "attrs": {"tenant": question.of_tenant, "owner": owner},
        "parents": [],
    }
    return [user, document]
