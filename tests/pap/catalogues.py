"""Catalogues for tests: short to write, and as a server would answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.pap.catalogue.fitting import fit
from authz.pap.catalogue.tools import read_catalogue

if TYPE_CHECKING:
    from authz.lang.checked import CheckedPolicySet
    from authz.lang.diagnostics import Diagnostic
    from authz.pap.catalogue.tools import Catalogue

READS = {"readOnlyHint": True, "openWorldHint": False}
WRITES = {"readOnlyHint": False, "destructiveHint": False}


def tool(name: str, schema: object = None, /, **hints: bool) -> dict[str, Any]:
    """Return one tool; `schema` is the whole schema, or the properties of one."""
    if isinstance(schema, dict) and "type" not in schema and not any(key.startswith("$") for key in schema):
        schema = {"type": "object", "properties": schema}
    shown = {"name": name, "annotations": hints}
    return shown if schema is None else {**shown, "inputSchema": schema}


def catalogue(*tools: dict[str, Any]) -> Catalogue:
    """Return the catalogue of these tools."""
    return read_catalogue(json.dumps({"tools": tools}, indent=1).encode(), "tools.json")


def policy(text: str) -> CheckedPolicySet:
    """Return a valid policy."""
    source = Source("p.authz", text)
    tree, problems = parse_policy(source)
    assert problems == ()
    return validate([(source, tree)])


def found(text: str, *tools: dict[str, Any]) -> tuple[Diagnostic, ...]:
    """Return what is found of a policy against these tools."""
    return fit(policy(text), catalogue(*tools))


def findings(text: str, *tools: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the code of each finding, and the text that it is about."""
    return {(one.code, one.source.slice(one.span)) for one in found(text, *tools)}
