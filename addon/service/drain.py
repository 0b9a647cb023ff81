"""Draining: the mirror takes nobody new, and ends once those whom it serves have been served.

A client that waits for an answer gets it, with `Connection: close` as far as its head has not gone
yet; whoever asks nothing is let go at once. mitmproxy tells nobody of the last connection, nor
of bytes that it has written and the client has not taken, so both are looked at.
"""

from __future__ import annotations

import asyncio
import logging
import time

from mitmproxy import ctx
from mitmproxy.proxy.server import ConnectionHandler

from addon.mitm.wire import MirrorHttpLayer, client_connections
from addon.settings.option import Option

logger = logging.getLogger(__name__)

OPTION = Option(
    "docxy_drain_timeout",
    int,
    30,
    "Seconds for which running answers may go on once the mirror is asked to end (0: it ends at"
    " once).",
    least=0,
)

# Seconds for whoever has just connected, or has sent half a request.
HEAD_SECONDS = 1.0
_PAUSE = 0.05


def may_close(*, is_idle: bool, is_between: bool, waited: float) -> bool:
    """Whether a connection may be closed `waited` seconds after the drain began.

    Args:
        is_idle: no answer is under way.
        is_between: it had an answer, and nothing of a next request has come.
        waited: seconds since the drain began.
    """
    return is_idle and (is_between or waited >= HEAD_SECONDS)


async def drain(seconds: float) -> int:
    """Stop listening, and wait until all is served; how many were not, after so many seconds."""
    await _stop_listening()
    began = time.monotonic()
    writers: set[asyncio.StreamWriter] = set()
    while True:
        handlers = list(client_connections().values())
        # One whose handler is gone may still hold what its client has not taken.
        writers = {w for w in writers if w.transport.get_write_buffer_size()}
        writers |= {writer for handler in handlers if (writer := _writer(handler))}
        left = max(len(handlers), len(writers))
        waited = time.monotonic() - began
        if not left or waited >= seconds:
            return left
        for handler in handlers:
            _close_if_idle(handler, waited)
        await asyncio.sleep(_PAUSE)


async def _stop_listening() -> None:
    proxyserver = ctx.master.addons.get("proxyserver")  # type: ignore[no-untyped-call]
    if proxyserver:
        await proxyserver.servers.update([])


def _close_if_idle(handler: ConnectionHandler, waited: float) -> None:
    layers = handler.layer.context.layers
    http = next((each for each in layers if isinstance(each, MirrorHttpLayer)), None)
    if http:
        http.close_after_answer()
    is_idle = http is None or http.is_idle
    is_between = http is not None and http.is_between_requests
    transport = handler.transports.get(handler.client)
    closes = may_close(is_idle=is_idle, is_between=is_between, waited=waited)
    if closes and transport and transport.handler:
        transport.handler.cancel("the mirror ends")


def _writer(handler: ConnectionHandler) -> asyncio.StreamWriter | None:
    transport = handler.transports.get(handler.client)
    writer = transport.writer if transport else None
    return writer if isinstance(writer, asyncio.StreamWriter) else None
