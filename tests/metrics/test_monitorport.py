from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from addon.metrics import monitorport
from addon.metrics.monitorport import MAX_CONNECTIONS, MAX_HEAD, MonitorPort, Page, parse_listener
from addon.start.listeners import Listener

OPTION = "docxy_metrics"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8363", "127.0.0.1", 8363),
        ("[::1]:8363", "::1", 8363),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("localhost:1", "localhost", 1),
    ],
)
def test_an_address_with_its_port(text: str, host: str, port: int) -> None:
    found = parse_listener(text, OPTION)
    assert found
    assert (found.host, found.port) == (host, port)
    assert found.remedy == (
        "choose another with --set docxy_metrics=ADDRESS:PORT, or none with --set docxy_metrics="
    )


def test_nothing_said_is_no_port() -> None:
    assert parse_listener("", OPTION) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("8363", id="no address: all of them would be too much"),
        pytest.param(":8363", id="an empty one"),
        pytest.param("127.0.0.1", id="no port"),
        pytest.param("127.0.0.1:http", id="a port's name"),
        pytest.param("127.0.0.1:65536", id="too large"),
        pytest.param("::1:8363", id="IPv6 without brackets"),
    ],
)
def test_anything_else_is_refused_by_the_options_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^docxy_metrics"):
        parse_listener(text, OPTION)


async def give(accept: str) -> Page:
    return Page(f"given as {accept}".encode())


async def fail(_accept: str) -> Page:
    raise RuntimeError("no page")


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, int]]:
    port = MonitorPort({"/page": give, "/fails": fail})
    try:
        yield await port.listen(Listener("127.0.0.1", 0))
    finally:
        port.close()


async def ask(address: tuple[str, int], request: bytes) -> bytes:
    """All that is answered, until the connection ends."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_sockets_that_listen_already_are_served_until_the_end() -> None:
    given = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    places = [one.getsockname()[:2] for one in given]
    port = MonitorPort({"/page": give})
    assert await port.take([one.detach() for one in given]) == places[0]
    for host, number in places:
        reader, writer = await asyncio.open_connection(host, number)
        writer.write(b"GET /page HTTP/1.1\r\n\r\n")
        assert (await reader.read()).endswith(b"given as ")
        writer.close()
    port.close()
    for place in places:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place)


async def test_a_page_is_given_and_the_connection_ends() -> None:
    async with served() as address:
        answer = await ask(address, b"GET /page?a=b HTTP/1.1\r\nHost: a\r\nACCEPT: text\r\n\r\n")
        head = await ask(address, b"HEAD /page HTTP/1.0\r\n\r\n")
    assert answer == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n"
        b"Cache-Control: no-store\r\nConnection: close\r\n\r\ngiven as text"
    )
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(
        b"Content-Length: 9\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /v2/ HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /page HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"GET /page\r\n\r\n", b"400"),
        (b"\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET /fails HTTP/1.1\r\n\r\n", b"500"),
    ],
)
async def test_whatever_else_is_asked_is_refused(request_: bytes, status: bytes) -> None:
    async with served() as address:
        answer = await ask(address, request_)
    assert answer.split(b" ")[1] == status
    assert b"no page" not in answer


async def test_a_head_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitorport, "HEAD_SECONDS", 600)
    async with served() as address:
        assert await ask(address, b"GET /page HTTP/1.1\r\nA: " + b"a" * 4 * MAX_HEAD) == b""


async def test_a_head_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitorport, "HEAD_SECONDS", 0.05)
    async with served() as address:
        assert await ask(address, b"GET /page HTTP/1.1\r\n") == b""


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitorport, "HEAD_SECONDS", 600)
    async with served() as address:
        silent = [await asyncio.open_connection(*address) for _ in range(MAX_CONNECTIONS)]
        assert await ask(address, b"GET /page HTTP/1.1\r\n\r\n") == b"", "one too many"
        silent[0][1].close()
        async with asyncio.timeout(20):
            while True:
                # Its end has to be noticed first.
                answer = await ask(address, b"GET /page HTTP/1.1\r\n\r\n")
                if answer:
                    break
        assert answer.startswith(b"HTTP/1.1 200 ")
        for _, writer in silent:
            writer.close()


async def test_a_port_that_is_taken_is_an_error() -> None:
    port = MonitorPort({})
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await port.listen(Listener("127.0.0.1", taken.getsockname()[1]))
    port.close()


async def test_several_processes_may_serve_one_port() -> None:
    first, second = MonitorPort({"/page": give}), MonitorPort({"/page": give})
    try:
        host, number = await first.listen(Listener("127.0.0.1", 0), is_shared=True)
        assert await second.listen(Listener(host, number), is_shared=True) == (host, number)
        first.close()
        answer = await ask((host, number), b"GET /page HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
    finally:
        first.close()
        second.close()
