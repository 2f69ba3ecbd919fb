"""Rego in Rust (regorus, by opa-eval): one rule over data, which is Rego's fastest form of many alike rules."""

from __future__ import annotations

import importlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scripts.benchmarks.engines.engine import Engine
from scripts.benchmarks.workloads import w2_rules, w3_tool

if TYPE_CHECKING:
    from scripts.benchmarks.workloads import Question

PACKAGE: Final = "opa-eval"
_W2: Final = """\
package authz

import rego.v1

default allow := false

allow if {
	rule := data.tools[input.tool]
	input.resource.type == "document"
	input.resource.tenant == input.tenant
	rule.scope in input.scopes
	entitled(rule)
}

entitled(rule) if rule.role in input.roles

entitled(_) if input.resource.owner == input.subject
"""
_W3: Final = """\
package authz

import rego.v1

default allow := false

allow if data.tools[input.tool].role in input.roles
"""


def w2() -> Engine:
    """Return the policy W2."""
    return _engine(_W2, {one.tool: {"scope": one.scope, "role": one.role} for one in w2_rules()})


def w3(kind: str, rules: int) -> Engine:
    """Return n rules that differ in the tool's name."""
    return _engine(_W3, {w3_tool(kind, number): {"role": "reader"} for number in range(rules)})


def _engine(text: str, tools: dict[str, dict[str, str]]) -> Engine:
    opa: Any = importlib.import_module("opa_eval")
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name:
        file = Path(name) / "authz.rego"
        file.write_text(text, encoding="utf-8")
        made = opa.OpaEval(str(file), data_json=json.dumps({"tools": tools}), query="data.authz.allow")
    return Engine(_asked, made.evaluate_parsed, lambda answer: answer is True)


def _asked(question: Question) -> str:
    asked: dict[str, Any] = {
        "subject": question.subject,
        "tool": question.tool,
        "tenant": question.tenant,
        "scopes": question.scopes,
        "roles": question.roles,
    }
    if question.type:
        asked["resource"] = {
            "type": question.type, "id": question.id, "tenant": question.of_tenant, "owner": question.owner,
        }  # fmt: skip
    return json.dumps(asked)
