"""Other names of a resource are no way around a rule about it: what the policy is asked is what the server reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.hostile.mcp_support import FRAMEWORKS, SECRET, attacked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HELD: Final = ("docs://held", "docs://page/held", "docs://page/held/end")
ALIASES: Final = (
    "{}#x",
    "{}#",
    "{}?x=1",
    "{}?",
    "{}?x#y",
    "{}\n",
    "{}\r\n",
    "{}\t",
    "{} ",
    " {}",
    "\ufeff{}",
    "{}\u2028",
    "{}%00",
    "{}/",
    "{}/.",
    "{}//",
    "{};x",
    "{}%0A",
    "{}%23x",
    "{}%3Fx",
)
REWRITTEN: Final = (
    ("docs://", "DOCS://"),
    ("docs://", "docs:///"),
    ("docs://", "docs:"),
    ("docs://", "docs://./"),
    ("docs://", "docs://x/../"),
    ("docs://", "docs:\\\\"),
    ("docs://", "docs://user@"),
    ("docs://", "\tdocs://"),
    ("held", "HELD"),
    ("held", "%68eld"),
    ("held", "%68%65%6c%64"),
    ("held", "%2568eld"),
    ("held", "he\tld"),
    ("held", "he\nld"),
    ("held", "x/../held"),
    ("held", "./held"),
    ("held", "x/%2e%2e/held"),
    ("held", "/held"),
    ("held", "hel\u200bd"),
    ("held", "\uff48eld"),
    ("held", "h\u0435ld"),
)
UNUSUAL: Final = sorted(
    {alias.format(uri) for alias in ALIASES for uri in HELD}
    | {uri.replace(what, by) for what, by in REWRITTEN for uri in HELD}
)


SHORT: Final = (
    "docs://page/held#x",
    "docs://page/held?x=1",
    "docs://page/held/end\n",
    "docs://page/%68eld",
    "docs://held#",
)


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_query_a_fragment_or_a_line_end_reads_nothing_that_is_denied(tmp_path: Path, framework: str) -> None:
    """Threats 2.5 (path confusions at the gateway); issue 5, build 3: all reads are guarded."""
    await _denied(tmp_path, framework, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_no_other_spelling_reads_what_a_rule_denies(tmp_path: Path, framework: str) -> None:
    """Threats 2.5, 3b 47-59; issue 5, build 3."""
    await _denied(tmp_path, framework, UNUSUAL)


async def _denied(folder: Path, framework: str, uris: Iterable[str]) -> None:
    async with attacked(folder, framework) as server:
        token = server.world.token("alice")
        for uri in uris:
            reply = await server.ask(token, "resources/read", {"uri": uri})
            assert SECRET not in reply.text, uri
            assert reply.code in {0, -32001, -32602}, (uri, reply.text)
        assert not {"held", "page held", "end held"} & set(server.done.calls)
        good = await server.ask(token, "resources/read", {"uri": "docs://page/1"})
        assert good.done


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_list_of_what_to_hear_of_is_asked_about_one_by_one(tmp_path: Path, framework: str) -> None:
    """Issue 5, build 3: one resource that may be heard of does not bring another one along."""
    policy = """
    role "viewer"
    resource "resource" {}
    tool "resources/subscribe" on "resource" { allow "changes" role "viewer" when resource.id == "docs://held" }
    """
    async with attacked(tmp_path, framework, policy) as server:
        token = server.world.token("alice")
        for uris in (
            ["docs://held", "docs://page/1"],
            ["docs://held#x", "docs://page/1"],
            [["docs://held"]],
            "docs://held",
        ):
            asked = {"notifications": {"resourceSubscriptions": uris}}
            reply = await server.ask(token, "subscriptions/listen", asked)
            assert "result" not in reply.message, uris
            assert "acknowledged" not in reply.text, uris
