"""The inner connection: a reply handed to mitmproxy as if a server had sent it.

mitmproxy opens its server side with `asyncio.open_connection`, called in one place,
`ConnectionHandler.open_connection` in mitmproxy/proxy/server.py (the same in 11.0.2 and 12). That
name is replaced in that module alone: the call is answered with a reader and a writer in memory.
The writer sees a request's head go by, the reader then yields a reply's head and its chunks.
mitmproxy keeps its HTTP layer, its hooks and its backpressure, since it drains the client before
it reads on. This is an internal of mitmproxy; tests/mitm/test_inner.py says in words when it
changes.

One inner connection serves one client connection, request after request, always under the same
address: a new one for each would stay in mitmproxy's tables until the client leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import ModuleType
from typing import Any

from mitmproxy.proxy import server

from addon.flows.story import current
from addon.mitm.pace import Pace
from addon.mitm.packets import MAX_TOGETHER
from addon.protocol.reply import BrokenTransfer, Reply, is_ready

logger = logging.getLogger(__name__)

_SUFFIX = ".inner.invalid"  # RFC 6761: never a name on the Internet
PORT = 1


@dataclass(frozen=True, slots=True)
class Opening:
    """What answers the next request's head: asked only once mitmproxy has sent that head.

    `reply` must not raise; what fails is a reply as well.
    """

    method: str
    reply: Callable[[], Awaitable[Reply]]


class InnerConnections:
    """All inner connections, by the address that mitmproxy opens."""

    def __init__(self) -> None:
        self._armed: dict[str, Opening] = {}
        self._open: dict[str, InnerConnection | None] = {}  # None: not opened yet

    def address(self, key: str) -> str:
        """The host that leads to the inner connection of a client connection (or a flow)."""
        return key + _SUFFIX

    def arm(self, key: str, opening: Opening) -> None:
        """Let `opening` answer the next head on this inner connection, in place of any before."""
        address = self.address(key)
        self._open.setdefault(address, None)
        self._armed[address] = opening

    def forget(self, key: str) -> None:
        """The client left: nothing will be asked on this connection again, and its source ends.

        mitmproxy 12 leaves a connection open whose bytes wait for their turn when it is cut off.
        """
        address = self.address(key)
        self._armed.pop(address, None)
        connection = self._open.pop(address, None)
        if connection:
            connection.close()

    def __contains__(self, host: str) -> bool:
        return host in self._open

    def __len__(self) -> int:
        return len(self._open)

    def take(self, address: str) -> Opening | None:
        """What the head that goes by now is answered with."""
        return self._armed.pop(address, None)

    async def open_connection(
        self, host: str, port: int, **_: object
    ) -> tuple[InnerConnection, InnerConnection]:
        """What mitmproxy calls instead of asyncio's; it opens nothing but inner connections."""
        # With eager tasks (mitmproxy 12, Python 3.12) a call that never suspends returns before
        # mitmproxy has noted its task, which then overwrites the transport.
        await asyncio.sleep(0)
        if host not in self._open:
            raise OSError("a mirror opens no connection of mitmproxy's own")
        connection = self._open[host] = InnerConnection(self, host)
        return connection, connection

    def install(self) -> None:
        """Answer mitmproxy's calls from now on."""
        server.asyncio = _Asyncio(self)  # type: ignore[attr-defined]

    def uninstall(self) -> None:
        """Give mitmproxy its own call back."""
        if getattr(server.asyncio, "inner", None) is self:  # type: ignore[attr-defined]
            server.asyncio = asyncio  # type: ignore[attr-defined]


class _Asyncio(ModuleType):
    """asyncio as mitmproxy's server module sees it: all its own, but for one call."""

    def __init__(self, inner: InnerConnections) -> None:
        super().__init__("asyncio")
        self.inner = inner
        self.open_connection = inner.open_connection

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


