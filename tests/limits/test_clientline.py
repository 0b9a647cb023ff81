"""What a socket tells of a client, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from addon.limits.clientline import ClientLine

DATA = bytes(1024 * 1024)


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[ClientLine, asyncio.StreamWriter, socket.socket]]:
    """A server's side, and its client's bare socket."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def handle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname())
    client.setblocking(False)
    writer = await accepted.get()
    try:
        yield ClientLine(writer.transport), writer, client
    finally:
        client.close()
        writer.transport.abort()
        server.close()


async def until_full(line: ClientLine, writer: asyncio.StreamWriter) -> None:
    """Send until the kernel takes no more, whose buffers grow for a while."""
    async with asyncio.timeout(10):
        seen = (-1, -1)
        while not line.unsent or seen != (line.taken, line.unsent):
            seen = line.taken, line.unsent
            if line.unsent < len(DATA):
                writer.write(DATA)
            await asyncio.sleep(0.1)


async def read_all(client: socket.socket) -> int:
    """Bytes to the end."""
    received = 0
    async with asyncio.timeout(10):
        while data := await asyncio.get_running_loop().sock_recv(client, len(DATA)):
            received += len(data)
    return received


async def test_what_a_client_takes_is_told_and_what_it_does_not_take() -> None:
    async with pair() as (line, writer, client):
        assert (line.taken, line.unsent) == (0, 0)
        await until_full(line, writer)
        taken, unsent = line.taken, line.unsent
        assert taken > 0, "struct tcp_info is another one: see addon/limits/clientline.py"
        await asyncio.sleep(0.2)
        assert (line.taken, line.unsent) == (taken, unsent)
        async with asyncio.timeout(10):
            while line.taken == taken:
                await asyncio.get_running_loop().sock_recv(client, len(DATA))


async def test_one_that_is_aborted_is_reset_and_holds_nothing() -> None:
    async with pair() as (line, writer, client):
        await until_full(line, writer)
        line.abort()
        await asyncio.sleep(0)
        assert line.unsent == 0
        with pytest.raises(ConnectionResetError):
            await read_all(client)
        assert line.taken == 0  # a closed socket says nothing
        line.abort()


async def test_one_that_is_closed_sends_what_it_has() -> None:
    async with pair() as (line, writer, client):
        writer.write(DATA)
        line.close()
        assert await read_all(client) == len(DATA)
