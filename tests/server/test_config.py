"""Addresses and settings: what is taken, what is refused, and the log's two looks."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from google.protobuf.internal import api_implementation

from authz.server.config import Config, ConfigError, ListenError, claim_socket, parse_address
from authz.server.grpcio import require_upb
from authz.server.log import console_line


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:8181", "127.0.0.1:8181"),
        ("127.8.9.10:0", "127.8.9.10:0"),
        ("localhost:1", "localhost:1"),
        ("[::1]:65535", "[::1]:65535"),
        ("unix:/run/authz.sock", "unix:/run/authz.sock"),
        ("unix:///run/authz.sock", "unix:/run/authz.sock"),
        ("unix:authz.sock", "unix:authz.sock"),
    ],
)
def test_a_local_address_is_taken(text: str, target: str) -> None:
    """Issue 2: loopback and Unix sockets need no further word."""
    assert parse_address(text).target == target


@pytest.mark.parametrize("text", ["0.0.0.0:8181", "[::]:8181", "10.0.0.1:80", "example.com:80", "[::ffff:127.0.0.1]:1"])
def test_an_address_that_others_can_reach_needs_a_word(text: str) -> None:
    """Issue 2, S55: default bind loopback; without TLS the rest of the network is let in only on purpose."""
    with pytest.raises(ConfigError, match="--insecure-bind"):
        parse_address(text)
    address = parse_address(text, insecure_bind=True)
    assert (address.target, address.loopback) == (text, False)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":8181", "8181", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[x]:80"),
        *("127.0.0.1:80\n", "127.0.0.1:٨", "a:b:1", "unix:", "unix:/" + "x" * 107, "unix:/a\0b"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Issue 2, bad input: one clear line."""
    with pytest.raises(ConfigError):
        parse_address(text, insecure_bind=True)


@pytest.mark.parametrize(("calls", "streams"), [(1, 1), (2, 1), (8, 7), (20, 18), (1_000, 900)])
def test_some_calls_are_kept_from_streams(calls: int, streams: int) -> None:
    """Issue 2: concurrency is bounded; streams that idle may not use it up."""
    config = Config(Path("/nonexistent"), parse_address("127.0.0.1:0"), max_concurrent=calls)
    assert config.max_streams == streams


def test_a_socket_that_is_in_use_is_not_taken_over(tmp_path: Path) -> None:
    """Issue 2: an address in use is an error; gRPC alone would take it away from its owner."""
    path = tmp_path / "s"
    claim_socket(path)
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(path))
        owner.listen()
        with pytest.raises(ListenError, match="another process"):
            claim_socket(path)
        assert path.exists()
    claim_socket(path)  # its owner has died
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(ListenError, match="not a socket"):
        claim_socket(path)
    assert path.read_text() == "mine"


def test_another_protobuf_implementation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 2: only upb bounds what a hostile message costs."""
    require_upb()
    monkeypatch.setattr(api_implementation, "Type", lambda: "python")
    with pytest.raises(ConfigError, match="upb"):
        require_upb()


def test_the_console_log_keeps_one_line_per_record() -> None:
    """SECURITY.md: log injection, also where people read along on a terminal."""
    record = {"timestamp": "T", "level": "info", "event": "decision", "subject": "a\n\x1b[31m\u202e\u2028b", "n": 1}
    line = console_line(None, "info", record)
    assert line == r"T info    decision subject='a\n\x1b[31m\u202e\u2028b' n=1"
    assert line.isprintable()
