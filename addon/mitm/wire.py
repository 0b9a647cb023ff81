"""A client's bytes, bounded, and mitmproxy's own refusals in the mirror's form.

mitmproxy bounds neither a request's head nor what is sent after a request that is being answered,
answers what its parser refuses with a page of its own before any hook runs, and logs a head that
never ended as it came, credentials included. All this is in `Http1Server`, an internal of
mitmproxy that is extended here and nowhere else; `next_layer`, where the extension is put in, is
public. tests/mitm/test_wire.py says in words when the internal changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

import h11
from h11._receivebuffer import ReceiveBuffer
from mitmproxy import ctx
from mitmproxy.connection import Client
from mitmproxy.http import Response
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, HttpLayer
from mitmproxy.proxy.layers.http import HTTPMode, HttpStream
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    RequestProtocolError,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server, TBodyReader
from mitmproxy.proxy.server import ConnectionHandler

from addon.limits.clientline import ClientLine
from addon.mitm.packets import together
from addon.protocol.errors import CONTENT_TYPE, code_for, format_error
from addon.redaction.records import revealed

# Bytes of a request's head, and of what a client sends ahead while it is being answered.
MAX_PENDING = 64 * 1024

_NOT_VALID = "the request is not valid HTTP, or not for a registry mirror"
_BROKE_OFF = "the answer broke off before it could be given on"
_NO_VALID_BODY = "the client sent no valid body"
_LEFT = "Client disconnected."  # as mitmproxy says it elsewhere
_END_OF_HEAD = (b"\r\n\r\n", b"\n\n")


def client_stack(context: Context, first_bytes: bytes) -> layer.Layer:
    """The layers of a client's connection: TLS where its first bytes are TLS, then HTTP."""
    # Each layer notes itself in the context when it is made, so the outer one comes first.
    if not starts_like_tls_record(first_bytes):
        return MirrorHttpLayer(context, HTTPMode.transparent)
    tls = ClientTLSLayer(context)
    tls.child_layer = MirrorHttpLayer(context, HTTPMode.transparent)
    return tls


class MirrorHttpLayer(HttpLayer):
    """mitmproxy's HTTP layer with a bounded HTTP/1 side towards the client."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        is_http1 = self.context.client.alpn in (None, b"", b"http/1.1", b"http/1.0")
        if isinstance(event, events.Start) and is_http1:
            self.connections[self.context.client] = BoundedHttp1Server(self.context.fork())
        yield from together(super()._handle_event(event), self.context.client)

    def event_to_child(
        self, child: layer.Layer | HttpStream, event: events.Event
    ) -> layer.CommandGenerator[None]:
        """Give a layer what is for it; a client gets what the flow does not show."""
        is_clients = child is self.connections.get(self.context.client)
        if is_clients and isinstance(event, ResponseHeaders):
            event = replace(event, response=revealed(event.response))
        yield from super().event_to_child(child, event)

    @property
    def is_idle(self) -> bool:
        """Whether no answer is under way."""
        return not self.streams

    @property
    def is_between_requests(self) -> bool:
        """Whether the client had an answer, and nothing of a next request is here."""
        server = self.connections.get(self.context.client)
        if not isinstance(server, BoundedHttp1Server):
            return self.is_idle
        return server.state == server.read_headers and server.stream_id > 1 and not server.buf

    def close_after_answer(self) -> None:
        """Take no further request of an HTTP/1 client's, and tell it so where its head is due."""
        server = self.connections.get(self.context.client)
        if isinstance(server, BoundedHttp1Server):
            server.closes = True


