from __future__ import annotations

import asyncio
import inspect

import pytest
from mitmproxy.proxy import server

from addon.mitm import pace
from addon.mitm.inner import (
    FramedBody,
    InnerConnection,
    InnerConnections,
    Opening,
    format_head,
    has_body,
)
from addon.mitm.pace import LARGEST, SMALLEST
from addon.mitm.packets import MAX_TOGETHER
from addon.protocol.reply import BrokenTransfer, MemoryBody, Reply, whole

HEAD = b"GET /v2/ HTTP/1.1\r\n\r\n"


class Chunks:
    """A body that gives what it is told, then ends or breaks off; notes that it was closed."""

    def __init__(self, *chunks: bytes, error: OSError | None = None) -> None:
        self._chunks = list(chunks)
        self._error = error
        self.closed = 0

    async def read(self) -> bytes:
        if self._chunks:
            return self._chunks.pop(0)
        if self._error:
            raise self._error
        return b""

    def close(self) -> None:
        self.closed += 1


class Stalled(Chunks):
    async def read(self) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError


async def read_whole(body: FramedBody) -> list[bytes]:
    pieces = []
    while not body.is_complete:
        pieces.append(await body.read())
    return pieces


def opening(reply: Reply, method: str = "GET") -> Opening:
    async def answer() -> Reply:
        return reply

    return Opening(method, answer)


async def connection_for(
    connections: InnerConnections, key: str, armed: Opening
) -> InnerConnection:
    connections.arm(key, armed)
    reader, writer = await connections.open_connection(connections.address(key), 1)
    assert reader is writer
    return reader


def test_mitmproxy_still_opens_its_server_side_where_the_inner_connection_answers() -> None:
    source = inspect.getsource(server.ConnectionHandler.open_connection)
    assert "await asyncio.open_connection(" in source, (
        "mitmproxy no longer opens connections with asyncio.open_connection in"
        " ConnectionHandler.open_connection: addon/mitm/inner.py must answer another call"
    )
    assert server.asyncio is asyncio  # type: ignore[attr-defined]


def test_installing_changes_one_call_of_one_module_and_uninstalling_gives_it_back() -> None:
    connections = InnerConnections()
    before = asyncio.open_connection
    connections.install()
    try:
        seen = server.asyncio  # type: ignore[attr-defined]
        assert seen.open_connection == connections.open_connection
        assert seen.sleep is asyncio.sleep
        assert asyncio.open_connection is before
    finally:
        connections.uninstall()
    assert server.asyncio is asyncio  # type: ignore[attr-defined]


async def test_what_is_no_inner_connection_is_refused() -> None:
    with pytest.raises(OSError, match="no connection of mitmproxy's own"):
        await InnerConnections().open_connection("example.com", 443)


async def test_opening_suspends_once_so_that_an_eager_task_is_noted_first() -> None:
    connections = InnerConnections()
    connections.arm("c", opening(whole(200, b"")))
    call = connections.open_connection(connections.address("c"), 1)
    assert call.send(None) is None, "it returned at once"
    with pytest.raises(StopIteration):
        call.send(None)


async def test_nothing_is_asked_before_the_head_goes_by() -> None:
    asked = asyncio.Event()

    async def answer() -> Reply:
        asked.set()
        return whole(200, b"")

    connections = InnerConnections()
    inner = await connection_for(connections, "c", Opening("GET", answer))
    reading = asyncio.get_running_loop().create_task(inner.read(65535))
    await asyncio.sleep(0.01)
    assert not asked.is_set()
    inner.write(HEAD)
    assert (await reading).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_one_connection_answers_request_after_request() -> None:
    connections = InnerConnections()
    inner = await connection_for(connections, "c", opening(whole(200, b"first")))
    inner.write(HEAD)
    assert (await inner.read(65535)).endswith(b"Content-Length: 5\r\n\r\nfirst")
    connections.arm("c", opening(whole(404, b"second!")))
    inner.write(HEAD)
    answer = await inner.read(65535)
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(b"\r\n\r\nsecond!")
    assert len(connections) == 1


async def test_a_head_comes_with_a_small_body_that_is_in_memory() -> None:
    content = bytes(MAX_TOGETHER)
    inner = await connection_for(InnerConnections(), "c", opening(whole(200, content)))
    inner.write(HEAD)
    head, _, body = (await inner.read(65535)).partition(b"\r\n\r\n")
    assert b"Content-Length: 16384" in head
    assert body == content


async def test_a_head_goes_before_a_large_body() -> None:
    content = bytes(MAX_TOGETHER + 1)
    inner = await connection_for(InnerConnections(), "c", opening(whole(200, content)))
    inner.write(HEAD)
    assert (await inner.read(65535)).endswith(b"Content-Length: 16385\r\n\r\n")
    assert await inner.read(65535) == content


async def test_the_rest_of_a_dropped_request_body_answers_nothing() -> None:
    connections = InnerConnections()
    inner = await connection_for(connections, "c", opening(whole(200, b"")))
    inner.write(HEAD)
    inner.write(b"0\r\n\r\n")
    await inner.read(65535)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await inner.read(65535)


@pytest.mark.parametrize(
    ("length", "pieces", "framed"),
    [
        pytest.param(6, [b"abc", b"def"], [b"abc", b"def"], id="a known length goes as it is"),
        pytest.param(
            None,
            [b"abc", b"x" * 16],
            [b"3\r\nabc\r\n", b"10\r\n" + b"x" * 16 + b"\r\n", b"0\r\n\r\n"],
            id="an unknown length goes in chunks with an end",
        ),
    ],
)
async def test_a_body_is_framed(
    length: int | None, pieces: list[bytes], framed: list[bytes]
) -> None:
    body = FramedBody(Reply(200, (), length, Chunks(*pieces)), has_body=True)
    assert await read_whole(body) == framed


