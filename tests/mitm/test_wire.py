"""HTTP/1 towards the client without sockets: events in, commands out."""

from __future__ import annotations

import inspect
import json
import logging

import pytest
from mitmproxy import http, options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, HttpLayer, modes
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)
from mitmproxy.test import tflow

from addon.mitm.wire import (
    MAX_PENDING,
    BoundedHttp1Server,
    MirrorHttpLayer,
    client_stack,
    error_response,
)
from addon.redaction.records import conceal_response

GET = b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED_PUT = b"PUT /v2/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SECRET = b"Basic c2VjcmV0OnNlY3JldA=="


class Wire:
    """A client's side of one connection; `received` is what mitmproxy's flow would be given."""

    def __init__(self) -> None:
        self.context = Context(tflow.tclient_conn(), options.Options())
        self.server = BoundedHttp1Server(self.context)
        self.sent = b""
        self.received: list[HttpEvent] = []
        self.logged: list[str] = []
        self.closed = False
        self.feed(events.Start())

    def feed(self, event: events.Event) -> None:
        for command in self.server.handle_event(event):
            match command:
                case commands.SendData(data=data):
                    self.sent += data
                case commands.CloseConnection():
                    self.closed = True
                case ReceiveHttp(event=received):
                    self.received.append(received)
                case commands.Log(message=message):
                    self.logged.append(message)
                case _:
                    raise AssertionError(command)

    def client_sends(self, data: bytes) -> None:
        self.feed(events.DataReceived(self.context.client, data))

    def client_sends_until_closed(self, piece: bytes, at_most: int) -> int:
        """How many bytes it took."""
        given = 0
        while not self.closed and given < at_most:
            self.client_sends(piece)
            given += len(piece)
        return given

    def client_leaves(self) -> None:
        self.feed(events.ConnectionClosed(self.context.client))

    def answer(self, stream_id: int = 1) -> None:
        response = http.Response.make(200, b"", {"Content-Length": "2"})
        self.feed(ResponseHeaders(stream_id, response, end_stream=False))
        self.feed(ResponseData(stream_id, b"ok"))
        self.feed(ResponseEndOfMessage(stream_id))

    @property
    def kinds(self) -> list[type[HttpEvent]]:
        return [type(event) for event in self.received]

    def error(self) -> tuple[int, str]:
        head, _, body = self.sent.partition(b"\r\n\r\n")
        (error,) = json.loads(body)["errors"]
        return int(head.split(b" ")[1]), str(error["code"])


@pytest.fixture
def wire() -> Wire:
    return Wire()


# The internal that is extended.


def test_mitmproxys_http1_server_still_has_what_is_extended_here() -> None:
    hint = "mitmproxy's Http1Server has changed: look through addon/mitm/wire.py"
    for name in ("read_headers", "read_body", "wait", "done", "send", "mark_done", "_handle_event"):
        assert callable(getattr(_http1.Http1Server, name, None)), f"{hint} ({name})"
    page = _http1.make_error_response(400, "why")
    assert b"Content-Type: text/html" in page, f"{hint} (the error page)"
    head = inspect.getsource(_http1.Http1Server.read_headers)
    assert "self.buf.maybe_extract_lines()" in head, f"{hint} (how a head is read)"
    body = inspect.getsource(_http1.Http1Connection.read_body)
    assert "self.body_reader(self.buf)" in body, f"{hint} (how a body is read)"


# Which layers.


