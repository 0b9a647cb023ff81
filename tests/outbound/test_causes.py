from __future__ import annotations

import errno

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from addon.outbound.causes import cause_of, explained, fault_of
from addon.outbound.faults import Fault

KEY = ConnectionKey("cdn.example", 443, True, True, None, None, None)
SECRET = "https://cdn.example/data?Signature=secret"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aiohttp.ConnectionTimeoutError(), "time-out while connecting"),
        (TimeoutError(), "no byte came for too long"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "x")), "DNS"),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "x")), "Connection refused"),
        (aiohttp.ServerDisconnectedError(), "closed the connection without an answer"),
        (aiohttp.ClientPayloadError(), "ended too early"),
        (aiohttp.InvalidURL(SECRET), "address is not valid"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "reset by peer"),
        (aiohttp.ClientError(SECRET), "ClientError"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_cause_is_said_in_words_and_names_no_address(error: Exception, words: str) -> None:
    said = cause_of(error)
    assert words in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (aiohttp.ConnectionTimeoutError(), Fault.TIMEOUT),
        (TimeoutError(), Fault.TIMEOUT),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "x")), Fault.DNS),
        (aiohttp.ClientConnectorSSLError(KEY, OSError(1, "x")), Fault.TLS),
        (aiohttp.ClientConnectorCertificateError(KEY, ValueError("x")), Fault.TLS),
        (aiohttp.ClientProxyConnectionError(KEY, OSError(errno.ECONNREFUSED, "x")), Fault.PROXY),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "x")), Fault.CONNECT),
        (aiohttp.ServerDisconnectedError(), Fault.CLOSED),
        (ConnectionResetError(errno.ECONNRESET, "x"), Fault.CLOSED),
        (aiohttp.ClientPayloadError(), Fault.CUT_SHORT),
        (aiohttp.InvalidURL(SECRET), Fault.OTHER),
        (aiohttp.ClientError(SECRET), Fault.OTHER),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_cause_is_counted_as_one_of_a_few(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault


@pytest.mark.parametrize(
    ("error", "status"),
    [(TimeoutError(), 504), (aiohttp.ServerDisconnectedError(), 502)],
    ids=["time-out", "else"],
)
def test_a_time_out_is_a_504_and_all_else_a_502(error: Exception, status: int) -> None:
    found = explained("cdn.example", error)
    assert found.status == status
    assert "cdn.example" in str(found)
