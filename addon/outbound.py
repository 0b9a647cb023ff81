"""The one way out: a pooled HTTP client for all that leaves the machine.

Connections stay open between requests and between clients. It keeps no cookies, reads no
`.netrc` (aiohttp's `trust_env` would send the owner's password with anonymous requests), adds no
fields of its own, follows no redirect, changes no byte of an address, and unpacks nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
import certifi
from yarl import URL

from addon.carrier import Carrier
from addon.causes import cause_of, explained
from addon.destinations import Destinations
from addon.errors import failure
from addon.headers import Fields
from addon.hosts import Host, Hosts
from addon.networks import Networks, may_redirect_to, parse_address
from addon.proxies import proxy_for
from addon.readahead import start_small
from addon.registry import authority
from addon.reply import Body, BrokenTransfer
from addon.retrying import tried
from addon.sent import Sent, Watch
from addon.story import current, purpose

# What is read ahead of a slow client, for each transfer; aiohttp holds up to twice as much. More
# gave no less CPU for a GiB (32 to 512 KiB measured).
READ_BUFFER = 64 * 1024
# Bytes and seconds of an unwanted body that are cheaper to read than a new connection is to make;
# the page that Hub's redirect comes with has some 700 bytes.
MAX_DISCARDED = 64 * 1024
DISCARD_SECONDS = 1.0
# Connections in all; more requests wait for one.
MAX_CONNECTIONS = 512
# Bytes of one field of an answer; presigned addresses can be long.
MAX_FIELD = 64 * 1024
# Seconds that an idle connection is kept; Hub's own limit is near.
KEEP_ALIVE = 60.0

# Why a request ended that no upstream ended.
GIVEN_UP = "given up before an answer came"
UNWANTED = "the rest was not wanted"

# The host that a connection is opened for.
_ASKED: ContextVar[Host] = ContextVar("asked")
# Whether it is to be a new one, though others are idle.
_ANEW: ContextVar[bool] = ContextVar("anew", default=False)


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """What the owner says about the way out. Times in seconds."""

    trusted_ca: str = ""
    trusted_confdir: str = ""
    insecure: bool = False
    redirect_private: Networks = field(default_factory=Networks)
    connect_timeout: float = 10.0
    stall_timeout: float = 30.0


class AddressRefused(OSError):
    """A redirect led to an address where no CDN is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An upstream's answer, the body not yet read."""

    status: int
    fields: Fields
    length: int | None
    closes_to_end: bool  # the body has neither length nor chunks: its end says nothing
    body: Body

    def get(self, name: str) -> str | None:
        """A field's first value."""
        wanted = name.lower()
        return next((v for n, v in self.fields if n.lower() == wanted), None)

    def get_all(self, name: str) -> list[str]:
        """All values of a field, in their order."""
        wanted = name.lower()
        return [v for n, v in self.fields if n.lower() == wanted]


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """A small answer that was read to its end."""

    status: int
    fields: Fields
    content: bytes


