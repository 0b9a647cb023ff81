"""A client of the mirror's own port, for whoever asks from within as a client asks from without.

Nothing of it leaves this machine: it knows one address, and follows no redirect.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

# Seconds in which something must come: the mirror itself gives up on an upstream before that.
SILENCE = 120.0

# Address and port of a connection's near end.
Peer = tuple[str, int]

# Of the connection that a request was given.
_PEER: ContextVar[Peer] = ContextVar("peer", default=("", 0))

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where it is reached


@dataclass(frozen=True, slots=True)
class OwnPort:
    """Where the mirror listens; `server_name` is one that its certificate has."""

    host: str
    port: int
    tls: bool = False
    server_name: str = ""

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host = _ANY.get(self.host, self.host)
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{shown}:{self.port}"


async def _unknown(_peer: Peer) -> str:
    return ""


def _unheard(_peer: Peer) -> None:
    pass


class LoopbackResponse:
    """An answer whose body is read once."""

    def __init__(
        self, answer: aiohttp.ClientResponse, source: Callable[[Peer], Awaitable[str]]
    ) -> None:
        self._answer = answer
        self._source = source
        self._peer = _PEER.get()

    @property
    def status(self) -> int:
        """The status of its head."""
        return self._answer.status

    def field(self, name: str) -> str:
        """A field's value, empty where there is none."""
        return self._answer.headers.get(name, "")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            OSError: it broke off.
        """
        with _as_os_error():
            async for piece in self._answer.content.iter_any():
                yield piece

    async def source(self) -> str:
        """Where the answer came from, as it is told of the connection."""
        return await self._source(self._peer)


class Loopback:
    """Connections to the mirror's own port. Made inside a running event loop; `close` ends them.

    Args:
        port: where it listens.
        agent: how the client names itself.
        opened: hears of each connection before it is opened, by its near end.
        source: says where the last answer over a connection came from.
    """

    def __init__(
        self,
        port: OwnPort,
        agent: str,
        opened: Callable[[Peer], None] = _unheard,
        source: Callable[[Peer], Awaitable[str]] = _unknown,
    ) -> None:
        self._port = port
        self._opened = opened
        self._source = source
        self._session = aiohttp.ClientSession(
            connector=_Connections(ssl=_tls(), socket_factory=self._socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            # The bytes as they are: digests are of them.
            skip_auto_headers=("Accept", "Accept-Encoding"),
            headers={"User-Agent": agent},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE),
        )

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    @contextlib.asynccontextmanager
    async def get(self, target: str, fields: Mapping[str, str]) -> AsyncIterator[LoopbackResponse]:
        """Ask for a target, byte for byte.

        Raises:
            OSError: there is no answer.
        """
        async with contextlib.AsyncExitStack() as stack:
            with _as_os_error():
                answer = await stack.enter_async_context(
                    self._session.get(
                        URL(self._port.url + target, encoded=True),
                        headers=fields,
                        allow_redirects=False,
                        server_hostname=self._port.server_name or None,
                    )
                )
            yield LoopbackResponse(answer, self._source)

    def _socket(self, address: Any) -> socket.socket:
        """A socket whose near end is known before it is connected."""
        family, kind, protocol, _, where = address
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            # From the address that it goes to, as any program of this machine's would.
            made.bind((where[0], 0))
        except OSError:
            made.close()
            raise
        self._opened(made.getsockname()[:2])
        return made


class _Connections(aiohttp.TCPConnector):
    """aiohttp's pool, which notes the connection that it gives: its answer may be whole at once."""

    async def connect(self, *asked: Any, **more: Any) -> Any:
        """A connection for a request, idle or new."""
        connection = await super().connect(*asked, **more)
        if connection.transport:
            _PEER.set(connection.transport.get_extra_info("sockname")[:2])
        return connection


def _tls() -> ssl.SSLContext:
    """No certificate is verified: this process itself listens there, under whatever name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _as_os_error() -> Any:
    try:
        yield
    except aiohttp.ServerTimeoutError as e:
        raise TimeoutError(f"nothing came within {SILENCE:.0f} s") from e
    except aiohttp.ClientPayloadError as e:
        raise ConnectionError("the answer broke off") from e
    except aiohttp.ClientError as e:
        raise ConnectionError(str(e) or type(e).__name__) from e
