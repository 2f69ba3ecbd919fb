"""What rules have to be able to say of callers, and what a guarded MCP server makes of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

from authz.errors import PolicyError
from authz.mcp import protect_local
from authz.pap.loader import load
from authz.pep.config import Stdio
from authz.pep.mapping import Rule, Touches
from tests.mcp.world import refused, settings

if TYPE_CHECKING:
    from pathlib import Path

POLICY: Final = """
scope "docs:read"
scope "docs:write" implies "docs:read"
scope "docs:admin" implies "docs:write"
scope "mail:send"

role "viewer"
role "editor" extends "viewer"
role "owner" extends "editor"

subject { department?: string }
resource "document" { owner?: string, department?: string }

tool "read_scope" { allow scope "docs:read" }

tool "both" {
  require scope "docs:read"
  allow role "viewer"
}

tool "any_scope" { allow scope any "docs:write", "mail:send" }
tool "all_scopes" { allow scope all "docs:read", "mail:send" }

tool "viewing" { allow role "viewer" }
tool "owning" { allow role "owner" }

tool "show_profile" (user?: string) {
  allow "self" when args.user == subject.id
  allow "administrator" role "administrator"
}
role "administrator"

tool "amend" on "document" {
  allow "owner" when resource.owner == subject.id
  allow "department" role "editor" when resource.department == subject.department
}

tool "open_to_all" { allow public }