class Outbound:
    """The pooled client. Made inside a running event loop; `close` ends all connections."""

    def __init__(self, settings: OutboundSettings) -> None:
        start_small()
        self._settings = settings
        self.hosts = Hosts()
        # Told of each connection that broke off in the middle of a body: its origin, and whether
        # an upstream had named it. Set by whoever opens connections ahead.
        self.on_loss: Callable[[str, bool], None] = _ignore
        self._carriers: WeakKeyDictionary[asyncio.Transport, Carrier] = WeakKeyDictionary()
        self.destinations = Destinations()
        # Who wants to see what is sent, None for nobody.
        self.watch: Watch | None = None
        tls = _tls_context(settings)
        # Two pools, because a connection that the owner's word opened must not carry a redirect
        # to a private address, and the other way round.
        self._named = _session(settings, tls, _new_socket, _trace())
        self._redirected = _session(settings, tls, self._public_socket, _trace())

    async def request(
        self,
        method: str,
        url: str,
        fields: Fields,
        *,
        body: bytes | None = None,
        redirected: bool = False,
        answer_within: float | None = None,
    ) -> Answer:
        """Ask an upstream; the answer's body is read as its chunks are taken.

        Args:
            method: GET, HEAD or POST.
            url: the address, sent byte for byte.
            fields: all fields but Host and framing.
            body: a form's body.
            redirected: an upstream named the address, so private ones are refused.
            answer_within: seconds for each try's connection and head, if not the owner's.

        Raises:
            UpstreamFailure: no answer came; it names host and cause.
        """
        if redirected:
            self._check_literal(url)

        tries = itertools.count()

        async def ask() -> Answer:
            # Where one idle connection has been closed, the others may have been too.
            _ANEW.set(next(tries) > 0)
            try:
                async with asyncio.timeout(answer_within):
                    return await self._request(method, url, fields, body, redirected)
            except TimeoutError as e:
                raise explained(authority(url), e) from e

        if method not in ("GET", "HEAD"):
            return await ask()
        return await tried(ask, may_pass=_may_pass, asks_to_wait=_asks_to_wait, drop=discard)

    async def _request(
        self, method: str, url: str, fields: Fields, body: bytes | None, redirected: bool
    ) -> Answer:
        proxy = proxy_for(url)
        # Through a proxy the socket leads to the proxy, which may well be a private address.
        session = self._redirected if redirected and not proxy else self._named
        name = authority(url)
        host = self.hosts.of(name)
        _ASKED.set(host)
        sent = self._sends(Sent(host, method, url, fields, purpose(), current()))
        try:
            with host.asked():
                response = await session.request(
                    method,
                    URL(url, encoded=True),
                    headers=list(fields),
                    data=body,
                    proxy=proxy,
                    allow_redirects=False,
                    read_bufsize=READ_BUFFER,
                    trace_request_ctx=sent,
                )
        except (aiohttp.ClientError, OSError, ValueError) as e:
            failed = explained(name, e)
            self._over(sent, str(failed))
            raise failed from e
        except BaseException:
            self._over(sent, cut=GIVEN_UP)
            raise
        self._answers(sent, response)
        if not 200 <= response.status <= 599:
            response.close()
            self._over(sent)
            raise failure(name, f"it answered with status {response.status}")
        host.carries(response)
        origin = str(response.url.origin())

        def over(error: str = "", cut: str = "") -> None:
            self._over(sent, error, cut)

        carrier = self._carrier(response)
        lost = partial(self.on_loss, origin, redirected)
        return _answer(response, _UpstreamBody(response, name, sent, over, carrier, lost))

    def _carrier(self, response: aiohttp.ClientResponse) -> Carrier | None:
        """What a body comes over; None for one that has ended with its head."""
        transport = response.connection.transport if response.connection else None
        if transport is None:
            return None
        carrier = self._carriers.get(transport)
        if carrier is None:
            carrier = self._carriers[transport] = Carrier(transport)
        return carrier

    def _sends(self, sent: Sent) -> Sent:
        sent.story.requests += 1
        if self.watch is not None:
            self.watch.asked(sent)
        return sent

    def _answers(self, sent: Sent, response: aiohttp.ClientResponse) -> None:
        sent.status = response.status
        sent.story.waits(sent.asked, sent.gone)
        if self.watch is not None:
            sent.answer = _fields(response)
            self.watch.answered(sent)

    def _over(self, sent: Sent, error: str = "", cut: str = "") -> None:
        if sent.end:
            return
        sent.end = time.monotonic()
        sent.error, sent.cut = error, cut
        if self.watch is not None:
            self.watch.ended(sent)

    async def touch(
        self, method: str, url: str, fields: Fields, *, redirected: bool, anew: bool = False
    ) -> None:
        """Ask once for what nobody wants: it leaves a connection open, a new one if `anew`.

        Raises:
            UpstreamFailure: no answer came.
        """
        if redirected:
            self._check_literal(url)
        _ANEW.set(anew)
        await discard(await self._request(method, url, fields, None, redirected))

    async def close(self) -> None:
        """End all connections."""
        await self._named.close()
        await self._redirected.close()

    def _public_socket(self, info: Any) -> socket.socket:
        self._check(info[4][0])
        return _new_socket(info)

    def _check_literal(self, url: str) -> None:
        host = urlsplit(url).hostname or ""
        try:
            parse_address(host)
        except ValueError:
            return
        try:
            self._check(host)
        except AddressRefused as e:
            raise failure(authority(url), str(e)) from e

    def _check(self, host: str) -> None:
        if may_redirect_to(parse_address(host), self._settings.redirect_private):
            return
        raise AddressRefused(
            f"refused to follow a redirect to {host}, which is not a public address;"
            f" --set docxy_redirect_private=NETWORK lists networks where it may lead"
        )


def _new_socket(info: Any) -> socket.socket:
    family, kind, protocol, *_ = info
    sock = socket.socket(family=family, type=kind, proto=protocol)
    _ASKED.get().connected_by(sock)
    return sock


def _trace() -> aiohttp.TraceConfig:
    """Count connections, and note how long a head takes: a long line from a short one."""
    trace = aiohttp.TraceConfig()

    async def opened(_session: object, context: Any, _params: object) -> None:
        context.trace_request_ctx.opened = True
        context.trace_request_ctx.host.opened += 1

    async def gone(_session: object, context: Any, _params: object) -> None:
        context.trace_request_ctx.gone = time.monotonic()

    async def answered(_session: object, context: Any, _params: object) -> None:
        sent: Sent = context.trace_request_ctx
        sent.head = time.monotonic()
        sent.host.answered(sent.head - sent.gone)

    trace.on_connection_create_end.append(opened)
    trace.on_request_headers_sent.append(gone)
    trace.on_request_end.append(answered)
    return trace