class InnerConnection:
    """Reader and writer of one inner connection, as mitmproxy uses them."""

    def __init__(self, connections: InnerConnections, address: str) -> None:
        self._connections = connections
        self._address = address
        self._openings: asyncio.Queue[Opening] = asyncio.Queue()
        self._body: FramedBody | None = None
        self._closed = False

    async def read(self, _at_most: int) -> bytes:
        """The next bytes for mitmproxy: a head, or a piece of the body of any size.

        Raises:
            OSError: the body broke off, which mitmproxy passes on as a broken transfer.
        """
        body = self._body
        if body is None:
            return await self._head()
        try:
            data = await body.read()
        except OSError as e:
            logger.warning("%s", e)
            current().failure = str(e)
            self._finish()
            raise
        current().given_bytes = body.given
        if body.is_complete:
            self._finish()
        return data

    async def _head(self) -> bytes:
        opening = await self._openings.get()
        reply = await opening.reply()
        self._body = body = FramedBody(reply, has_body=has_body(opening.method, reply.status))
        head = format_head(reply, has_body=body.has_body)
        is_small = reply.length is not None and reply.length <= MAX_TOGETHER
        if is_small and not body.is_complete and not self._closed and is_ready(reply.body):
            # In one piece, so that it leaves for the client in one packet.
            head += await body.read()
            current().given_bytes = body.given
        if body.is_complete or self._closed:
            self._finish()
        return head

    def _finish(self) -> None:
        if self._body:
            self._body.close()
            self._body = None

    def write(self, _data: bytes) -> None:
        """A request's head goes by; what of its body follows is nobody's."""
        opening = self._connections.take(self._address)
        if opening:
            self._openings.put_nowait(opening)

    async def drain(self) -> None:
        """Nothing is ever held back here."""

    def write_eof(self) -> None:
        """The request has ended, which its head has said."""

    def close(self) -> None:
        """The client or mitmproxy is done: end what still runs."""
        self._closed = True
        self._finish()

    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        """The addresses that mitmproxy notes."""
        return (self._address, PORT) if name in ("peername", "sockname") else None


class FramedBody:
    """A reply's body with the framing that its head promises.

    Only a framed body that stops is a broken transfer for mitmproxy; without framing it would be
    a clean end.
    """

    def __init__(self, reply: Reply, *, has_body: bool) -> None:
        self._body = reply.body
        self._left = reply.length
        self._pace = Pace()
        self.given = 0  # bytes of the body, without its framing
        self.has_body = has_body
        self.is_complete = not has_body or reply.length == 0

    async def read(self) -> bytes:
        """The next framed piece; `is_complete` tells whether it was the last.

        Raises:
            OSError: the source broke off, or holds more or less than the head promised.
        """
        chunk = await self._gather()
        self.given += len(chunk)
        if self._left is None:
            self.is_complete = not chunk
            return b"%x\r\n%s\r\n" % (len(chunk), chunk)
        self._left -= len(chunk)
        if self._left < 0 or not chunk:
            raise BrokenTransfer("the body has not the length that its head promised")
        self.is_complete = self._left == 0
        return chunk

    async def _gather(self) -> bytes:
        """What is here, as far as the client keeps up."""
        self._pace.asked()
        parts = [await self._body.read()]
        missing = self._pace.size - len(parts[0])
        while missing > 0 and parts[-1] and is_ready(self._body):
            parts.append(await self._body.read())
            missing -= len(parts[-1])
        self._pace.given()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """End the source."""
        self._body.close()


def has_body(method: str, status: int) -> bool:
    """Whether an answer has a body at all (RFC 9110, section 6.4.1)."""
    return method != "HEAD" and status >= 200 and status not in (204, 304)


def format_head(reply: Reply, *, has_body: bool) -> bytes:
    """A reply's head for mitmproxy, its body framed by length or by chunks."""
    lines = [f"HTTP/1.1 {reply.status} {phrase(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in reply.fields]
    if reply.length is not None and reply.status != 204:
        lines.append(f"Content-Length: {reply.length}")
    elif has_body:
        lines.append("Transfer-Encoding: chunked")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def phrase(status: int) -> str:
    """The name of a status, for its line."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
