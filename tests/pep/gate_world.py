"""A gate with real tokens and real decisions, an application behind it that tells what reached it, and a way to ask."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from authz.model import ToolInfo
from authz.pdp.reads import ToolReads
from authz.pep.catalogue import Item
from authz.pep.guard import Guard
from authz.pep.http.admission import Admitted, admitted
from authz.pep.http.gate import Gate
from authz.pep.http.settings import GateSettings
from authz.pep.mapping import Mapping, Rule, Touches
from authz.pep.opening import Protection
from authz.tokens.errors import refused
from authz.tokens.service import TokenService
from authz.wire.enforcement import Description
from tests.pep.world import local_pdp
from tests.tokens.world import AUDIENCE, ISSUER, FixedKeys, NoHttp, claims, header, issuer, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Mapping as Mapped

    from authz.pep.http.asgi import ASGIApp, Event, Receive, Scope, Send
    from authz.pep.http.challenge import Mode
    from authz.pep.limits import CallLimit
    from authz.pep.pdp import Pdp
    from authz.pep.verdict import Verdict
    from authz.tokens.caller import Caller
    from authz.tokens.errors import Refusal

METADATA: Final = "https://mcp.example/.well-known/oauth-protected-resource/mcp"
POLICY: Final = """
scope "docs:read"
scope "docs:write" implies "docs:read"
scope "mail:send"
scope "offline_access"

role "editor"

resource "document" {
  owner: string
}

context {
  ip: ip
  protocol_version: string
  agent: string
}

tool "ping" {
  allow public
}

tool "read_document" on "document" {
  require scope "docs:read"
  allow "read" role "editor"
}

tool "write_document" on "document" {
  require scope "docs:write"
  allow "write" role "editor"
}

tool "send_document" on "document" {
  require scope "docs:read"
  require scope "mail:send"
  allow "send" role "editor"
}

tool "stay" {
  require scope "offline_access"
  allow "stay" role "editor"
}

tool "held" {
  allow "all" role "editor"
  deny "held" when args.held == true because "the document is on hold"
}

tool "near" {
  allow "near" when context.ip in cidr("127.0.0.0/8") and context.agent == "agent"
    and context.protocol_version == "2026-07-28"
}
"""


@dataclass(frozen=True)
class Settings(GateSettings):
    """The settings of a server as the gate reads them, each with a default."""

    resource: str = AUDIENCE
    audiences: frozenset[str] = frozenset({AUDIENCE})
    realm: str = "documents"
    max_body: int = 64 * 1024
    open_paths: frozenset[str] = frozenset({"/health"})
    scopes_supported: tuple[str, ...] | None = ("docs:read",)
    challenge: Mode = "required"
    authorization_servers: tuple[str, ...] = (ISSUER,)
    allowed_origins: frozenset[str] = frozenset()
    fresh_tools: tuple[str, ...] = ()


@dataclass
class Catalogue:
    """A server's tools, fixed."""

    items: Sequence[Item]

    async def tools(self) -> Sequence[Item]:
        """Return all."""
        return self.items

    async def tool(self, name: str) -> Item | None:
        """Return one."""
        return next((item for item in self.items if item.name == name), None)


TOOLS: Final = (
    Item("read_document", ToolInfo(read_only=True)),
    Item("write_document", ToolInfo(read_only=False)),
    Item("ping", ToolInfo()),
)


class Doors(Protection):
    """A protection that is made of parts, and counts how often it is opened and closed."""

    settings: GateSettings = Settings()
    guard: Guard = None  # type: ignore[assignment]  # set for each
    tokens: TokenService = None  # type: ignore[assignment]  # set for each

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        pdp: Pdp | None = None,
        tokens: Any = None,  # noqa: ANN401  # whatever has `validate`
        limit: CallLimit | None = None,
        fails: Exception | None = None,
    ) -> None:
        """Use these parts, or those of the world."""
        self.settings = settings or Settings()
        self.verdicts: list[Verdict] = []
        rules = (Rule(("*_document",), Touches("document", ("id",))),)
        self.guard = Guard(
            pdp or local_pdp(POLICY),
            Catalogue(TOOLS),
            Mapping(rules),
            self.settings.resource,
            knows=lambda _: False,
            limit=limit,
            deadline=5,
            observe=self.verdicts.append,
        )
        self.tokens = tokens or TokenService((issuer(),), NoHttp(), keys={ISSUER: FixedKeys()})
        self.happened: list[str] = []
        self._fails = fails

    async def open(self) -> None:
        """Count."""
        self.happened.append("open")
        if self._fails is not None:
            raise self._fails

    async def close(self) -> None:
        """Count."""
        self.happened.append("close")


