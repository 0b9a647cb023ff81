"""The one way out: a pooled HTTP client for all that leaves the machine.

Connections stay open between requests and between clients. It keeps no cookies, reads no
`.netrc` (aiohttp's `trust_env` would send the owner's password with anonymous requests), adds no
fields of its own, follows no redirect, changes no byte of an address, and unpacks nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from yarl import URL

from addon.errors import UpstreamFailure, failure
from addon.headers import Fields
from addon.networks import Networks, may_redirect_to, parse_address
from addon.registry import authority
from addon.reply import Body, BrokenTransfer

# What is read ahead of a slow client, for each transfer; aiohttp holds up to twice as much. More
# gave no less CPU for a GiB (32 to 512 KiB measured).
READ_BUFFER = 64 * 1024
# Connections in all; more requests wait for one.
MAX_CONNECTIONS = 512
# Seconds that an idle connection is kept; Hub's own limit is near.
KEEP_ALIVE = 60.0


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """What the owner says about the way out. Times in seconds."""

    trusted_ca: str = ""
    trusted_confdir: str = ""
    insecure: bool = False
    redirect_private: Networks = field(default_factory=Networks)
    connect_timeout: float = 10.0
    answer_timeout: float = 60.0


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


class Outbound:
    """The pooled client. Made inside a running event loop; `close` ends all connections."""

    def __init__(self, settings: OutboundSettings) -> None:
        self._settings = settings
        tls = _tls_context(settings)
        # Two pools, because a connection that the owner's word opened must not carry a redirect
        # to a private address, and the other way round.
        self._named = _session(settings, tls, socket_factory=None)
        self._redirected = _session(settings, tls, socket_factory=self._public_socket)

    async def request(
        self,
        method: str,
        url: str,
        fields: Fields,
        *,
        body: bytes | None = None,
        redirected: bool = False,
    ) -> Answer:
        """Ask an upstream; the answer's body is read as its chunks are taken.

        Args:
            method: GET, HEAD or POST.
            url: the address, sent byte for byte.
            fields: all fields but Host and framing.
            body: a form's body.
            redirected: an upstream named the address, so private ones are refused.

        Raises:
            UpstreamFailure: no answer came; it names host and cause.
        """
        proxy = _proxy_for(url)
        if redirected:
            self._check_literal(url)
        # Through a proxy the socket leads to the proxy, which may well be a private address.
        session = self._redirected if redirected and not proxy else self._named
        host = authority(url)
        try:
            response = await session.request(
                method,
                URL(url, encoded=True),
                headers=list(fields),
                data=body,
                proxy=proxy,
                allow_redirects=False,
                read_bufsize=READ_BUFFER,
            )
        except (aiohttp.ClientError, OSError, ValueError) as e:
            raise _explain(host, e) from e
        if not 200 <= response.status <= 599:
            response.close()
            raise failure(host, f"it answered with status {response.status}")
        return _answer(response, host)

    async def close(self) -> None:
        """End all connections."""
        await self._named.close()
        await self._redirected.close()

    def _public_socket(self, info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        self._check(address[0])
        return socket.socket(family=family, type=kind, proto=protocol)

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


def _session(
    settings: OutboundSettings,
    tls: ssl.SSLContext,
    socket_factory: Callable[[Any], socket.socket] | None,
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=tls,
            limit=MAX_CONNECTIONS,
            keepalive_timeout=KEEP_ALIVE,
            socket_factory=socket_factory,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(
            total=None,
            sock_connect=settings.connect_timeout,
            sock_read=settings.answer_timeout,
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


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address (`HTTPS_PROXY`, `NO_PROXY`).

    Raises:
        UpstreamFailure: it is one for another protocol.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return None
    scheme, separator, _ = proxy.partition("://")
    if separator and scheme.lower() not in ("http", "https"):
        # aiohttp would speak HTTP to it all the same.
        cause = f"the environment names a {scheme} proxy, and only http ones are spoken to"
        raise failure(authority(url), cause)
    return proxy if separator else f"http://{proxy}"


def _answer(response: aiohttp.ClientResponse, host: str) -> Answer:
    fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in response.raw_headers]
    length = _length(response)
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return Answer(
        status=response.status,
        fields=fields,
        length=length,
        closes_to_end=length is None and not chunked,
        body=_UpstreamBody(response, host),
    )


def _length(response: aiohttp.ClientResponse) -> int | None:
    if "Transfer-Encoding" in response.headers:
        return None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


class _UpstreamBody:
    """An upstream's body as it arrives."""

    def __init__(self, response: aiohttp.ClientResponse, host: str) -> None:
        self._response = response
        self._host = host

    async def read(self) -> bytes:
        """What has arrived, or `BrokenTransfer` that says why nothing did."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as e:
            raise BrokenTransfer(f"upstream {self._host} broke off: {_cause(e)}") from e

    def close(self) -> None:
        """Give a connection back if the body was read to its end, close it if not."""
        self._response.close()


def _explain(host: str, error: Exception) -> UpstreamFailure:
    timed_out = isinstance(error, asyncio.TimeoutError)
    return failure(host, _cause(error), timed_out=timed_out)


def _cause(error: Exception) -> str:
    """Why it failed, in words: DNS, refused, TLS, time-out; never an address with a signature."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "time-out while connecting"
        case TimeoutError():
            return "time-out, no byte came for too long"
        case aiohttp.ClientConnectorDNSError():
            return "the name cannot be resolved (DNS)"
        case aiohttp.ClientConnectorCertificateError():
            return f"its TLS certificate is not valid: {error.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return f"TLS failed: {error.os_error}"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy cannot be reached: {_reason(error.os_error)}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_reason(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the body ended too early"
        case aiohttp.ClientResponseError():
            return "its answer is not HTTP"
        case aiohttp.InvalidURL() | ValueError():
            return "the address is not valid"
        case OSError():
            return f"the connection broke: {error.strerror or type(error).__name__}"
    return type(error).__name__


def _reason(error: OSError) -> str:
    # asyncio's own text names the address and leaves out the reason.
    return os.strerror(error.errno) if error.errno else str(error)
