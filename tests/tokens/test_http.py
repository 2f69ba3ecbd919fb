"""Requests to issuers: what they never do, and what they bear (issue 4, item 2; threats 2.1 and 3d, 13 to 25)."""

from __future__ import annotations

import asyncio
import base64
import gzip
import logging
import socket
import ssl
import warnings
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from authz.tokens.addresses import is_public
from authz.tokens.errors import TokenConfigError
from authz.tokens.http import HttpError, SafeHttp
from authz.tokens.urls import read_url
from tests.tokens.servers import Asked, Server, answer, authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LIMIT = 1_000


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server that answers as it is told."""
    with Server() as running:
        yield running


@pytest.fixture
async def http(few: Path) -> AsyncIterator[SafeHttp]:
    """Return a client that may go to loopback."""
    made = SafeHttp(loopback_http=True, ca_file=few)
    yield made
    await made.close()


async def get(http: SafeHttp, url: str, *, deadline: float = 20) -> bytes:
    """Return the body of an answer."""
    return (await http.get(url, deadline=deadline, max_bytes=LIMIT)).body


async def refused(http: SafeHttp, url: str, *, deadline: float = 20) -> str:
    """Return why there is no answer: one line."""
    with pytest.raises(HttpError) as caught:
        await get(http, url, deadline=deadline)
    text = str(caught.value)
    assert "\n" not in text
    return text


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Have every name resolve to those addresses; return the names that were asked for, as they come."""
    names: list[str] = []

    def found(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        names.append(host)
        families = [socket.AF_INET6 if ":" in text else socket.AF_INET for text in answers]
        return [
            (family, socket.SOCK_STREAM, 6, "", (text, port)) for family, text in zip(families, answers, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return names


async def test_an_answer_comes_with_status_headers_and_body(server: Server, http: SafeHttp) -> None:
    """Issue 4, item 2."""
    server.answers["/keys"] = answer(b"text", 404, Cache_Control="max-age=5", X_Two="a")
    found = await http.get(f"{server.url}/keys?a=b", deadline=20, max_bytes=LIMIT)
    assert (found.status, found.body) == (404, b"text")
    assert found.headers["cache-control"] == "max-age=5"
    assert server.asked[0].path == "/keys?a=b"
    assert server.asked[0].headers["host"] == f"127.0.0.1:{server.port}"
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_a_form_is_sent_with_credentials_that_are_encoded_before_they_are_joined(
    server: Server, http: SafeHttp
) -> None:
    """RFC 6749, section 2.3.1; issue 4, item 4."""
    server.answers["/ask"] = answer({"active": True})
    await http.post(
        f"{server.url}/ask", {"token": "a b&c"}, basic=("id:1", "s c/é"), deadline=20, max_bytes=LIMIT
    )  # fmt: skip
    asked = server.asked[0]
    assert asked.body == b"token=a+b%26c"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")) == b"id%3A1:s+c%2F%C3%A9"


async def test_a_form_that_no_encoding_carries_is_an_error_of_ours(server: Server, http: SafeHttp) -> None:
    """Tokens: no exception of a library escapes."""
    with pytest.raises(HttpError):
        await http.post(f"{server.url}/ask", {"token": "\ud800"}, basic=None, deadline=20, max_bytes=LIMIT)
    assert server.asked == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
@pytest.mark.parametrize("place", ["/other", "http://127.0.0.2:1/", "file:///etc/passwd", "http://169.254.169.254/"])
async def test_a_redirect_is_an_error_and_no_second_request(
    server: Server, http: SafeHttp, status: int, place: str
) -> None:
    """Threats 2.1 (CVE-2026-102267) and 3d-22, C11."""
    server.answers["/keys"] = answer(b"", status, Location=place)
    server.answers["/other"] = answer({"keys": []})
    assert f"answered {status}: redirects are not followed" in await refused(http, f"{server.url}/keys")
    assert server.paths() == ["/keys"]


async def test_an_answer_that_drips_ends_at_the_deadline(server: Server, http: SafeHttp) -> None:
    """Threats 3d-16, S100: the deadline is for everything together, not for each read."""
    server.answers["/keys"] = server.drip
    assert "took longer than 0.3 s" in await refused(http, f"{server.url}/keys", deadline=0.3)


async def test_a_server_that_answers_nothing_ends_at_the_deadline(server: Server, http: SafeHttp) -> None:
    """Threats 3d-15."""
    server.answers["/keys"] = server.hang
    assert "took longer than 0.2 s" in await refused(http, f"{server.url}/keys", deadline=0.2)


async def test_a_body_beyond_the_limit_is_not_read(server: Server, http: SafeHttp) -> None:
    """Threats 3d-17, S97: 200 MB cost no more than the limit, whether the length is stated or not."""
    sent = 0

    def endless(_: Asked) -> Iterator[bytes]:
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while not server.released.is_set():
            yield b"10000\r\n" + b"x" * 65_536 + b"\r\n"
            sent += 65_536

    server.answers["/endless"] = endless
    server.answers["/stated"] = b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n" + b"x" * 10
    assert f"more than {LIMIT} bytes" in await refused(http, f"{server.url}/endless")
    assert f"more than {LIMIT} bytes" in await refused(http, f"{server.url}/stated")
    server.stop()
    assert sent < 50_000_000


async def test_a_body_of_just_the_limit_is_read(server: Server, http: SafeHttp) -> None:
    """Issue 4, item 2."""
    server.answers["/full"] = answer(b"x" * LIMIT)
    server.answers["/over"] = answer(b"x" * (LIMIT + 1))
    assert await get(http, f"{server.url}/full") == b"x" * LIMIT
    await refused(http, f"{server.url}/over")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x"])
async def test_a_compressed_answer_is_refused(server: Server, http: SafeHttp, encoding: str) -> None:
    """Threats 2.1 (DEFLATE bombs): what was not asked for is not unpacked."""
    server.answers["/keys"] = answer(gzip.compress(b"x" * 100), Content_Encoding=encoding)
    assert "compressed" in await refused(http, f"{server.url}/keys")


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
    ],
)
async def test_an_answer_that_is_no_http_is_an_error_of_ours(server: Server, http: SafeHttp, raw: bytes) -> None:
    """Tokens: no exception of a library escapes, and its text does not either."""

    def once(_: Asked) -> Iterator[bytes]:
        yield raw
        raise OSError

    server.answers["/keys"] = once
    assert f"`{server.url}/keys`" in await refused(http, f"{server.url}/keys")


async def test_an_answer_cut_short_is_an_error(server: Server, http: SafeHttp) -> None:
    """Threats 3d-14: half a document is none."""

    def short(_: Asked) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
        raise OSError

    server.answers["/keys"] = short
    await refused(http, f"{server.url}/keys")


async def test_cookies_netrc_and_proxies_play_no_part(
    server: Server, http: SafeHttp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Issue 4, item 2: nothing of the environment, and nothing of an earlier answer."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password planted\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers["/keys"] = answer(b"{}", Set_Cookie="a=b; Path=/")
    with Server() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        fresh = SafeHttp(loopback_http=True)
        for client in (http, http, fresh):
            await get(client, f"{server.url}/keys")
        await fresh.close()
        assert proxy.connections == 0
    for asked in server.asked:
        assert not {"cookie", "authorization"} & set(asked.headers)


async def test_a_connection_is_used_again(server: Server, http: SafeHttp) -> None:
    """Issue 4, S103: an introspection costs no new connection each time."""
    server.answers["/keys"] = answer(b"{}")
    for _ in range(3):
        await get(http, f"{server.url}/keys")
    assert server.connections == 1


async def test_an_origin_that_hangs_holds_up_no_other(server: Server, http: SafeHttp) -> None:
    """Threats 4: a tenant's issuer uses up nothing that another's needs."""
    server.answers["/keys"] = answer(b"{}")
    with Server() as other:
        other.answers["/hang"] = other.hang
        waiting = [asyncio.create_task(refused(http, f"{other.url}/hang")) for _ in range(40)]
        while other.connections < 16:  # noqa: ASYNC110  # the server is a thread
            await asyncio.sleep(0)
        assert await get(http, f"{server.url}/keys", deadline=10) == b"{}"
        other.released.set()
        other.stop()
        await asyncio.gather(*waiting)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/keys",
        "ftp://issuer.example/keys",
        "file:///etc/passwd",
        "data:application/json,{}",
        "https:///keys",
        "https://",
        "https://user@issuer.example/",
        "https://user:secret@issuer.example/",
        "https://issuer.example/#part",
        "https://issuer.example\\@evil.example/",
        "https://issuer.example/a b",
        "https://issuer.example/\r\nX: y",
        "https://issuer.example/é",
        "https://\u0131ssuer.example/",
        "https://issuer%2eexample/",
        "https://issuer.example./",
        "https://issuer..example/",
        "https://-issuer.example/",
        "https://issuer_.example/",
        "https://issuer.example:/",
        "https://issuer.example:0/",
        "https://issuer.example:022/",
        "https://issuer.example:22/",
        "https://issuer.example:80/",
        "https://issuer.example:65536/",
        "https://issuer.example:99999/",
        "https://issuer.example/a/../b",
        "https://issuer.example/%2e%2e/b",
        "https://issuer.example/%zz",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.01/",
        "https://1.2.3.4.5/",
        "https://[::1/",
        "https://[::1%25eth0]/",
        "https://[1.2.3.4]/",
        "https://[:::1]/",
        "https://" + "a" * 300 + ".example/",
        "https://issuer.example/" + "a" * 5_000,
    ],
)
async def test_an_odd_address_is_refused_before_anything_is_asked(
    http: SafeHttp, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Threats 2.1 (CVE-2026-48522) and 3d-25: schemes, user information, numbers in disguise."""
    names = resolving(monkeypatch, "127.0.0.1")
    await refused(http, url)
    assert names == []


def test_an_address_is_read_into_its_parts() -> None:
    """Issue 4, item 2."""
    assert read_url("https://Issuer.Example/a/b?c=d").origin == "https://issuer.example"
    assert read_url("https://issuer.example:8443/").origin == "https://issuer.example:8443"
    assert read_url("https://issuer.example:443").origin == "https://issuer.example"
    assert read_url("https://[2606:4700::0:1111]/").origin == "https://[2606:4700::1111]"
    assert read_url("https://issuer.example?c=d").target == "/?c=d"
    assert str(read_url("https://issuer.example/a?secret=1")) == "https://issuer.example/a"


PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::8.8.8.8",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_resolves_to_an_inner_address_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, few: Path, address: str
) -> None:
    """Threats 3d-25, C11: not even when public addresses stand beside it."""
    http = SafeHttp(ca_file=few)
    for answers in ([address], ["8.8.8.8", address]):
        resolving(monkeypatch, *answers)
        assert "address that requests do not go to" in await refused(http, "https://issuer.example/keys")
    await http.close()


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_inner_address_is_refused_when_it_is_written_as_such(few: Path, address: str) -> None:
    """Threats 3d-25, C11."""
    http = SafeHttp(ca_file=few)
    host = f"[{address}]" if ":" in address else address
    assert "address that requests do not go to" in await refused(http, f"https://{host}/keys")
    await http.close()


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_public(address: str) -> None:
    """Issue 4, item 2."""
    assert is_public(ip_address(address))


async def test_http_is_for_loopback_alone_and_only_where_it_is_opened(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threats 2.1, S55: only `https`; `http` on loopback under a development flag."""
    closed, opened = SafeHttp(), SafeHttp(loopback_http=True)
    assert "`https` only" in await refused(closed, f"{server.url}/keys")
    for address in ("8.8.8.8", "10.0.0.1", "169.254.169.254"):
        assert "do not go to" in await refused(opened, f"http://{address}/keys")
        resolving(monkeypatch, address)
        assert "do not go to" in await refused(opened, f"http://localhost:{server.port}/keys")
        resolving(monkeypatch, "127.0.0.1", address)
        assert "do not go to" in await refused(opened, f"http://localhost:{server.port}/keys")
    assert server.connections == 0
    await closed.close()
    await opened.close()


async def test_private_networks_are_open_where_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 4: an organisation's own provider may live in its own network; metadata services stay out of reach."""
    http = SafeHttp(networks=["10.20.0.0/16", "fd12::/32"])
    resolving(monkeypatch, "10.21.0.1")
    assert "do not go to" in await refused(http, "https://issuer.example/")
    for bad in ("169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/0", "8.0.0.0/8", "10.0.0.1/8", "::/0", "x", "fe80::/10"):
        with pytest.raises(TokenConfigError):
            SafeHttp(networks=[bad])
    connected: list[str] = []

    async def connect(self: object, host: str, *_: object) -> None:
        connected.append(host)
        raise OSError

    monkeypatch.setattr("httpcore2.AnyIOBackend.connect_tcp", connect)
    resolving(monkeypatch, "10.20.3.4")
    await refused(http, "https://issuer.example/")
    assert connected == ["10.20.3.4"]
    await http.close()


async def test_a_name_is_resolved_once_and_the_connection_goes_to_that_very_address(
    server: Server, http: SafeHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threats 3d-25 (rebinding), C11: a second answer of the name server counts for nothing."""
    server.answers["/keys"] = answer(b"{}")
    names = resolving(monkeypatch, "127.0.0.1")
    assert await get(http, f"http://issuer.test:{server.port}/keys") == b"{}"
    assert names == ["issuer.test"]
    assert server.asked[0].headers["host"] == f"issuer.test:{server.port}"


async def test_the_next_address_is_tried_where_one_takes_no_connection(
    server: Server, http: SafeHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 4, item 2: as any client does."""
    server.answers["/keys"] = answer(b"{}")
    resolving(monkeypatch, "::1", "127.0.0.1")
    assert await get(http, f"http://issuer.test:{server.port}/keys") == b"{}"


async def test_a_name_that_nobody_knows_is_one_clear_line(http: SafeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threats 3d-25: DNS fails."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert await refused(http, "https://issuer.example/keys") == (
        "`https://issuer.example/keys` cannot be found: the name server knows no address for it"
    )


async def test_a_server_that_is_down_is_one_clear_line(http: SafeHttp, server: Server) -> None:
    """Threats 3d-13."""
    server.stop()
    assert "cannot be reached: nothing takes the connection" in await refused(http, f"{server.url}/keys")


async def test_a_name_is_checked_against_the_certificate_though_the_address_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threats 3d-24: TLS names the host, and another host's certificate does not count."""
    ca = authority(tmp_path)
    named: list[str | None] = []
    context = ca.server(tmp_path, "issuer.test")
    context.sni_callback = lambda _socket, name, _context: named.append(name)
    resolving(monkeypatch, "127.0.0.1")
    http = SafeHttp(loopback_http=True, ca_file=ca.file)
    with Server(context) as server:
        server.answers["/keys"] = answer(b"{}")
        assert await get(http, f"https://issuer.test:{server.port}/keys") == b"{}"
        assert named == ["issuer.test"]
        assert "no certificate that counts" in await refused(http, f"https://other.test:{server.port}/keys")
        assert server.paths() == ["/keys"]
    await http.close()


async def test_an_expired_an_unknown_and_an_old_kind_of_tls_are_refused(tmp_path: Path) -> None:
    """Threats 3d-24."""
    ca = authority(tmp_path)
    trusting = SafeHttp(loopback_http=True, ca_file=ca.file)
    system = SafeHttp(loopback_http=True)
    with Server(ca.server(tmp_path, "127.0.0.1", days=-1)) as expired:
        assert "certificate has expired" in await refused(trusting, f"{expired.url}/keys")
    with Server(ca.server(tmp_path, "127.0.0.1")) as unknown:
        assert "no certificate that counts" in await refused(system, f"{unknown.url}/keys")
        assert unknown.asked == []
    old = ca.server(tmp_path, "127.0.0.1")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    with Server(old) as ancient:
        assert "no TLS that counts" in await refused(trusting, f"{ancient.url}/keys")
        assert ancient.asked == []
    await trusting.close()
    await system.close()


async def test_a_server_that_speaks_no_tls_is_one_clear_line(server: Server, http: SafeHttp) -> None:
    """Threats 3d-24."""
    assert "no TLS that counts" in await refused(http, server.url.replace("http:", "https:"))


async def test_session_keys_are_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threats, common rule: nothing secret in any output."""
    ca, log = authority(tmp_path), tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    http = SafeHttp(loopback_http=True, ca_file=ca.file)
    with Server(ca.server(tmp_path, "127.0.0.1")) as server:
        server.answers["/keys"] = answer(b"{}")
        await get(http, f"{server.url}/keys")
    await http.close()
    assert not log.exists()


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    """Issue 4: what cannot be used does not start."""
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(TokenConfigError, match="holds no certificates"):
            SafeHttp(ca_file=tmp_path / name)


async def test_no_secret_is_logged_or_shown(server: Server, http: SafeHttp, caplog: pytest.LogCaptureFixture) -> None:
    """Issue 4, item 7: a planted token and secret are in no output, not even where everything is logged."""
    caplog.set_level(logging.DEBUG)
    server.answers["/ask"] = answer(b"", 302)
    with pytest.raises(HttpError) as caught:
        await http.post(
            f"{server.url}/ask?key=planted-query",
            {"token": "planted-token"},
            basic=("client", "planted-secret"),
            deadline=20,
            max_bytes=LIMIT,
        )
    secret = base64.b64encode(b"client:planted-secret").decode()
    everything = caplog.text + str(caught.value) + repr(caught.value) + repr(vars(http))
    assert "planted-token" not in everything
    assert "planted-secret" not in everything
    assert secret not in everything
    assert "planted-query" not in str(caught.value)


async def test_a_caller_who_gives_up_leaves_the_client_usable(server: Server, http: SafeHttp) -> None:
    """Issue 4, item 2."""
    server.answers["/hang"] = server.hang
    server.answers["/keys"] = answer(b"{}")
    task = asyncio.create_task(get(http, f"{server.url}/hang"))
    while not server.asked:  # noqa: ASYNC110  # the server is a thread
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await get(http, f"{server.url}/keys") == b"{}"
