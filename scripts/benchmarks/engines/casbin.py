"""casbin's Enforcer: one line of the policy for each tool, one matcher for them all."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from scripts.benchmarks.engines.engine import Engine
from scripts.benchmarks.workloads import w2_rules, w3_tool

if TYPE_CHECKING:
    from scripts.benchmarks.workloads import Question

PACKAGE: Final = "casbin"
_MODEL: Final = """\
[request_definition]
r = tool, sub, res
[policy_definition]
p = tool, scope, role
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = {}
"""
_W2: Final = (
    'r.tool == p.tool && r.res.type == "document" && r.res.tenant == r.sub.tenant && p.scope in r.sub.scopes'
    " && (p.role in r.sub.roles || r.res.owner == r.sub.id)"
)
_W3: Final = "r.tool == p.tool && p.role in r.sub.roles"


def w2(indexed: bool = False) -> Engine:  # noqa: FBT001, FBT002  # for the engine beside this one
    """Return the policy W2."""
    return _engine(_W2, [[one.tool, one.scope, one.role] for one in w2_rules()], indexed)


def w3(kind: str, rules: int, indexed: bool = False) -> Engine:  # noqa: FBT001, FBT002  # as above
    """Return n rules that differ in the tool's name."""
    return _engine(_W3, [[w3_tool(kind, number), "", "reader"] for number in range(rules)], indexed)


def _engine(matcher: str, lines: list[list[str]], indexed: bool) -> Engine:  # noqa: FBT001  # as above
    casbin: Any = importlib.import_module("casbin")
    model: Any = (importlib.import_module("casbin.model").FastModel([0])) if indexed else casbin.Enforcer.new_model()
    model.load_model_from_text(_MODEL.format(matcher))
    enforcer = casbin.FastEnforcer(model, cache_key_order=[0]) if indexed else casbin.Enforcer(model)
    enforcer.add_policies(lines)
    enforce = enforcer.enforce
    return Engine(_asked, lambda asked: enforce(*asked), bool)


def _asked(question: Question) -> tuple[Any, ...]:
    subject = SimpleNamespace(id=question.subject, tenant=question.tenant, scopes=question.scopes, roles=question.roles)
    resource = SimpleNamespace(type=question.type, tenant=question.of_tenant, owner=question.owner)
    return question.tool, subject, resource