@pytest.mark.parametrize(
    ("first_bytes", "outer"),
    [
        pytest.param(GET, MirrorHttpLayer, id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", ClientTLSLayer, id="TLS"),
        pytest.param(b"SSH-2.0-x\r\n", MirrorHttpLayer, id="what is neither is refused as HTTP"),
    ],
)
def test_the_first_bytes_choose_the_layers(first_bytes: bytes, outer: type) -> None:
    context = Context(tflow.tclient_conn(), options.Options())
    modes.ReverseProxy(context)
    top = client_stack(context, first_bytes)
    assert type(top) is outer
    assert any(isinstance(one, MirrorHttpLayer) for one in context.layers)


@pytest.mark.parametrize("alpn", [None, b"", b"http/1.1", b"http/1.0"])
def test_http1_is_bounded_whatever_name_it_was_agreed_under(alpn: bytes | None) -> None:
    context = Context(tflow.tclient_conn(), options.Options())
    context.client.alpn = alpn
    top = client_stack(context, GET)
    assert isinstance(top, HttpLayer)
    list(top.handle_event(events.Start()))
    assert isinstance(top.connections[context.client], BoundedHttp1Server)


def test_a_client_gets_what_a_flow_does_not_show() -> None:
    context = Context(tflow.tclient_conn(), options.Options())
    top = client_stack(context, GET)
    assert isinstance(top, MirrorHttpLayer)
    list(top.handle_event(events.Start()))
    answer = http.Response.make(200, b"", {"Set-Cookie": "sid=1"})
    conceal_response(answer)
    assert answer.headers["Set-Cookie"] == "[redacted]"
    event = ResponseHeaders(1, answer)
    (sent,) = top.event_to_child(top.connections[context.client], event)
    assert isinstance(sent, commands.SendData)
    assert b"Set-Cookie: sid=1\r\n" in sent.data
    assert event.response.headers["Set-Cookie"] == "[redacted]"


# Bounds.


def test_a_head_of_the_full_size_is_read(wire: Wire) -> None:
    start = b"GET /v2/ HTTP/1.1\r\nX: "
    wire.client_sends(start + b"a" * (MAX_PENDING - len(start) - 4) + b"\r\n\r\n")
    assert not wire.closed
    assert wire.kinds == [RequestHeaders, RequestEndOfMessage]


def test_a_head_of_one_byte_more_is_not(wire: Wire) -> None:
    start = b"GET /v2/ HTTP/1.1\r\nX: "
    wire.client_sends(start + b"a" * (MAX_PENDING - len(start) - 3) + b"\r\n\r\n")
    assert wire.closed
    assert not wire.received


@pytest.mark.parametrize("size", [1, 7, 1000, 65535])
def test_a_head_without_an_end_is_cut_off_however_it_is_split(wire: Wire, size: int) -> None:
    wire.client_sends(b"GET /v2/ HTTP/1.1\r\n")
    assert wire.client_sends_until_closed(b"a" * size, 2 * MAX_PENDING) <= MAX_PENDING + size
    assert wire.closed
    assert len(wire.server.buf) == 0


def test_what_comes_after_the_end_is_dropped(wire: Wire) -> None:
    wire.client_sends(b"\x00\r\n\r\n")
    assert wire.closed
    wire.client_sends(GET * 100)
    assert len(wire.server.buf) == 0
    assert not wire.received


def test_what_is_sent_ahead_is_bounded_and_the_flow_learns_of_the_end(wire: Wire) -> None:
    wire.client_sends(GET)
    wire.client_sends(b"a" * MAX_PENDING)
    assert wire.kinds == [RequestHeaders, RequestEndOfMessage]
    wire.client_sends(b"a")
    assert wire.closed
    assert wire.kinds == [RequestHeaders, RequestEndOfMessage, RequestProtocolError]
    assert len(wire.server.buf) == 0


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"1" * 10, id="a chunk's size"),
        pytest.param(b"1;name=", id="a chunk's extension"),
        pytest.param(b"0\r\nX-Trailer: ", id="a trailer"),
    ],
)
def test_chunks_cannot_hide_an_endless_line(wire: Wire, begin: bytes) -> None:
    wire.client_sends(CHUNKED_PUT + begin)
    wire.client_sends_until_closed(b"1" * 1000, 2 * MAX_PENDING)
    assert wire.closed
    assert wire.kinds[-1] is RequestProtocolError
    assert len(wire.server.buf) == 0


def test_a_body_of_any_length_passes_and_nothing_of_it_stays(wire: Wire) -> None:
    wire.client_sends(b"PUT /v2/a HTTP/1.1\r\nContent-Length: 6553500\r\n\r\n")
    for _ in range(100):
        wire.client_sends(b"a" * 65535)
        assert len(wire.server.buf) == 0
    assert not wire.closed
    assert wire.kinds[-1] is RequestEndOfMessage


