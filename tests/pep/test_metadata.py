"""Protected resource metadata, and the scopes that clients ask for at first (issue 5, item 4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from mcp.client.auth.utils import build_protected_resource_metadata_discovery_urls
from mcp.shared.auth import ProtectedResourceMetadata

from authz.model import ToolInfo
from authz.pep.catalogue import Item
from authz.pep.http.metadata import ComputedScopes, metadata_url, minimal_scopes
from authz.pep.pdp import PdpError
from authz.pep.pdps.local import LocalPdp
from tests.pep.gate_world import POLICY, Doors, Settings, bearer, description, world
from tests.pep.world import program_of
from tests.tokens.world import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.wire.enforcement import Description

ROOT = "/.well-known/oauth-protected-resource"


class Describing(LocalPdp):
    """A decision point that knows which scopes tools ask for, counts who asks, and can be silent."""

    def __init__(self, **scopes: tuple[str, ...]) -> None:
        """Know these."""
        super().__init__(lambda: program_of(POLICY))
        self.scopes = scopes
        self.asked: list[int] = []
        self.trouble: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    async def describe(self, tools: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        """Say what is known."""
        self.asked.append(len(tools))
        self.reached.set()
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return "r1", tuple(description(tool, self.scopes.get(tool, ())) for tool in tools)


class Clock:
    """A clock that tests turn."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def items(**reading: bool | None) -> list[Item]:
    """Return tools and whether they say that they only read."""
    return [Item(name, ToolInfo(read_only=read_only)) for name, read_only in reading.items()]


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://mcp.example", f"https://mcp.example{ROOT}"),
        ("https://mcp.example/", f"https://mcp.example{ROOT}"),
        ("https://mcp.example/mcp", f"https://mcp.example{ROOT}/mcp"),
        ("https://mcp.example:8443/a/b", f"https://mcp.example:8443{ROOT}/a/b"),
        ("http://127.0.0.1:8000/mcp", f"http://127.0.0.1:8000{ROOT}/mcp"),
        ("http://[::1]:8000/mcp", f"http://[::1]:8000{ROOT}/mcp"),
    ],
)
def test_the_address_is_the_path_inserted_one(resource: str, url: str) -> None:
    """R3; RFC 9728, section 3.1; it is among those that the SDK's client looks at."""
    assert metadata_url(resource) == url
    assert url in build_protected_resource_metadata_discovery_urls(None, resource)


@pytest.mark.parametrize("path", [ROOT, f"{ROOT}/mcp"])
async def test_the_document_is_open_to_everyone(path: str) -> None:
    """R2, R3, R13; RFC 9728, section 2: what the SDK's own model takes, for pages of any origin."""
    w = world()
    answer = await w.ask(b"", (b"origin", b"https://inspector.example"), method="GET", path=path)
    assert answer.status == 200
    assert answer.json() == {
        "resource": AUDIENCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["docs:read"],
    }
    assert str(ProtectedResourceMetadata.model_validate_json(answer.body).resource) == AUDIENCE
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "max-age" in answer.headers["cache-control"]
    assert not w.reached.scopes


