"""The SDK plug-in over stdio, in a real process (issue 5, item 3)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from tests.mcp.world import POLICY, WIRES, names, refused

ROOT = Path(__file__).parents[2]


def program(folder: Path, stdio: str, **environment: str) -> StdioServerParameters:
    """Write a guard file and the policy, and return how the server is started."""
    (folder / "policies").mkdir()
    (folder / "policies" / "documents.authz").write_text(POLICY)
    (folder / "guard.toml").write_text(f"""
policies = "policies"
deadline = 5.0

[[tools]]
match = "*_document"
resource = {{ type = "document", id = "args.id" }}

{stdio}
""")
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "tests.mcp.stdio_server", str(folder / "guard.toml")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )


EDITH = """
[stdio]
subject_env = "WHO"
scopes = ["docs:write"]
roles = ["editor"]
tenant = "acme"
"""


@pytest.mark.parametrize("wire", WIRES)
async def test_policies_apply_over_stdio(tmp_path: Path, wire: str) -> None:
    """R1, S30: the caller is in the environment, and the policy decides as everywhere."""
    async with Client(program(tmp_path, EDITH, WHO="edith"), mode=WIRES[wire]) as client:
        assert "hidden" not in await names(client)
        result = await client.call_tool("write_document", {"id": "d1", "title": "x"})
        assert result.structured_content == {"result": "d1 is now x"}
        with pytest.raises(MCPError) as raised:
            await client.call_tool("write_document", {"id": "d1", "title": "forbidden"})
    assert refused(raised.value) == (-32001, "NO_ALLOW")


async def test_an_environment_that_names_nobody_admits_nobody(tmp_path: Path) -> None:
    """R1: a variable that is not set is no caller."""
    async with Client(program(tmp_path, EDITH), mode="legacy") as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("whoami", {})
    assert (raised.value.error.code, raised.value.error.message) == (-32603, "not admitted")
