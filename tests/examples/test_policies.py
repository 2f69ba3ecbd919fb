"""The policy of the example servers is one to copy, and fits their tools (issue 5, items 5 and 7)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from mcp import Client

from authz.pep import GuardConfig

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples" / "mcp"
