"""Clients of a mirror: one that sends any bytes and says how an answer ended, and aiohttp's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
from multidict import CIMultiDict

from tests.hub.hub import SERVICE
from tests.running import Mirror

SECONDS = 15.0
_CHUNK = 256 * 1024

Headers = Mapping[str, str] | Sequence[tuple[str, str]]
# `none`: no body by method or status; `close`: neither length nor chunks; `broken`: before its end.
Ended = Literal["none", "length", "chunks", "close", "broken"]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: CIMultiDict[str]
    body: bytes = b""
    ended: Ended = "none"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and the code of the one error in an OCI error body."""
        (error,) = self.json["errors"]
        return self.status, str(error["code"])

    @property
    def message(self) -> str:
        """Of the one error in an OCI error body."""
        (error,) = self.json["errors"]
        return str(error["message"])


class Connection:
    """One connection to a mirror; every wait is bounded by `SECONDS`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(SECONDS):
            await self.writer.drain()

    async def request(
        self, target: str, method: str = "GET", headers: Headers = (), body: bytes | None = None
    ) -> None:
        """Send a request, `Host` and the body's length added."""
        await self.send(format_request(target, method, headers, body))

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer to its end; `method` is what was asked with."""
        head = await self.head()
        body = bytearray()
        ended = await self._body(head, method, body)
        return Answer(head.status, head.headers, bytes(body), ended)

    async def head(self) -> Answer:
        """The next answer's head.

        Raises:
            EOFError: the connection ended before one.
        """
        async with asyncio.timeout(SECONDS):
            data = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = data[:-4].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = CIMultiDict((name, value.strip()) for name, _, value in pairs)
        return Answer(int(first.split(" ")[1]), headers)

    async def ask(
        self, target: str, method: str = "GET", headers: Headers = (), body: bytes | None = None
    ) -> Answer:
        await self.request(target, method, headers, body)
        return await self.answer(method)

    async def is_closed(self, seconds: float = SECONDS) -> bool:
        """Whether the mirror ends the connection, waited for; what it still sends is dropped."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(_CHUNK):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def abort(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()

    async def _body(self, head: Answer, method: str, body: bytearray) -> Ended:
        if method == "HEAD" or head.status in (204, 304) or head.status < 200:
            return "none"
        try:
            if head.headers.get("Transfer-Encoding") == "chunked":
                await self._chunks(body)
                return "chunks"
            if "Content-Length" not in head.headers:
                await self._read(body, None)
                return "close"
            await self._read(body, int(head.headers["Content-Length"]))
            return "length"
        except (EOFError, ConnectionError):
            return "broken"

    async def _chunks(self, body: bytearray) -> None:
        while True:
            async with asyncio.timeout(SECONDS):
                line = await self.reader.readuntil(b"\r\n")
            size = int(line, 16)
            await self._read(body, size)
            async with asyncio.timeout(SECONDS):
                assert await self.reader.readexactly(2) == b"\r\n"
            if size == 0:
                return

    async def _read(self, body: bytearray, size: int | None) -> None:
        end = None if size is None else len(body) + size
        while end is None or len(body) < end:
            async with asyncio.timeout(SECONDS):
                data = await self.reader.read(
                    _CHUNK if end is None else min(_CHUNK, end - len(body))
                )
            if not data and end is not None:
                raise EOFError
            if not data:
                return
            body += data


def format_request(
    target: str, method: str = "GET", headers: Headers = (), body: bytes | None = None
) -> bytes:
    """A request's bytes; `Host` and the length are added where they are not given."""
    fields = CIMultiDict(headers)
    lines = [f"{method} {target} HTTP/1.1"]
    lines += ["Host: mirror.test"] if "Host" not in fields else []
    lines += [f"{name}: {value}" for name, value in fields.items()]
    framed = "Content-Length" in fields or "Transfer-Encoding" in fields
    lines += [f"Content-Length: {len(body)}"] if body is not None and not framed else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


@contextlib.asynccontextmanager
async def connect(mirror: Mirror) -> AsyncIterator[Connection]:
    """A connection to a mirror, aborted with the block."""
    name = mirror.host if mirror.ca_file else None
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(
            mirror.host, mirror.port, ssl=mirror.tls, server_hostname=name
        )
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


def shake_hands(mirror: Mirror, context: ssl.SSLContext, name: str) -> None:
    """A TLS handshake that says why it ends; asyncio's just closes the connection."""
    address = (mirror.host, mirror.port)
    with (
        socket.create_connection(address, timeout=SECONDS) as raw,
        context.wrap_socket(raw, server_hostname=name),
    ):
        pass


async def ask(
    mirror: Mirror,
    target: str,
    method: str = "GET",
    headers: Headers = (),
    body: bytes | None = None,
) -> Answer:
    """One request over a connection of its own."""
    async with connect(mirror) as connection:
        return await connection.ask(target, method, headers, body)


@contextlib.asynccontextmanager
async def session(mirror: Mirror) -> AsyncIterator[aiohttp.ClientSession]:
    """aiohttp's client at a mirror: no fields, cookies or decompression of its own."""
    async with aiohttp.ClientSession(
        base_url=mirror.url,
        connector=aiohttp.TCPConnector(ssl=mirror.tls or True, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=120, sock_read=SECONDS),
    ) as client:
        yield client


async def bearer(
    mirror: Mirror, *repositories: str, service: str = SERVICE, headers: Headers = ()
) -> dict[str, str]:
    """The header with a token that pulls these repositories, fetched through the mirror."""
    scopes = [("scope", f"repository:{name}:pull") for name in repositories]
    query = urlencode([("service", service), *scopes])
    answer = await ask(mirror, f"/auth/token?{query}", headers=headers)
    assert answer.status == 200, answer
    return {"Authorization": f"Bearer {answer.json['token']}"}