class RefusingTokens:
    """Refuses every token for one reason, or fails outright."""

    def __init__(self, reason: Refusal | None) -> None:
        """Refuse so; None is a defect."""
        self.reason = reason

    async def validate(self, token: str, *, fresh: bool = False, source: str = "") -> Caller:
        """Refuse."""
        if self.reason is None:
            raise RuntimeError(f"planted defect with {token}")
        raise refused(self.reason, "a detail for the operator")


def token(**changed: object) -> str:
    """Return a token of alice, an editor of acme, changed."""
    return sign(header(), claims(time.time(), **({"scope": "docs:read"} | changed)))


def bearer(**changed: object) -> tuple[bytes, bytes]:
    """Return the header with such a token."""
    return (b"authorization", b"Bearer " + token(**changed).encode())


def call(tool: str, *, id_: object = 7, **arguments: object) -> bytes:
    """Return the body of a tool call."""
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}).encode()


@dataclass
class Reached:
    """What reached the application."""

    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    """What came after the body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole request, and answer 200 with who was admitted."""
        assert scope["type"] == "http"
        self.scopes.append(scope)
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"through"})
        self.after.append((await receive())["type"])

    @property
    def admitted(self) -> Admitted:
        """Return who was admitted last."""
        found = admitted(self.scopes[-1])
        assert found is not None
        return found


@dataclass
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  # whatever the body holds
        """Read the body."""
        return json.loads(self.body)

    @property
    def challenge(self) -> str:
        """Return the challenge, "" without one."""
        return self.headers.get("www-authenticate", "")


@dataclass
class Client:
    """Asks a gate without a network."""

    gate: ASGIApp
    peer: tuple[str, int] | None = ("127.0.0.1", 51_004)

    async def __call__(
        self,
        body: bytes | Sequence[bytes] = b"",
        *headers: tuple[bytes, bytes],
        method: str = "POST",
        path: str = "/mcp",
        query: bytes = b"",
        **more: object,
    ) -> Response:
        """Send a request, its body in the pieces given, and collect what is sent back."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"mcp.example"), *headers],
            "client": self.peer,
            "server": ("mcp.example", 443),
            **more,
        }
        sent: list[Event] = []

        async def receive() -> Event:
            if pieces:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
            return {"type": "http.disconnect"}

        async def send(event: Event) -> None:
            sent.append(event)

        await self.gate(scope, receive, send)
        start, *rest = sent or [{"type": "http.response.start", "status": 0, "headers": []}]
        assert start["type"] == "http.response.start"
        given = start["headers"]
        assert len({name for name, _ in given}) == len(given), "a header was sent twice"
        found = {name.decode("ascii"): value.decode("ascii") for name, value in given}
        assert not any(c in value for value in found.values() for c in "\r\n\0")
        return Response(start["status"], found, b"".join(event["body"] for event in rest))


@dataclass
class World:
    """A gate, what stands behind it, and who asks it."""

    doors: Doors
    reached: Reached
    gate: Gate
    ask: Client


def world(
    settings: Settings | None = None,
    *,
    admit: Callable[[Scope, Caller, str], None] | None = None,
    body_seconds: float = 30.0,
    **parts: Any,  # noqa: ANN401  # parts of the protection
) -> World:
    """Build one."""
    doors, reached = Doors(settings, **parts), Reached()
    gate = Gate(reached, doors, body_seconds=body_seconds, **({} if admit is None else {"admit": admit}))
    return World(doors, reached, gate, Client(gate))


def describing(asked: list[int], tools: Mapped[str, tuple[str, ...]]) -> Callable[..., Any]:
    """Return a `describe` that knows which scopes tools ask for, and counts."""

    async def describe(names: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        asked.append(len(names))
        return "r1", tuple(description(name, tools.get(name, ())) for name in names)

    return describe


def description(tool: str, scopes: tuple[str, ...], *, known: bool = True) -> Description:
    """Return what a policy reads for a tool: nothing but scopes."""
    return Description(tool, ToolReads(known=known), scopes)
