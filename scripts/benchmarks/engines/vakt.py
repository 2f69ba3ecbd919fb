"""vakt: a policy a tool, its rules on attributes.

A rule compares one attribute with constants, so what compares two of them (owner and subject, the tenants) is a rule
of our own, as vakt's documentation has it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from scripts.benchmarks.engines.engine import Engine
from scripts.benchmarks.workloads import w2_rules, w3_tool

if TYPE_CHECKING:
    from scripts.benchmarks.workloads import Question

PACKAGE: Final = "vakt"


def w2() -> Engine:
    """Return the policy W2."""
    vakt, rules = importlib.import_module("vakt"), importlib.import_module("vakt.rules")
    base: Any = importlib.import_module("vakt.rules.base").Rule

    class SameTenant(base):  # type: ignore[misc]  # a class of the package that only its own process has
        def satisfied(self, what: Any, inquiry: Any) -> bool:  # noqa: ANN401  # as the base class has it
            return bool(what == inquiry.subject["tenant"])

    class Owned(base):  # type: ignore[misc]  # as above
        def satisfied(self, what: Any, inquiry: Any) -> bool:  # noqa: ANN401  # as above
            return bool(what == inquiry.subject["id"])

    policies = []
    for one in w2_rules():
        resource = {"type": rules.Eq("document"), "tenant": SameTenant()}
        scope = rules.AnyIn(one.scope)
        holders = {"actions": [rules.Eq(one.tool)], "effect": vakt.ALLOW_ACCESS}
        by_role = [{"scopes": scope, "roles": rules.AnyIn(one.role)}]
        policies.append(vakt.Policy(f"{one.tool} role", resources=[resource], subjects=by_role, **holders))
        owned = [{**resource, "owner": Owned()}]
        policies.append(vakt.Policy(f"{one.tool} owner", resources=owned, subjects=[{"scopes": scope}], **holders))
    return _engine(vakt, policies)


def w3(kind: str, rules: int) -> Engine:
    """Return n rules that differ in the tool's name."""
    vakt, made = importlib.import_module("vakt"), importlib.import_module("vakt.rules")
    return _engine(
        vakt,
        [
            vakt.Policy(
                number,
                actions=[made.Eq(w3_tool(kind, number))],
                resources=[made.Any()],
                subjects=[{"roles": made.AnyIn("reader")}],
                effect=vakt.ALLOW_ACCESS,
            )
            for number in range(rules)
        ],
    )


def _engine(vakt: Any, policies: list[Any]) -> Engine:  # noqa: ANN401  # a module
    storage = vakt.MemoryStorage()
    for policy in policies:
        storage.add(policy)
    guard = vakt.Guard(storage, vakt.RulesChecker())

    def prepare(question: Question) -> Any:  # noqa: ANN401  # as the package has it
        subject = {
            "id": question.subject,
            "tenant": question.tenant,
            "scopes": list(question.scopes),
            "roles": list(question.roles),
        }
        resource = {"type": question.type, "tenant": question.of_tenant, "owner": question.owner}
        return vakt.Inquiry(action=question.tool, resource=resource, subject=subject)

    return Engine(prepare, guard.is_allowed, bool)
