"""One role on one address: TLS, connections, the log, the faults."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Final
from weakref import WeakKeyDictionary

from aiohttp import web

from .addresses import Address
from .certificates import Certificates, Kind
from .delivery import BrokenOff, deliver, end
from .exchange import Answer, Asked, Role, document
from .faults import Delay, Delivery, HangUp, Stall
from .log import Log, Seen
from .switches import Faults

_connection_ids: Iterator[int] = itertools.count(1)

# What Hub and its CDN send along; a mirror must keep it to itself.
_OF_THE_HOST = {
    "Strict-Transport-Security": "max-age=31536000",
    "Alt-Svc": 'h3=":443"; ma=86400',
}


class RoleServer:
    def __init__(
        self,
        role: Role,
        answer: Callable[[Asked], Answer],
        address: Address,
        certificates: Certificates | None,
        log: Log,
    ) -> None:
        self.role: Final = role
        self.faults: Final = Faults()
        self.port = address.port
        self.accepted = 0
        """Connections taken since the start, those with a failed TLS handshake too."""
        self._answer, self._address, self._log = answer, address, log
        self._certificates = certificates
        self._http: web.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._ids: WeakKeyDictionary[asyncio.BaseTransport, int] = WeakKeyDictionary()

    # --- where it is

    @property
    def url(self) -> str:
        host = self._address.name or self._address.host
        host = f"[{host}]" if ":" in host else host
        port = self._address.announced_port or self.port
        return f"{'https' if self._certificates else 'http'}://{host}:{port}"

    @property
    def host(self) -> str:
        """The IP address."""
        return self._address.host

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    @property
    def _connections(self) -> list[web.RequestHandler]:
        return self._http.connections if self._http else []

    # --- life

    async def start(self) -> None:
        # aiohttp's low-level server: no router that decodes the path before it is looked at.
        self._http = web.Server(
            self._handle, handler_cancellation=True, access_log=None, keepalive_timeout=75
        )
        if self._certificates:
            self._tls = self._certificates.server_context(self._address)
        await self.listen()

    async def close(self) -> None:
        self.refuse()
        # No goodbye in TLS: the mirror keeps its pool open, and would keep the transports too.
        self.drop_connections()
        if self._http is not None:
            await self._http.shutdown(0.1)

    async def listen(self) -> None:
        """Listen (again), on the same port as before."""
        self.refuse()
        self._socket = self._bind()
        self.port = self._socket.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._accept,
            sock=self._socket,
            ssl=self._tls,
            backlog=1024,
            ssl_shutdown_timeout=1 if self._tls else None,
        )

    def refuse(self) -> None:
        """Refuse new connections and drop those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.drop_connections()

    def mute(self) -> None:
        """Let the kernel take new connections, and nobody answer: TLS handshakes hang."""
        self.refuse()
        self._socket = self._bind()
        self._socket.listen(128)

    def drop_connections(self) -> None:
        for connection in self._connections:
            if connection.transport is not None:
                connection.transport.abort()

    def use_certificate(self, kind: Kind) -> None:
        """Show another certificate from now on; open connections are dropped."""
        assert self._certificates is not None
        assert self._tls is not None
        self._certificates.configure(self._tls, self._address, kind)
        self.drop_connections()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._address.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self._address.host, self.port))
        return sock

    def _accept(self) -> asyncio.BaseProtocol:
        assert self._http is not None
        self.accepted += 1
        return self._http()

    # --- one request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = await _asked(request)
        seen = Seen(self.role, asked, time.monotonic(), self._id(request))
        self._log.append(seen)
        try:
            response = await self._respond(request, asked, seen)
        except BrokenOff:
            seen.ended = "whole" if seen.ended == "whole" else "broken"
            # The connection is gone; aiohttp sees that when it tries to send this.
            return web.Response()
        except ConnectionError:
            # The same: the client has gone, which is no error of the Hub's.
            seen.ended = "left"
            return web.Response()
        except asyncio.CancelledError:
            seen.ended = "left"
            raise
        seen.ended = "whole"
        return response

    async def _respond(
        self, request: web.BaseRequest, asked: Asked, seen: Seen
    ) -> web.StreamResponse:
        how = Delivery()
        faults = self.faults.take(asked)
        for fault in faults:
            asked = fault.alter_asked(asked)
        answer = self._decide(asked)
        for fault in faults:
            answer = fault.alter_answer(asked, answer)
            match fault:
                case Delay():
                    await asyncio.sleep(fault.seconds)
                case Stall():
                    await end(request, "stall")
                case HangUp():
                    await end(request, fault.end)
                    raise BrokenOff
                case Delivery():
                    how = fault
        return await deliver(request, answer, how, seen)

    def _decide(self, asked: Asked) -> Answer:
        if any(name == "ns" for name, _ in asked.parameters):
            # containerd's, for mirrors: Hub never sees it, so a mirror that passes it on fails.
            return document({"details": "ns is not a parameter of Hub's"}, 400)
        cookie = f"{self.role}-session=secret; Path=/; Secure; HttpOnly"
        answer = self._answer(asked)
        return Answer(
            answer.status, {**_OF_THE_HOST, "Set-Cookie": cookie, **answer.headers}, answer.body
        )

    def _id(self, request: web.BaseRequest) -> int:
        assert request.transport is not None
        if request.transport not in self._ids:
            self._ids[request.transport] = next(_connection_ids)
        return self._ids[request.transport]


async def _asked(request: web.BaseRequest) -> Asked:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return Asked(
        request.method,
        request.raw_path,
        request.headers,
        await request.read(),
        peer[0] if peer else "",
    )
