"""The guard of an MCP server: what stands in front of its tools and asks before each call.

The public names are those of `__all__`; they load when first used. `authz.mcp` and `authz.fastmcp`
put a guard into a server in one line; what stands here is for everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lazily import names_of

if TYPE_CHECKING:
    from authz.pep.catalogue import Catalogue, Item
    from authz.pep.config import GuardConfig, GuardConfigError
    from authz.pep.guard import Guard
    from authz.pep.http.gate import Gate
    from authz.pep.identity import ANONYMOUS, Identity, caller
    from authz.pep.limits import CallLimit
    from authz.pep.mapping import Mapping
    from authz.pep.messages import Message
    from authz.pep.obligations import Call, Handler, ObligationError, Obligations
    from authz.pep.opening import Protection, handlers_of, protection
    from authz.pep.pdp import Pdp, PdpError
    from authz.pep.pdps.channel import Tls
    from authz.pep.pdps.following import follow
    from authz.pep.pdps.local import Keeping, LocalPdp, open_local
    from authz.pep.pdps.remembering import Remembering
    from authz.pep.pdps.remote import RemotePdp
    from authz.pep.pdps.remote_sync import SyncRemotePdp
    from authz.pep.reading import load_guard
    from authz.pep.verdict import Outcome, Verdict

__all__ = [
    "ANONYMOUS",
    "Call",
    "CallLimit",
    "Catalogue",
    "Gate",
    "Guard",
    "GuardConfig",
    "GuardConfigError",
    "Handler",
    "Identity",
    "Item",
    "Keeping",
    "LocalPdp",
    "Mapping",
    "Message",
    "ObligationError",
    "Obligations",
    "Outcome",
    "Pdp",
    "PdpError",
    "Protection",
    "Remembering",
    "RemotePdp",
    "SyncRemotePdp",
    "Tls",
    "Verdict",
    "caller",
    "follow",
    "handlers_of",
    "load_guard",
    "open_local",
    "protection",
]

__getattr__ = names_of(
    __name__,
    {
        "authz.pep.catalogue": ("Catalogue", "Item"),
        "authz.pep.config": ("GuardConfig", "GuardConfigError"),
        "authz.pep.guard": ("Guard",),
        "authz.pep.http.gate": ("Gate",),
        "authz.pep.identity": ("ANONYMOUS", "Identity", "caller"),
        "authz.pep.limits": ("CallLimit",),
        "authz.pep.mapping": ("Mapping",),
        "authz.pep.messages": ("Message",),
        "authz.pep.obligations": ("Call", "Handler", "ObligationError", "Obligations"),
        "authz.pep.opening": ("Protection", "handlers_of", "protection"),
        "authz.pep.pdp": ("Pdp", "PdpError"),
        "authz.pep.pdps.channel": ("Tls",),
        "authz.pep.pdps.following": ("follow",),
        "authz.pep.pdps.local": ("Keeping", "LocalPdp", "open_local"),
        "authz.pep.pdps.remembering": ("Remembering",),
        "authz.pep.pdps.remote": ("RemotePdp",),
        "authz.pep.pdps.remote_sync": ("SyncRemotePdp",),
        "authz.pep.reading": ("load_guard",),
        "authz.pep.verdict": ("Outcome", "Verdict"),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
