"""The port for whoever watches over the mirror: a small HTTP server beside mitmproxy's.

It answers GET and HEAD, one request a connection, with bounds on all that a stranger could fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from addon.protocol.fields import first_of
from addon.start.listeners import Listener, parse_port

logger = logging.getLogger(__name__)

# Bytes of a request's head, connections at a time, and seconds for a head and for an answer's way.
MAX_HEAD = 8 * 1024
MAX_CONNECTIONS = 16
HEAD_SECONDS = 5.0
SEND_SECONDS = 10.0

TEXT = "text/plain; charset=utf-8"

# Where it is if nobody says so: none of the ports that Prometheus' list of exporters has.
USUAL = "127.0.0.1:8363"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    content: bytes
    content_type: str = TEXT
    status: int = 200


# A page for a request's `Accept`.
Give = Callable[[str], Awaitable[Page]]


def parse_listener(text: str, option: str) -> Listener | None:
    """Where to listen, `127.0.0.1:8363` or `[::1]:8363`; None where nothing is said.

    Raises:
        ValueError: it is no address with a port; the message begins with the option's name.
    """
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not is_bracketed):
        expected = "ADDRESS:PORT such as 127.0.0.1:8363 or [::1]:8363"
        raise ValueError(f"{option}: {text!r} is not {expected}")
    remedy = f"choose another with --set {option}=ADDRESS:PORT, or none with --set {option}="
    return Listener(host.strip("[]"), parse_port(port, option), remedy)


class MonitorPort:
    """Serves pages by their paths."""

    def __init__(self, pages: Mapping[str, Give]) -> None:
        self._pages = pages
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, listener: Listener, *, is_shared: bool = False) -> tuple[str, int]:
        """Begin to serve; `is_shared` with other processes, one of which answers. Where it is.

        Raises:
            OSError: the port cannot be had.
        """
        server = await asyncio.start_server(
            self._connected,
            listener.host,
            listener.port,
            limit=MAX_HEAD,
            family=socket.AF_UNSPEC,
            reuse_port=is_shared or None,
        )
        self._servers = [server]
        return self._place()

    async def take(self, descriptors: Sequence[int]) -> tuple[str, int]:
        """Begin to serve on sockets that listen already. Where it is."""
        self._servers = [
            await asyncio.start_server(
                self._connected, sock=socket.socket(fileno=each), limit=MAX_HEAD
            )
            for each in descriptors
        ]
        return self._place()

    def close(self) -> None:
        """Serve no more."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()

    def _place(self) -> tuple[str, int]:
        host, port, *_ = self._servers[0].sockets[0].getsockname()
        return str(host), int(port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - start_server makes one for each connection
        self._tasks.add(task)
        try:
            # A client that has left, or a head that does not end, is nobody's loss.
            with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        method, page = await self._answer(head.decode("latin-1"))
        writer.write(format_page(page, has_body=method != "HEAD"))
        async with asyncio.timeout(SEND_SECONDS):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def _answer(self, head: str) -> tuple[str, Page]:
        line, *lines = head.split("\r\n")
        method, _, rest = line.partition(" ")
        target, _, version = rest.rpartition(" ")
        if not version.startswith("HTTP/1."):
            return method, _refusal(400)
        give = self._pages.get(target.partition("?")[0])
        if give is None:
            return method, _refusal(404)
        if method not in ("GET", "HEAD"):
            return method, _refusal(405)
        fields = [(n.strip(), v.strip()) for n, _, v in (each.partition(":") for each in lines)]
        try:
            return method, await give(first_of(fields, "accept") or "")
        except Exception:
            logger.exception("a page of the monitoring port could not be made")
            return method, _refusal(500)


def format_page(page: Page, *, has_body: bool) -> bytes:
    """An answer's bytes; the connection ends after it."""
    head = [
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.content)}",
        "Cache-Control: no-store",
        "Connection: close",
        *(["Allow: GET, HEAD"] if page.status == 405 else []),
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + (page.content if has_body else b"")


def _refusal(status: int) -> Page:
    return Page(f"{HTTPStatus(status).phrase}\n".encode(), status=status)