tool "sealed" {
  allow role "editor"
  deny "sealed" because "nobody may"
}
"""

TOOLS: Final = (
    "read_scope",
    "both",
    "any_scope",
    "all_scopes",
    "viewing",
    "owning",
    "show_profile",
    "amend",
    "open_to_all",
    "sealed",
    "without_a_rule",
)

MAPPING: Final = (
    Rule(
        ("amend",),
        Touches("document", ("id",), ("tenant",), {"owner": ("owner",), "department": ("department",)}),
    ),
)

DONE: Final = "done"
ALICE: Final = Stdio("alice", tenant="acme")


def server() -> MCPServer[Any]:
    """Return a server whose tools all do the same."""
    made: MCPServer[Any] = MCPServer("rules", log_level="ERROR")

    def act(user: str = "", id: str = "", owner: str = "", department: str = "", tenant: str = "") -> str:  # noqa: A002  # its public name
        """Do it."""
        return DONE

    for name in TOOLS:
        made.add_tool(act, name=name)
    return made


async def call(folder: Path, who: Stdio, tool: str, **arguments: str) -> str:
    """Call a tool of a guarded server as somebody; return `done`, or the reason of the refusal."""
    guarded = server()
    protect_local(guarded, settings(folder, POLICY, stdio=who, mapping=MAPPING))
    async with Client(guarded) as client:
        try:
            result = await client.call_tool(tool, arguments)
        except MCPError as error:
            return refused(error)[1]
    assert result.structured_content == {"result": DONE}
    return DONE


def holding(*scopes: str, roles: tuple[str, ...] = ()) -> Stdio:
    """Return Alice with these scopes and roles."""
    return replace(ALICE, scopes=scopes, roles=roles)


@pytest.mark.parametrize(
    "scopes",
    [("docs",), ("docs:rea",), ("docs:readers",), ("DOCS:READ",), ("x docs:read",), ("docs:read,mail:send",), ("*",)],
)
async def test_a_scope_that_only_looks_like_another_is_not_that_one(tmp_path: Path, scopes: tuple[str, ...]) -> None:
    """S10, S91: no part, no prefix, no other case, no list in one name; exactly the text of RFC 6749, section 3.3."""
    assert await call(tmp_path, holding(*scopes), "read_scope") != DONE
    assert await call(tmp_path, holding(*scopes, "docs:read"), "read_scope") == DONE


async def test_scopes_and_roles_decide_together(tmp_path: Path) -> None:
    """S9: a scope without the role and a role without the scope open nothing."""
    assert await call(tmp_path, holding("docs:read", roles=("viewer",)), "both") == DONE
    assert await call(tmp_path, holding("docs:read"), "both") == "NO_ALLOW"
    assert await call(tmp_path, holding(roles=("viewer",)), "both") == "INSUFFICIENT_SCOPE"


async def test_a_rule_asks_for_any_of_several_scopes_or_for_all(tmp_path: Path) -> None:
    """S23: the two are told apart, whatever else is held."""
    assert await call(tmp_path, holding("mail:send"), "any_scope") == DONE
    assert await call(tmp_path, holding("docs:write"), "any_scope") == DONE
    assert await call(tmp_path, holding("docs:read"), "any_scope") != DONE
    assert await call(tmp_path, holding("docs:read", "mail:send"), "all_scopes") == DONE
    assert await call(tmp_path, holding("docs:read"), "all_scopes") != DONE
    assert await call(tmp_path, holding("mail:send"), "all_scopes") != DONE


@pytest.mark.parametrize("statement", ["require scope any", "require scope all", "allow scope any", "allow scope all"])
def test_any_or_all_of_no_scopes_is_no_policy(tmp_path: Path, statement: str) -> None:
    """S23: what nobody can mean is refused, rather than read as all or nothing."""
    (tmp_path / "p.authz").write_text(f'tool "t" {{ {statement} }}')
    with pytest.raises(PolicyError):
        load(tmp_path)


async def test_a_scope_counts_for_all_that_it_implies(tmp_path: Path) -> None:
    """S50, R11: over any number of steps, and never the other way."""
    assert await call(tmp_path, holding("docs:admin"), "read_scope") == DONE
    assert await call(tmp_path, holding("docs:admin"), "any_scope") == DONE
    assert await call(tmp_path, holding("docs:read"), "any_scope") != DONE


async def test_a_role_counts_for_all_that_it_extends(tmp_path: Path) -> None:
    """S52: over any number of steps, and never the other way."""
    assert await call(tmp_path, holding(roles=("owner",)), "viewing") == DONE
    assert await call(tmp_path, holding(roles=("viewer",)), "owning") == "NO_ALLOW"


def test_roles_that_extend_each_other_are_no_policy(tmp_path: Path) -> None:
    """S52: a circle would give everybody in it everything."""
    (tmp_path / "p.authz").write_text('role "a" extends "b" role "b" extends "a" tool "t" { allow role "a" }')
    with pytest.raises(PolicyError, match="cycle"):
        load(tmp_path)


async def test_roles_that_the_policy_does_not_know_open_nothing(tmp_path: Path) -> None:
    """S51: a role is a name that rules mention, and nothing else of a token."""
    for role in ("root", "admin", "Viewer", "viewer,editor", "view"):
        assert await call(tmp_path, holding(roles=(role,)), "viewing") == "NO_ALLOW"


async def test_one_sees_oneself_and_an_administrator_everybody(tmp_path: Path) -> None:
    """S25: an argument is compared with the caller; the exception is a rule of its own."""
    admin = Stdio("root", roles=("administrator",), tenant="acme")
    assert await call(tmp_path, ALICE, "show_profile", user="alice") == DONE
    assert await call(tmp_path, ALICE, "show_profile", user="bob") == "NO_ALLOW"
    assert await call(tmp_path, admin, "show_profile", user="bob") == DONE


async def test_a_missing_argument_is_nobodys_name(tmp_path: Path) -> None:
    """S25, S26: what is not there is not equal to anything, not even to a subject that is not there."""
    assert await call(tmp_path, ALICE, "show_profile") == "INDETERMINATE"
    assert await call(tmp_path, ALICE, "show_profile", user="") == "NO_ALLOW"


async def test_attributes_of_caller_and_resource_decide(tmp_path: Path) -> None:
    """S53: the owner, or an editor of the same department; one that neither has is none."""
    here = replace(ALICE, roles=("editor",), attributes={"department": "sales"})
    document = {"id": "d1", "tenant": "acme"}
    assert await call(tmp_path, ALICE, "amend", **document, owner="alice") == DONE
    assert await call(tmp_path, ALICE, "amend", **document, owner="bob", department="sales") != DONE
    assert await call(tmp_path, here, "amend", **document, owner="bob", department="sales") == DONE
    assert await call(tmp_path, here, "amend", **document, owner="bob", department="law") == "NO_ALLOW"
    nowhere = replace(here, attributes={})
    assert await call(tmp_path, nowhere, "amend", **document) != DONE


async def test_reaching_for_another_tenants_document_has_a_reason_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """S70, S73: the tenant is looked at before the owner; the caller is told, and so is the log."""
    caplog.set_level(logging.INFO, "authz.pep")
    assert await call(tmp_path, ALICE, "amend", id="d1", tenant="globex", owner="alice") == "TENANT_MISMATCH"
    assert [line for line in caplog.messages if "denied" in line and "TENANT_MISMATCH" in line]


async def test_what_no_rule_is_about_is_denied_and_public_is_said(tmp_path: Path) -> None:
    """S24, S54: a tool without a rule is nobody's; one for everybody says `public`."""
    everything = holding("docs:admin", "mail:send", roles=("owner", "administrator"))
    assert await call(tmp_path, everything, "without_a_rule") == "UNKNOWN_TOOL"
    assert await call(tmp_path, ALICE, "open_to_all") == DONE


@pytest.mark.parametrize(("name", "tenant"), [("root", "acme"), ("admin", "admin"), ("*", "*"), ("system", "")])
async def test_nobody_is_above_the_policy(tmp_path: Path, name: str, tenant: str) -> None:
    """S78: no name, tenant, role or scope opens what no rule opens, or passes a deny."""
    powerful = Stdio(
        name, scopes=("*", "admin", "docs:admin"), roles=("*", "root", "owner", "administrator"), tenant=tenant
    )
    assert await call(tmp_path, powerful, "without_a_rule") == "UNKNOWN_TOOL"
    assert await call(tmp_path, powerful, "sealed") == "EXPLICIT_DENY"
