"""Answers as they come over a socket: what tells their end, and what of them breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from addon.outbound.faults import Fault
from addon.outbound.outbound import Outbound
from addon.outbound.received import Answer
from addon.outbound.sent import Sent
from addon.protocol.reply import BrokenTransfer
from addon.settings.wayout import OutboundSettings

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"


class Watcher:
    """Notes how each request ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, str, str]] = []
        self.faults: list[Fault | None] = []

    def asked(self, sent: Sent) -> None:
        pass

    def answered(self, sent: Sent) -> None:
        pass

    def ended(self, sent: Sent) -> None:
        self.ends.append((sent.bytes, sent.error, sent.cut))
        self.faults.append(sent.fault)


@asynccontextmanager
async def answered(raw: bytes, watcher: Watcher | None = None) -> AsyncIterator[Answer]:
    """The answer that these bytes are, after which the connection ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    outbound = Outbound(OutboundSettings())
    outbound.watch = watcher
    port = server.sockets[0].getsockname()[1]
    try:
        given = await outbound.request("GET", f"http://127.0.0.1:{port}/", [])
        yield given
        given.body.close()
    finally:
        await outbound.close()
        server.close()


async def read_all(given: Answer) -> bytes:
    content = b""
    while chunk := await given.body.read():
        content += chunk
    return content


@pytest.mark.parametrize(
    ("raw", "length", "closes_to_end"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", 4, False, id="a length"),
        pytest.param(CHUNKED + b"0\r\n\r\n", None, False, id="chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nbody", None, True, id="neither"),
    ],
)
async def test_what_tells_the_end_of_a_body_is_known(
    raw: bytes, length: int | None, closes_to_end: bool
) -> None:
    watcher = Watcher()
    async with answered(raw, watcher) as given:
        assert (given.status, given.length, given.closes_to_end) == (200, length, closes_to_end)
        assert await read_all(given) == b"body"
    assert watcher.ends == [(4, "", "")]


async def test_fields_are_as_they_came() -> None:
    raw = b"HTTP/1.1 404 No\r\nX-a: 1\r\nX-A:  \xe9 \r\nContent-Length: 0\r\n\r\n"
    async with answered(raw) as given:
        assert list(given.fields) == [("X-a", "1"), ("X-A", "\xe9"), ("Content-Length", "0")]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", id="before its length"),
        pytest.param(CHUNKED, id="before its last chunk"),
    ],
)
async def test_a_body_that_breaks_off_is_said_so_with_its_host(raw: bytes) -> None:
    watcher = Watcher()
    async with answered(raw, watcher) as given:
        with pytest.raises(BrokenTransfer, match=r"^upstream 127\.0\.0\.1:\d+ broke off: "):
            await read_all(given)
    assert [(received, cut) for received, _, cut in watcher.ends] == [(4, "")]
    assert "broke off" in watcher.ends[0][1]
    assert watcher.faults == [Fault.CUT_SHORT]


async def test_a_body_that_nobody_wants_to_its_end_is_cut() -> None:
    watcher = Watcher()
    async with answered(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", watcher):
        pass
    assert watcher.ends == [(0, "", "the rest was not wanted")]