def _may_pass(error: BaseException) -> bool:
    """Refused, reset or closed before an answer: the next connection may fare better."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientSSLError | aiohttp.ClientConnectorDNSError):
        return False
    if isinstance(cause, aiohttp.ClientConnectorError):
        return isinstance(cause.os_error, ConnectionError)
    return isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


def _asks_to_wait(answer: Answer) -> str | None:
    if answer.status not in (502, 503, 504):
        return None
    return answer.get("Retry-After") or ""


async def discard(answer: Answer) -> None:
    """Read a small body that nobody wants: a connection is kept only once its answer was read."""
    left = MAX_DISCARDED
    with contextlib.closing(answer.body), contextlib.suppress(TimeoutError, BrokenTransfer):
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0 and (chunk := await answer.body.read()):
                left -= len(chunk)


async def read_whole(answer: Answer, at_most: int) -> WholeAnswer:
    """A small answer's body.

    Raises:
        BrokenTransfer: it is larger than that, or broke off.
    """
    pieces: list[bytes] = []
    left = at_most
    try:
        while chunk := await answer.body.read():
            left -= len(chunk)
            if left < 0:
                raise BrokenTransfer(f"an answer is larger than {at_most} bytes")
            pieces.append(chunk)
    finally:
        answer.body.close()
    return WholeAnswer(answer.status, answer.fields, b"".join(pieces))


class _Pool(aiohttp.TCPConnector):
    """aiohttp's pool, which also opens a connection that nobody needs yet.

    `_get` is an internal: it gives an idle connection, None where there is none. A test in
    tests/e2e/test_outbound.py fails when it is not asked any more.
    """

    async def _get(self, key: Any, traces: Any) -> Any:
        return None if _ANEW.get() else await super()._get(key, traces)


def _session(
    settings: OutboundSettings,
    tls: ssl.SSLContext,
    socket_factory: Callable[[Any], socket.socket] | None,
    trace: aiohttp.TraceConfig,
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Pool(
            ssl=tls,
            limit=MAX_CONNECTIONS,
            keepalive_timeout=KEEP_ALIVE,
            socket_factory=socket_factory,
        ),
        trace_configs=[trace],
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        max_line_size=MAX_FIELD,
        max_field_size=MAX_FIELD,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(
            total=None,
            # All that comes before the request: a place in the pool, DNS, a proxy's CONNECT.
            connect=settings.connect_timeout,
            sock_connect=settings.connect_timeout,
            sock_read=settings.stall_timeout,
        ),
    )


def _tls_context(settings: OutboundSettings) -> ssl.SSLContext:
    """Certificates verified as mitmproxy's own options say it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    own = settings.trusted_ca or settings.trusted_confdir
    try:
        context.load_verify_locations(
            cafile=settings.trusted_ca or (None if own else certifi.where()),
            capath=settings.trusted_confdir or None,
        )
    except OSError as e:  # ssl.SSLError is one
        raise ValueError(f"ssl_verify_upstream_trusted_ca: cannot read {own!r}: {e}") from e
    return context


class Over(Protocol):
    """Told that a body has ended: broken off by its upstream, cut off here, or at its end."""

    def __call__(self, error: str = "", cut: str = "") -> None:
        """It has ended."""


def _fields(response: aiohttp.ClientResponse) -> Fields:
    return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in response.raw_headers]


def _answer(response: aiohttp.ClientResponse, body: Body) -> Answer:
    length = _length(response)
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return Answer(
        status=response.status,
        fields=_fields(response),
        length=length,
        closes_to_end=length is None and not chunked,
        body=body,
    )


def _length(response: aiohttp.ClientResponse) -> int | None:
    if "Transfer-Encoding" in response.headers:
        return None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


class _UpstreamBody:
    """An upstream's body as it arrives."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        host: str,
        sent: Sent,
        over: Over,
        carrier: Carrier | None,
        lost: Callable[[], None],
    ) -> None:
        self._response = response
        self._host = host
        self._sent = sent
        self._over = over
        self._carrier = carrier
        self._lost = lost

    async def read(self) -> bytes:
        """What has arrived, or `BrokenTransfer` that says why nothing did."""
        if self._carrier:
            self._carrier.asked()
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as e:
            broken = f"upstream {self._host} broke off: {cause_of(e)}"
            self._over(error=broken)
            self._break()
            raise BrokenTransfer(broken) from e
        self._sent.bytes += len(chunk)
        if not chunk:
            self._over()
        if self._carrier:
            self._carrier.carried(len(chunk))
        return chunk

    def _break(self) -> None:
        if self._carrier:
            self._carrier = None
            self._lost()

    def close(self) -> None:
        """Give a connection back if the body was read to its end, close it if not."""
        self._over(cut="" if self._response.content.at_eof() else UNWANTED)
        self._response.close()


def _ignore(_origin: str, _redirected: bool) -> None:
    pass