async def test_head_is_answered_like_get_without_a_body() -> None:
    """RFC 9110, section 9.3.2."""
    w = world()
    whole = await w.ask(method="GET", path=ROOT)
    head = await w.ask(method="HEAD", path=ROOT)
    assert (head.status, head.headers, head.body) == (200, whole.headers, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"])
async def test_nothing_else_can_be_done_with_it(method: str) -> None:
    """RFC 9110, section 15.5.6: 405, and what is allowed."""
    answer = await world().ask(b"x", bearer(), method=method, path=ROOT)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_a_page_may_ask_with_its_protocol_version() -> None:
    """Fetch standard, "CORS protocol": clients in browsers send MCP-Protocol-Version, which needs a preflight."""
    answer = await world().ask(method="OPTIONS", path=ROOT)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-headers"] == "mcp-protocol-version"


async def test_only_the_servers_own_document_is_open() -> None:
    """R2: other resources at this address are others' to describe."""
    for path in (f"{ROOT}/", f"{ROOT}/other", f"{ROOT}/mcp/", "/.well-known/openid-configuration"):
        assert (await world().ask(method="GET", path=path)).status == 401


def test_reading_is_what_a_client_begins_with() -> None:
    """R13: the scopes of the tools that only read, not the catalogue."""
    described = [description("read", ("a:read",)), description("find", ("b:read",)), description("wipe", ("a:admin",))]
    assert minimal_scopes(items(wipe=False, find=True, read=True), described) == ("a:read", "b:read")


def test_without_hints_it_is_what_asks_for_the_fewest() -> None:
    """R13, R21: a hint that is absent is not false, and not true either."""
    described = [
        description("read", ("a:read",)),
        description("send", ("a:read", "mail")),
        description("ping", ()),
        description("odd", ("odd",), known=False),
    ]
    assert minimal_scopes(items(read=None, send=None, ping=None, odd=None), described) == ("a:read",)
    assert minimal_scopes([], []) == ()
    assert minimal_scopes(items(ping=True), [description("ping", ())]) == ()


def test_what_nobody_should_ask_for_is_left_out() -> None:
    """R12, R13: no `offline_access`, no wildcard, nothing that RFC 6749, section 3.3 has no spelling for."""
    described = [description("read", ("offline_access", "docs:*", "*", "dócs", 'a"b', "a b", "a:read"))]
    assert minimal_scopes(items(read=True), described) == ("a:read",)


async def test_the_scopes_come_from_the_policy() -> None:
    """Issue 5, item 4: computed, in the document and in the challenge alike."""
    pdp = Describing(read_document=("docs:read",), write_document=("docs:write",))
    w = world(Settings(scopes_supported=None), pdp=pdp)
    assert (await w.ask(method="GET", path=ROOT)).json()["scopes_supported"] == ["docs:read"]
    assert 'scope="docs:read"' in (await w.ask(b"{}")).challenge
    assert pdp.asked == [3], "one question for both"


async def test_a_real_policy_says_which_scopes_basic_use_takes() -> None:
    """R13: `docs:read` for the one tool that only reads; `mail:send` and `docs:write` are left to step-up."""
    w = world(Settings(scopes_supported=None))
    assert (await w.ask(method="GET", path=ROOT)).json()["scopes_supported"] == ["docs:read"]


async def test_a_silent_decision_point_leaves_the_scopes_out() -> None:
    """RFC 9728, section 2: the member is optional, and an empty one must be left out (section 3.2)."""
    pdp = Describing()
    w = world(Settings(scopes_supported=None), pdp=pdp)
    for trouble in (None, PdpError("nobody answers"), RuntimeError("a defect")):
        pdp.trouble = trouble
        w.gate._scopes._until = None  # type: ignore[union-attr]  # as if time had passed
        answer = await w.ask(method="GET", path=ROOT)
        assert answer.status == 200
        assert "scopes_supported" not in answer.json()
        assert "scope=" not in (await w.ask(b"{}")).challenge


async def test_a_decision_point_that_has_just_started_is_asked_again() -> None:
    """R13, C8: a challenge without scopes makes clients ask for all of them, so the first one waits a little."""
    pdp = Describing(read_document=("docs:read",))
    pdp.gate.clear()
    pdp.trouble = PdpError("no answer within the deadline")
    scopes = ComputedScopes(lambda: Doors(pdp=pdp).guard, Clock())
    first = asyncio.create_task(scopes())
    await pdp.reached.wait()
    pdp.reached.clear()
    pdp.gate.set()
    await pdp.reached.wait()  # again
    pdp.trouble = None
    assert await first == ("docs:read",)


async def test_a_new_policy_is_seen_within_seconds_and_trouble_is_not_asked_twice() -> None:
    """Issue 5, item 4: at most one question in a few seconds, whether it was answered or not."""
    pdp, clock = Describing(read_document=("docs:read",)), Clock()
    scopes = ComputedScopes(lambda: Doors(pdp=pdp).guard, clock)
    assert await scopes() == ("docs:read",)
    pdp.scopes = {"read_document": ("docs:see",)}
    clock.now = 4.9
    assert await scopes() == ("docs:read",)
    clock.now = 5.1
    assert await scopes() == ("docs:see",)
    pdp.trouble = PdpError("nobody answers")
    clock.now = 11
    assert await scopes() == await scopes() == ("docs:see",), "what was said last is repeated"
    assert len(pdp.asked) == 3


async def test_many_who_are_refused_at_once_are_one_question() -> None:
    """Issue 5, item 4: single flight; whoever gives up waiting leaves the question to the next."""
    pdp = Describing(read_document=("docs:read",))
    pdp.gate.clear()
    scopes = ComputedScopes(lambda: Doors(pdp=pdp).guard, Clock())
    first, *others = [asyncio.ensure_future(scopes()) for _ in range(20)]
    await pdp.reached.wait()
    first.cancel()
    pdp.gate.set()
    answers: list[Any] = await asyncio.gather(*others)
    assert answers == [("docs:read",)] * 19
    assert len(pdp.asked) == 2


async def test_a_large_catalogue_is_asked_about_in_parts() -> None:
    """DescribeTools takes 1000 names."""
    pdp = Describing(t1500=("docs:read",))
    doors = Doors(pdp=pdp)
    doors.guard.catalogue.items = items(**{f"t{n}": True for n in range(2_345)})  # type: ignore[attr-defined]  # the world's
    assert await ComputedScopes(lambda: doors.guard, Clock())() == ("docs:read",)
    assert pdp.asked == [1000, 1000, 345]
