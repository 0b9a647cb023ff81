"""Memory that slow clients cost: many that read a large blob at some KB a second."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Final
from urllib.parse import urlsplit

from . import ways
from .large import token_for
from .measures import MIB, Process
from .runs import Options, own_address
from .site import Site, far_hub
from .table import Goal, Result

CLIENTS: Final = 300
FIRST: Final = 1
BYTES_A_SECOND: Final = 10_000
SECONDS: Final = 10.0
# A slow line's client has no large window; the kernel's memory is not the mirror's anyway.
_RECEIVE_BUFFER: Final = 64 * 1024


async def rows(options: Options) -> AsyncIterator[Result]:
    """The mirror's memory with a few, and with all."""
    image = "thirty" if options.quick else "big"
    async with far_hub(0.0, options.folder, [image]) as site, ways.mirror(site) as way:
        assert way.process is not None
        process = Process(way.process)
        async with contextlib.AsyncExitStack() as stack:
            await _join(stack, site, way, image, range(FIRST))
            first = await _highest(process)
            await _join(stack, site, way, image, range(FIRST, CLIENTS))
            all_of_them = await _highest(process)
        each = (all_of_them - first) / (CLIENTS - FIRST) / MIB
        what = f"memory that each further of {CLIENTS} slow clients adds"
        yield Goal(what, each, 1.0, f"MiB ({all_of_them / MIB:.0f} in all)")


async def _highest(process: Process) -> int:
    process.forget_peak()
    await asyncio.sleep(SECONDS)
    return process.memory("VmHWM")


async def _join(
    stack: contextlib.AsyncExitStack, site: Site, way: ways.Way, image: str, numbers: Iterable[int]
) -> None:
    ((digest, _),) = await site.add(image)
    token = await token_for(site, way, image)
    target = f"/v2/library/{image}/blobs/{digest}"
    tls = site.client_tls()
    for number in numbers:
        reader = _slow_reader(own_address(number), way.url, target, token, tls)
        await stack.enter_async_context(reader)


@contextlib.asynccontextmanager
async def _slow_reader(
    source: str, url: str, target: str, token: str, tls: ssl.SSLContext
) -> AsyncIterator[None]:
    at = urlsplit(url)
    sock = socket.create_connection((at.hostname, at.port), source_address=(source, 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.setblocking(False)
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=tls, server_hostname=at.hostname, limit=BYTES_A_SECOND
    )
    # asyncio's TLS would read 256 KiB ahead of who reads.
    writer.transport.set_read_buffer_limits(BYTES_A_SECOND)  # type: ignore[attr-defined]
    head = f"GET {target} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    task = asyncio.get_running_loop().create_task(_read(reader))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> None:
    while True:
        await reader.readexactly(BYTES_A_SECOND)
        await asyncio.sleep(1)
