"""Clients that take a blob slowly, so that its transfer runs while something happens."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

from tests.e2e.client import Connection, bearer, format_request
from tests.hub.images import Blob
from tests.running import Mirror

TRANSFERS = 20


def source(number: int) -> str:
    """One of the many addresses that loopback has."""
    return f"127.0.{number // 200 + 1}.{number % 200 + 1}"


class Slow:
    """A client that has begun to read a blob, and takes the rest when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection = Connection(reader, writer)
        self.digest = sha256()
        self.left = 0

    async def begin(self, request: bytes) -> None:
        await self.connection.send(request)
        head = await self.connection.head()
        assert head.status == 200
        self.left = int(head.headers["Content-Length"])
        await self.take(1)

    async def take(self, size: int) -> None:
        while size and self.left:
            data = await self.connection.reader.read(min(size, 65536))
            if not data:
                raise EOFError
            self.digest.update(data)
            self.left -= len(data)
            size -= len(data)

    async def rest(self) -> str:
        """The digest of all, read slowly."""
        while self.left:
            await self.take(200_000)
            await asyncio.sleep(0.02)
        return f"sha256:{self.digest.hexdigest()}"

    async def last(self) -> str:
        """The same, where the mirror must end the connection behind it."""
        digest = await self.rest()
        assert await self.connection.reader.read() == b""
        return digest


@contextlib.asynccontextmanager
async def slow_readers(
    mirror: Mirror, layer: Blob, count: int, *, addresses: int = 0
) -> AsyncIterator[list[Slow]]:
    """So many that have begun; from so many addresses of their own, where that is not 0."""
    token = await bearer(mirror, "large")
    request = format_request(f"/v2/large/blobs/{layer.digest}", headers=token)
    slow = []
    for number in range(count):
        way = socket.socket()
        way.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        way.setblocking(False)
        if addresses:
            way.bind((source(number % addresses), 0))
        await asyncio.get_running_loop().sock_connect(way, (mirror.host, mirror.port))
        slow.append(Slow(*await asyncio.open_connection(sock=way, limit=16384)))
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for each in slow:
                group.create_task(each.begin(request))
        yield slow
    finally:
        for each in slow:
            each.connection.abort()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - what is looked at tells nobody
            await asyncio.sleep(0.02)


async def refused(mirror: Mirror) -> None:
    """Wait until nobody listens any more."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(mirror.host, mirror.port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                continue  # it was closed just then
            writer.close()
            await asyncio.sleep(0.02)
