"""Other spellings of a resource's URI are no way around a rule about it (threats: one resource, two names)."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.errors import InvalidRequestError
from authz.pep.messages import Message, targets
from authz.pep.uris import canonical, spellings


@pytest.mark.parametrize(
    ("uri", "asked"),
    [
        ("docs://page/held", ("docs://page/held",)),
        ("docs://page/%68%65ld", ("docs://page/held",)),
        ("docs://page/a%2fb", ("docs://page/a%2Fb", "docs://page/a/b")),
        ("docs://page/caf%C3%A9", ("docs://page/café",)),
        ("docs://page/café", ("docs://page/café",)),
        ("docs://page/a%20b", ("docs://page/a b",)),
        ("docs://page/%2568eld", ("docs://page/%2568eld", "docs://page/%68eld")),
        ("docs://page/100%", ("docs://page/100%",)),
        ("docs://page/held#x", ("docs://page/held#x", "docs://page/held")),
        ("docs://page/held?a=1#x", ("docs://page/held?a=1#x", "docs://page/held?a=1", "docs://page/held")),
        ("docs://page/held%3Fx", ("docs://page/held%3Fx", "docs://page/held?x", "docs://page/held")),
    ],
)
def test_a_uri_is_asked_about_as_people_read_it(uri: str, asked: tuple[str, ...]) -> None:
    """RFC 3986, sections 2.2, 2.3 and 6.2.2: only where it may mean something else, both spellings are asked about."""
    assert spellings(uri) == asked
    assert [one.id for one in targets(Message("resources/read", {"uri": uri}), "https://mcp.example")] == list(asked)
    listening = Message("subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}})
    assert [one.id for one in targets(listening, "https://mcp.example")] == list(asked)


@pytest.mark.parametrize("uri", ["docs://page/%ff", "docs://page/%C3", "docs://page/%c3%28"])
def test_what_is_no_text_cannot_be_asked_about(uri: str) -> None:
    """RFC 3629: -32602."""
    with pytest.raises(InvalidRequestError, match="uri"):
        spellings(uri)


@pytest.mark.parametrize(
    "uri", ["docs://page/held\n", "docs://page/he\tld", "docs://\x00", "docs://page/held ", "\x85d://a"]
)
def test_what_no_uri_holds_cannot_be_asked_about(uri: str) -> None:
    """RFC 3986, section 2: patterns of servers that end in `$` take a line end after it."""
    with pytest.raises(InvalidRequestError, match="uri"):
        spellings(uri)


_IN_URIS: Final = st.characters(codec="utf-8", exclude_categories=("Cc", "Z"))


@given(st.text(alphabet=_IN_URIS, max_size=8), st.data())
def test_the_decoded_text_is_always_asked_about(text: str, data: st.DataObject) -> None:
    """Whatever is encoded of it: what a server decodes once is among what the policy must allow."""
    spelt = "".join(
        "".join(f"%{byte:02x}" for byte in one.encode()) if data.draw(st.booleans()) or one == "%" else one
        for one in text
    )
    asked = spellings(f"docs://{spelt}")
    assert unquote(f"docs://{spelt}", errors="strict") in asked


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("https://MCP.Example:443/Mcp/", "https://mcp.example/Mcp"),
        ("HTTPS://mcp.example/", "https://mcp.example"),
        ("https://[::1]:443/", "https://[::1]"),
        ("https://mcp.example/%2e%2e/", "https://mcp.example/%2e%2e/"),
        ("api://MCP/", "api://MCP/"),
        ("http://localhost:8000/mcp", "http://localhost:8000/mcp"),
        ("mcp-client-id", "mcp-client-id"),
    ],
)
def test_identifiers_have_one_canonical_form(given: str, plain: str) -> None:
    """RFC 8707, section 2: scheme and host in lower case, no slash at the end."""
    assert canonical(given) == plain
