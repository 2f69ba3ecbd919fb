"""Placeholder until the formatter lands."""
from __future__ import annotations
from authz.lang import ast
from authz.lang.source import Source
def canonical_text(source: Source, file: ast.PolicyFile) -> str:
    return source.text
def format_policy(source: Source, file: object) -> str:
    return source.text
