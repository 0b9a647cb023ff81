"""The pools of connections to upstreams, and what each one is opened by.

There are two, because a connection that the owner's word opened must not carry a redirect to a
private address, and the other way round.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import certifi

from addon.outbound.hosts import Host
from addon.outbound.networks import Networks, may_redirect_to, parse_address
from addon.outbound.sent import Sent
from addon.protocol.errors import failure
from addon.protocol.registry import authority
from addon.settings.wayout import OutboundSettings

# Bytes of one field of an answer; presigned addresses can be long.
MAX_FIELD = 64 * 1024

# The host that a connection is opened for.
ASKED: ContextVar[Host] = ContextVar("asked")
# Whether it is to be a new one, though others are idle.
ANEW: ContextVar[bool] = ContextVar("anew", default=False)


class AddressRefused(OSError):
    """A redirect led to an address where no CDN is."""


class _Pool(aiohttp.TCPConnector):
    """aiohttp's pool, which also opens a connection that nobody needs yet.

    `_get` is an internal: it gives an idle connection, None where there is none. Tests in
    tests/e2e/test_pool.py fail when it is not asked any more.
    """

    async def _get(self, key: Any, traces: Any) -> Any:
        if ANEW.get():
            return None
        # aiohttp's timer for silence may go on after a body, and then ends an idle connection of
        # which the pool does not hear.
        while found := await super()._get(key, traces):
            if found.protocol is not None and not found.protocol.should_close:
                return found
            found.close()
        return None


def named_hosts(settings: OutboundSettings, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    """The pool for hosts that the owner's options name."""
    return _session(settings, tls, _new_socket)


def redirected_hosts(settings: OutboundSettings, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    """The pool for hosts that an upstream names: none of them at a private address."""
    return _session(settings, tls, partial(_public_socket, settings.redirect_private))


def check_literal(url: str, private: Networks) -> None:
    """Refuse an address with a literal IP address in it where no CDN is.

    Raises:
        UpstreamFailure: it is one, and none of the networks that the owner lists.
    """
    host = urlsplit(url).hostname or ""
    try:
        parse_address(host)
    except ValueError:
        return
    try:
        _check(host, private)
    except AddressRefused as e:
        raise failure(authority(url), str(e)) from e


def _check(host: str, private: Networks) -> None:
    if may_redirect_to(parse_address(host), private):
        return
    raise AddressRefused(
        f"refused to follow a redirect to {host}, which is not a public address;"
        f" --set docxy_redirect_private=NETWORK lists networks where it may lead"
    )


def _public_socket(private: Networks, info: Any) -> socket.socket:
    _check(info[4][0], private)
    return _new_socket(info)


def _session(
    settings: OutboundSettings,
    tls: ssl.SSLContext,
    socket_factory: Callable[[Any], socket.socket],
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Pool(
            ssl=tls,
            limit=settings.connections,
            keepalive_timeout=settings.idle_time,
            socket_factory=socket_factory,
        ),
        trace_configs=[_trace()],
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


def tls_context(settings: OutboundSettings) -> ssl.SSLContext:
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


def _new_socket(info: Any) -> socket.socket:
    family, kind, protocol, *_ = info
    sock = socket.socket(family=family, type=kind, proto=protocol)
    ASKED.get().connected_by(sock)
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
