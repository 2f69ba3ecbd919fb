"""What the tests of enforcement points share: documents of two tenants, and points that decide about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from authz.model import Client, Request, Resource
from authz.pap.loader import ReadFile, load_files
from authz.pep.identity import Identity
from authz.pep.pdps.local import LocalPdp

if TYPE_CHECKING:
    from authz.pdp.program import Program

POLICY: Final = """
scope "docs:read"
scope "docs:write" implies "docs:read"

role "viewer"
role "editor" extends "viewer"

resource "document" {
  owner: string
}

context {
  ip: ip
}

tool "ping" {
  allow public
}

tool "list_documents" {
  require scope "docs:read"
  allow "list" role "viewer"
}

tool "read_document" on "document" {
  require scope "docs:read"
  allow "read" role "viewer"
}

tool "write_document" on "document" {
  require scope "docs:write"
  allow "write" role "editor" when args.title != "forbidden"
}

tool "share_document" on "document" {
  require scope "docs:write"
  allow "share" role "editor" then "notify" { to: "records" }
}

tool "delete_document" on "document" {
  require scope "docs:write"
  allow "delete" role "editor"
  deny "held" when resource.id == "held" because "the document is on hold"
}
"""
"""What the policy knows of a document server: `ping` is public, the rest asks for scopes and roles, within a tenant."""

ALICE: Final = Identity("alice", ("docs:read",), ("viewer",), "acme", "desktop")
"""Reads in acme."""
EDITH: Final = Identity("edith", ("docs:write",), ("editor",), "acme", "desktop")
"""Reads and writes in acme."""
SHORT: Final = Identity("edith", ("docs:read",), ("editor",), "acme", "desktop")
"""Edith with a token that lacks `docs:write`."""
GLEN: Final = Identity("glen", ("docs:write",), ("editor",), "globex", "desktop")
"""Reads and writes in globex, the other tenant."""


def program_of(policy: str = POLICY) -> Program:
    """Compile a policy."""
    return load_files([ReadFile("world.authz", "world.authz", policy.encode())]).program


def local_pdp(policy: str = POLICY) -> LocalPdp:
    """Return a decision point in this process."""
    return LocalPdp.of(program_of(policy))


def ask(tool: str = "read_document", who: Identity = ALICE, **more: Any) -> Request:  # noqa: ANN401  # any other field
    """Return a question of somebody, about a document of their own tenant unless `resource` says otherwise."""
    more.setdefault("resource", Resource("document", "d1", who.tenant))
    return Request(
        tool=tool,
        subject=who.subject,
        anonymous=not who.subject,
        scopes=who.scopes,
        roles=who.roles,
        tenant=who.tenant,
        client=Client(who.client) if who.client else None,
        subject_attributes=who.attributes,
        **more,
    )
