"""mitmproxy's messages and plain values."""

from __future__ import annotations

import pytest

from addon.flows.messages import (
    MAX_SHOWN,
    may_have_body,
    name_host,
    to_response,
    to_shown,
    to_value,
)
from addon.protocol.reply import Reply, whole
from tests.reverseflows import make_flow


@pytest.mark.parametrize(
    ("fields", "version", "expected"),
    [
        ({}, "HTTP/1.1", False),
        ({"Content-Length": "0"}, "HTTP/1.1", False),
        ({"Content-Length": "1"}, "HTTP/1.1", True),
        ({"Content-Length": "0, 5"}, "HTTP/1.1", True),
        ({"Transfer-Encoding": "chunked"}, "HTTP/1.1", True),
        ({}, "HTTP/2.0", True),
    ],
)
def test_which_requests_may_have_a_body(
    fields: dict[str, str], version: str, expected: bool
) -> None:
    request = make_flow(fields=fields).request
    request.http_version = version
    assert may_have_body(request) is expected


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"a, b", "a, b"),
        (b"a\r\n b", "a b"),
        (b"a\rX-Evil: 1", "a X-Evil: 1"),
        (b"a\0b", "a b"),
        (b"\x1b[31m\x07a\tb\x7f", " [31m a\tb "),
        (b"\xe9", "é"),
    ],
)
def test_a_fields_value_is_one_line(raw: bytes, value: str) -> None:
    assert to_value(raw) == value


def test_what_is_logged_is_one_short_line() -> None:
    assert to_shown("GET /v2/\x1b[31m\r\n\0") == "GET /v2/\N{REPLACEMENT CHARACTER}[31m" + (
        "\N{REPLACEMENT CHARACTER}" * 3
    )
    assert to_shown("a" * MAX_SHOWN) == "a" * MAX_SHOWN
    assert to_shown("a" * 70_000) == "a" * MAX_SHOWN + "…"


@pytest.mark.parametrize(
    ("method", "status", "content"),
    [
        pytest.param("GET", 404, b"text", id="whole"),
        pytest.param("HEAD", 200, b"", id="no body, with its length"),
        pytest.param("GET", 304, b"", id="a status without a body"),
    ],
)
def test_a_reply_in_memory_is_mitmproxys_answer(method: str, status: int, content: bytes) -> None:
    response = to_response(whole(status, b"text", [("X-Field", "é")]), method)
    assert (response.status_code, response.raw_content) == (status, content)
    assert response.headers.fields == ((b"X-Field", b"\xe9"), (b"Content-Length", b"4"))


def test_what_is_not_in_memory_is_not_given_at_once() -> None:
    class Elsewhere:
        async def read(self) -> bytes:
            return b""

        def close(self) -> None:
            pass

    with pytest.raises(TypeError):
        to_response(Reply(200, body=Elsewhere()), "GET")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("", ("127.0.0.1", 8080), id="none: the mirror's own"),
        pytest.param("mirror.example", ("mirror.example", 22), id="one stays"),
    ],
)
def test_a_request_that_has_no_host_shows_the_mirrors(host: str, expected: tuple[str, int]) -> None:
    flow = make_flow()
    flow.request.data.host = host
    name_host(flow)
    assert (flow.request.host, flow.request.port) == expected