class BoundedHttp1Server(Http1Server):
    """HTTP/1 with a client: bounded, and every error an OCI error."""

    closes = False  # the connection ends with the answer that is under way

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.DataReceived):
            if self.state == self.done:
                return  # the connection is being closed, and what still comes is nobody's
            if self._is_head_too_long(event.data):
                yield from self._close()
                return
        yield from super()._handle_event(event)
        # What is still here was not asked for yet: a head without an end, a chunk's header
        # without an end, or a next request before this one is answered.
        if isinstance(event, events.DataReceived) and len(self.buf) > MAX_PENDING:
            yield from self._close()

    def _is_head_too_long(self, data: bytes) -> bool:
        if self.state != self.read_headers or len(self.buf) + len(data) <= MAX_PENDING:
            return False
        head = (bytes(self.buf) + data)[:MAX_PENDING]
        return not any(end in head for end in _END_OF_HEAD)

    def _close(self) -> layer.CommandGenerator[None]:
        # Through the state that is current, so that a flow that runs learns of the end.
        self.buf.maybe_extract_at_most(len(self.buf))
        if self.state in (self.read_body, self.wait):
            yield from self.state(events.ConnectionClosed(self.conn))
        yield commands.CloseConnection(self.conn)
        self.state = self.done

    def send(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Write an answer; a protocol error that mitmproxy found itself gets our form."""
        if isinstance(event, ResponseHeaders) and self.closes:
            event = replace(event, response=_closing(event.response))
        sent = super().send(event)  # type: ignore[arg-type]
        if isinstance(event, ResponseProtocolError):
            sent = cast("layer.CommandGenerator[None]", map(_in_oci_form, _commands(sent)))
        yield from sent

    def mark_done(
        self, *, request: bool = False, response: bool = False
    ) -> layer.CommandGenerator[None]:
        """Go on to the next request, or close where the head that has gone did not say so."""
        if self.closes and self.response:
            self.response = _closing(self.response)
        yield from super().mark_done(request=request, response=response)

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Read a head; what the parser refuses is answered in our form and logged without it."""
        if isinstance(event, events.ConnectionClosed):
            self.buf.maybe_extract_at_most(len(self.buf))
        else:
            _skip_empty_lines(self.buf)
        for command in _commands(super().read_headers(event)):
            yield _in_oci_form(command)

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Read a body; its trailers, which mitmproxy cannot read, are dropped."""
        if not isinstance(self.body_reader, _WithoutTrailers):
            self.body_reader = cast("TBodyReader", _WithoutTrailers(self.body_reader))
        left = isinstance(event, events.ConnectionClosed)
        for command in _commands(super().read_body(event)):
            yield _without_quotes(command, _LEFT if left else _NO_VALID_BODY)


class _WithoutTrailers:
    """h11's reader of a body, at whose end nothing follows."""

    def __init__(self, reader: TBodyReader) -> None:
        self._reader = reader

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        event = self._reader(buf)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def read_eof(self) -> h11.EndOfMessage:
        """Say what the end of the connection means for the body."""
        return self._reader.read_eof()


def _skip_empty_lines(buf: ReceiveBuffer) -> None:
    """RFC 9112, section 2.2: clients send them before a request, and h11 would stop at one."""
    if bytes(buf)[:1] in (b"\r", b"\n"):
        buf += (buf.maybe_extract_at_most(len(buf)) or b"").lstrip(b"\r\n")


def close_left_open(client: Client) -> None:
    """Close a client's socket where mitmproxy did not.

    mitmproxy 12 forgets to when bytes of a client wait for their turn as it is cut off.
    """
    handler = client_connections().get(client.id)
    left = handler.transports.get(client) if handler else None
    if left and left.writer:
        left.writer.close()


def line_of(client: Client) -> ClientLine | None:
    """A client's socket; None where there is none, as of QUIC."""
    handler = client_connections().get(client.id)
    io = handler.transports.get(client) if handler else None
    transport = io.writer.transport if io and isinstance(io.writer, asyncio.StreamWriter) else None
    return ClientLine(transport) if transport else None


async def end_clients(seconds: float = 1.0) -> None:
    """End all clients' connections when the mirror ends.

    What the event loop would have to cancel shows as a traceback for each, on Python 3.11.
    """
    connections = client_connections()
    for handler in list(connections.values()):
        for transport in list(handler.transports.values()):
            if transport.handler:
                transport.handler.cancel("the mirror ends")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while connections:  # noqa: ASYNC110 - mitmproxy tells nobody of the last
                await asyncio.sleep(0.01)


def client_connections() -> Mapping[str, ConnectionHandler]:
    """All clients' connections, as mitmproxy handles them."""
    proxyserver = ctx.master.addons.get("proxyserver")  # type: ignore[no-untyped-call]
    return proxyserver.connections if proxyserver else {}


def _closing(response: Response) -> Response:
    """A copy of a head that says that the connection ends; what the flow shows stays."""
    closing = response.copy()
    closing.headers["Connection"] = "close"
    return closing


def _commands(generator: layer.CommandGenerator[None]) -> Iterator[commands.Command]:
    """The commands of HTTP/1's reader and writer, none of which waits for a reply."""
    return cast("Iterator[commands.Command]", generator)


def _in_oci_form(command: commands.Command) -> commands.Command:
    if isinstance(command, commands.Log):
        # It quotes what the client sent, which may be credentials.
        return commands.Log("A request's head was not valid HTTP.", command.level)
    if isinstance(command, commands.SendData) and b"Content-Type: text/html" in command.data:
        return commands.SendData(command.connection, error_response(command.data))
    return command


def _without_quotes(command: commands.Command, message: str) -> commands.Command:
    if isinstance(command, ReceiveHttp) and isinstance(command.event, RequestProtocolError):
        # h11 quotes what it could not read, which may be a password in a form.
        return ReceiveHttp(replace(command.event, message=message))
    return command


def error_response(page: bytes) -> bytes:
    """An OCI error with the status of mitmproxy's own page."""
    status_line = page.partition(b"\r\n")[0]
    status = int(status_line.split(b" ")[1])
    message = _NOT_VALID if status < 500 else _BROKE_OFF
    body = format_error(code_for(status), message)
    head = [
        status_line.decode("latin-1"),
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body