@pytest.mark.parametrize(
    ("length", "pieces"),
    [
        pytest.param(6, [b"abc"], id="shorter than promised"),
        pytest.param(2, [b"abc"], id="longer than promised"),
    ],
)
async def test_a_body_of_another_length_than_promised_breaks(
    length: int, pieces: list[bytes]
) -> None:
    body = FramedBody(Reply(200, (), length, Chunks(*pieces)), has_body=True)
    with pytest.raises(BrokenTransfer):
        await read_whole(body)


async def test_what_is_here_is_handed_on_together_and_more_of_it_to_who_keeps_up() -> None:
    content = bytes(3 * 1024 * 1024)
    body = FramedBody(whole(200, content), has_body=True)
    sizes = [len(part) for part in await read_whole(body)]
    assert sum(sizes) == len(content)
    assert sizes[:2] == [SMALLEST, LARGEST]
    assert set(sizes[2:-1]) == {LARGEST}


async def test_little_is_handed_on_together_to_who_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "QUICK", -1.0)
    body = FramedBody(whole(200, bytes(1024 * 1024)), has_body=True)
    assert {len(part) for part in await read_whole(body)} == {SMALLEST}


async def test_nobody_waits_for_what_is_not_here_yet() -> None:
    body = FramedBody(Reply(200, (), 4, Chunks(b"ab", b"cd")), has_body=True)
    assert await body.read() == b"ab"


async def test_a_source_that_breaks_off_is_an_error_for_mitmproxy_and_is_closed() -> None:
    body = Chunks(b"abc", error=BrokenTransfer("upstream went away"))
    connections = InnerConnections()
    inner = await connection_for(connections, "c", opening(Reply(200, (), 6, body)))
    inner.write(HEAD)
    await inner.read(65535)
    await inner.read(65535)
    with pytest.raises(OSError, match="went away"):
        await inner.read(65535)
    assert body.closed


async def test_a_client_that_leaves_ends_the_source() -> None:
    body = Stalled()
    connections = InnerConnections()
    inner = await connection_for(connections, "c", opening(Reply(200, (), 6, body)))
    inner.write(HEAD)
    await inner.read(65535)
    reading = asyncio.get_running_loop().create_task(inner.read(65535))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    inner.close()
    assert body.closed
    assert inner.is_closing()


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("GET", 200, True),
        ("GET", 206, True),
        ("GET", 416, True),
        ("HEAD", 200, False),
        ("GET", 204, False),
        ("GET", 304, False),
    ],
)
def test_which_answers_have_a_body(method: str, status: int, expected: bool) -> None:
    assert has_body(method, status) is expected


async def test_an_answer_without_a_body_keeps_its_length_and_is_complete() -> None:
    reply = Reply(200, [("ETag", '"x"')], 4096, MemoryBody(b""))
    assert format_head(reply, has_body=False) == (
        b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 4096\r\n\r\n'
    )
    connections = InnerConnections()
    inner = await connection_for(connections, "c", opening(reply, "HEAD"))
    inner.write(HEAD)
    assert b"Content-Length: 4096" in await inner.read(65535)
    connections.arm("c", opening(whole(200, b"")))
    inner.write(HEAD)
    assert b"Content-Length: 0" in await inner.read(65535)


def test_a_status_without_a_name_has_a_head_all_the_same() -> None:
    assert format_head(whole(599, b""), has_body=True).startswith(b"HTTP/1.1 599 Unknown\r\n")


async def test_a_forgotten_client_is_answered_nothing() -> None:
    connections = InnerConnections()
    connections.arm("c", opening(whole(200, b"")))
    address = connections.address("c")
    assert address in connections
    connections.forget("c")
    assert address not in connections
    assert len(connections) == 0
    with pytest.raises(OSError, match="no connection"):
        await connections.open_connection(address, 1)


async def test_forgetting_a_client_ends_a_source_that_mitmproxy_left_open() -> None:
    body = Stalled()
    connections = InnerConnections()
    inner = await connection_for(connections, "c", opening(Reply(200, (), 6, body)))
    inner.write(HEAD)
    await inner.read(65535)
    connections.forget("c")
    assert body.closed
    assert inner.is_closing()


async def test_a_source_that_comes_after_its_client_left_is_closed_at_once() -> None:
    body = Stalled()
    answered = asyncio.Event()

    async def answer() -> Reply:
        await answered.wait()
        return Reply(200, (), 6, body)

    connections = InnerConnections()
    inner = await connection_for(connections, "c", Opening("GET", answer))
    inner.write(HEAD)
    reading = asyncio.get_running_loop().create_task(inner.read(65535))
    await asyncio.sleep(0)
    connections.forget("c")
    answered.set()
    await reading
    assert body.closed


async def test_a_source_that_is_closed_while_it_is_read_ends_quietly() -> None:
    given = asyncio.Event()

    class Late(Chunks):
        async def read(self) -> bytes:
            await given.wait()
            return await super().read()

    connections = InnerConnections()
    inner = await connection_for(connections, "c", opening(Reply(200, (), 6, Late(b"abc"))))
    inner.write(HEAD)
    await inner.read(65535)
    reading = asyncio.get_running_loop().create_task(inner.read(65535))
    await asyncio.sleep(0)
    connections.forget("c")
    given.set()
    assert await reading == b"abc"