# What mitmproxy cannot read, or would stop at.


def test_trailers_are_dropped(wire: Wire) -> None:
    wire.client_sends(CHUNKED_PUT + b"3\r\nabc\r\n0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n")
    assert wire.kinds == [RequestHeaders, RequestData, RequestEndOfMessage]
    wire.answer()
    wire.client_sends(GET)
    assert wire.kinds[-2:] == [RequestHeaders, RequestEndOfMessage]


@pytest.mark.parametrize("empty", [b"\r\n", b"\n", b"\r\n\r\n\n"])
def test_empty_lines_before_a_request_are_skipped(wire: Wire, empty: bytes) -> None:
    """RFC 9112, section 2.2."""
    wire.client_sends(empty + GET)
    assert wire.kinds == [RequestHeaders, RequestEndOfMessage]
    wire.answer()
    wire.client_sends(empty)
    wire.client_sends(GET)
    assert wire.kinds[-2:] == [RequestHeaders, RequestEndOfMessage]


def test_requests_sent_ahead_are_answered_one_after_the_other(wire: Wire) -> None:
    wire.client_sends(GET * 3)
    for number in (1, 2, 3):
        assert wire.kinds == [RequestHeaders, RequestEndOfMessage] * number
        wire.answer(2 * number - 1)
    assert wire.sent.count(b"200 OK") == 3


# Refusals.


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\x00\x01\x02\r\n\r\n", id="no HTTP at all"),
        pytest.param(b"GET /v2/\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET /v2/ HTTP/1.1\r\nAuthorization " + SECRET + b"\r\n\r\n", id="no colon"),
        pytest.param(b"GET /v2/ HTTP/1.1\r\n Host: a\r\n\r\n", id="a fold with nothing before"),
        pytest.param(b"GET http://u:p@a:1/ HTTP/1.1\r\n\r\n", id="a user in the address"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="2"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="a length below 0"),
    ],
)
def test_what_the_parser_refuses_gets_an_oci_error(wire: Wire, head: bytes) -> None:
    wire.client_sends(head)
    assert wire.error() == (400, "UNKNOWN")
    assert wire.closed
    assert b"html" not in wire.sent.lower()
    assert b"mitmproxy" not in wire.sent.lower()
    assert "c2VjcmV0" not in "".join(wire.logged)


def test_a_client_that_leaves_within_a_body_is_said_to_have_left(wire: Wire) -> None:
    wire.client_sends(CHUNKED_PUT + b"3\r\nab")
    wire.client_leaves()
    error = wire.received[-1]
    assert isinstance(error, RequestProtocolError)
    assert error.message == "Client disconnected."


def test_a_head_that_never_ended_is_not_logged(wire: Wire) -> None:
    wire.client_sends(b"GET /v2/ HTTP/1.1\r\nAuthorization: " + SECRET)
    wire.client_leaves()
    assert wire.closed
    assert not any("c2VjcmV0" in line for line in wire.logged)


def test_a_broken_body_is_not_quoted_to_the_flow(wire: Wire) -> None:
    wire.client_sends(CHUNKED_PUT + b"password=wonderland\r\n\r\n")
    error = wire.received[-1]
    assert isinstance(error, RequestProtocolError)
    assert "password" not in error.message
    assert wire.closed


@pytest.mark.parametrize(
    ("status", "code"), [(400, "UNKNOWN"), (413, "SIZE_INVALID"), (502, "UNAVAILABLE")]
)
def test_a_page_of_mitmproxys_keeps_nothing_but_its_status(status: int, code: str) -> None:
    head, _, body = error_response(_http1.make_error_response(status, "why")).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Connection: close" in head
    assert b"mitmproxy" not in head + body
    assert json.loads(body)["errors"][0]["code"] == code


def test_a_log_line_keeps_its_level(wire: Wire) -> None:
    levels = []
    wire.client_sends(b"GET /v2/ HTTP/1.1\r\n")
    for command in wire.server.handle_event(events.DataReceived(wire.context.client, b"x\r\n\r\n")):
        if isinstance(command, commands.Log):
            levels.append(command.level)
    assert levels == [logging.INFO]
