"""The client of the mirror's own port, at servers that do as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from addon.inspection.loopback import Loopback, OwnPort, Peer

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(
    answer: Answer, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[OwnPort]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()

    async with await asyncio.start_server(serve, host, 0, ssl=tls) as server:
        yield OwnPort(host, server.sockets[0].getsockname()[1], tls is not None)


@contextlib.asynccontextmanager
async def asking(port: OwnPort, opened: list[Peer] | None = None) -> AsyncIterator[Loopback]:
    async def source(peer: Peer) -> str:
        return f"asked of {peer[1]}"

    heard = [] if opened is None else opened
    client = Loopback(port, "test", heard.append, source)
    try:
        yield client
    finally:
        await client.close()


def saying(head: str, body: bytes, heads: list[bytes] | None = None) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await reader.readuntil(b"\r\n\r\n")
            if heads is not None:
                heads.append(asked)
            writer.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)
            await writer.drain()
            if "Content-Length: 9" in head:
                return

    return answer


async def read(client: Loopback, target: str = "/v2/") -> tuple[int, bytes, str]:
    async with client.get(target, {"X-Field": "a"}) as response:
        body = b"".join([piece async for piece in response.pieces()])
        return response.status, body, await response.source()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1"])
async def test_it_is_known_by_its_near_end_before_it_asks(host: str) -> None:
    peers: list[Peer] = []
    opened: list[Peer] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[:2])
        assert peers == opened
        await saying("200 OK\r\nContent-Length: 2", b"ok")(reader, writer)

    async with served(answer, host) as port, asking(port, opened) as client:
        expected = (200, b"ok")
        for _ in range(2):
            status, body, source = await read(client)
            assert (status, body) == expected
            assert source == f"asked of {peers[0][1]}"
    assert len(peers) == 1, "the connection is kept"


async def test_a_target_is_asked_for_byte_for_byte_and_bytes_come_as_they_are() -> None:
    heads: list[bytes] = []
    answer = saying("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5", b"plain", heads)
    target = "/auth/token?service=a&scope=repository:a/b:pull&x=%2f"
    async with served(answer) as port, asking(port) as client:
        assert (await read(client, target))[1] == b"plain"
    head = heads[0].decode()
    assert head.startswith(f"GET {target} HTTP/1.1\r\n")
    assert "X-Field: a\r\n" in head
    assert "User-Agent: test\r\n" in head
    assert "Accept" not in head
    assert "Cookie" not in head


async def test_a_redirect_is_not_followed() -> None:
    answer = saying("307 Elsewhere\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0", b"")
    async with served(answer) as port, asking(port) as client:
        assert (await read(client))[0] == 307


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param("200 OK\r\nContent-Length: 9", b"short", id="a short body"),
        pytest.param("no http", b"", id="no HTTP"),
    ],
)
async def test_what_breaks_off_is_an_os_error(head: str, body: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)

    async with served(answer) as port, asking(port) as client:
        with pytest.raises(OSError, match=r"."):
            await read(client)


async def test_nobody_there_is_an_os_error() -> None:
    async with served(saying("200 OK", b"")) as port:
        pass
    async with asking(port) as client:
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await read(client)


async def test_a_certificate_of_another_name_is_no_hindrance(tmp_path: Path) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mirror.example").configure_cert(context)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    answer = saying("200 OK\r\nContent-Length: 2", b"ok")
    async with served(answer, tls=context) as port:
        named = OwnPort(port.host, port.port, tls=True, server_name="mirror.example")
        for each in (named, port):
            async with asking(each) as client:
                assert (await read(client))[1] == b"ok"
    assert names == ["mirror.example", None]


@pytest.mark.parametrize(
    ("port", "url"),
    [
        (OwnPort("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        (OwnPort("", 443, tls=True), "https://127.0.0.1:443"),
        (OwnPort("0.0.0.0", 80), "http://127.0.0.1:80"),
        (OwnPort("::", 80), "http://[::1]:80"),
        (OwnPort("2001:db8::1", 80), "http://[2001:db8::1]:80"),
    ],
)
def test_where_it_is_reached(port: OwnPort, url: str) -> None:
    assert port.url == url
