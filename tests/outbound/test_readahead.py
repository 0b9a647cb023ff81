from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from addon.outbound import readahead
from addon.outbound.readahead import (
    GROW_AFTER,
    LARGE,
    MOST,
    QUICK,
    SMALL,
    ReadAhead,
    grow,
    keep_small,
)
from tests.clock import Clock
from tests.hub.certificates import Certificates

CHUNK = 64 * 1024


class TestWhoKeepsUp:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    def read(self, ahead: ReadAhead, clock: Clock, chunks: int, seconds: float) -> int:
        """How often it was said to be time."""
        said = 0
        for _ in range(chunks):
            ahead.asked()
            said += ahead.given(CHUNK)
            clock.now += seconds
        return said

    def test_is_told_once(self, clock: Clock) -> None:
        ahead = ReadAhead(clock)
        needed = GROW_AFTER // CHUNK
        assert self.read(ahead, clock, needed - 1, 0.0) == 0
        assert self.read(ahead, clock, 1, 0.0) == 1
        assert self.read(ahead, clock, 2 * needed, 0.0) == 0

    def test_a_slow_reader_is_never_told(self, clock: Clock) -> None:
        ahead = ReadAhead(clock)
        assert self.read(ahead, clock, 3 * GROW_AFTER // CHUNK, 2 * QUICK) == 0

    def test_nor_one_that_pauses_before(self, clock: Clock) -> None:
        ahead = ReadAhead(clock)
        needed = GROW_AFTER // CHUNK
        for _ in range(4):
            assert self.read(ahead, clock, needed - 1, 0.0) == 0
            clock.now += 2 * QUICK


class Receiver(asyncio.Protocol):
    """Notes how much comes at a time."""

    def __init__(self) -> None:
        self.longest = 0
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.longest = max(self.longest, len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


SENT = 8 * 1024 * 1024


@pytest.fixture
async def sender(tmp_path: Path) -> asyncio.Server:
    """Sends some MiB over TLS to whoever connects."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Certificates(tmp_path).issue(tmp_path, "localhost"))

    async def send(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(SENT))
        writer.close()

    return await asyncio.start_server(send, "127.0.0.1", 0, ssl=context)


async def received(server: asyncio.Server, *, grown: bool) -> int:
    """The most that came at a time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = server.sockets[0].getsockname()
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_connection(Receiver, host, port, ssl=context)
    transport.pause_reading()
    keep_small(transport)
    if grown:
        grow(transport)
    # By then the kernel holds more than either takes at a time.
    await asyncio.sleep(0.3)
    transport.resume_reading()
    await receiver.ended
    return receiver.longest


class TestAsynciosTls:
    """What this module knows of asyncio's inside: if a test fails here, that has changed."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        readahead._grown.clear()
        readahead.start_small()

    async def test_takes_little_at_a_time_at_first(self, sender: asyncio.Server) -> None:
        async with sender:
            assert 0 < await received(sender, grown=False) <= 2 * SMALL

    async def test_takes_more_once_it_may(self, sender: asyncio.Server) -> None:
        async with sender:
            assert await received(sender, grown=True) > 2 * SMALL

    async def test_but_not_on_too_many_connections(
        self, sender: asyncio.Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(readahead, "MOST", 0)
        async with sender:
            assert await received(sender, grown=True) <= 2 * SMALL


def test_connections_with_large_buffers_are_bounded() -> None:
    assert MOST * LARGE <= 16 * 1024 * 1024
