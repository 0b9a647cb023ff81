from __future__ import annotations

import json

import pytest

from addon.protocol.errors import (
    MirrorError,
    Refusal,
    UpstreamFailure,
    code_for,
    failure,
    format_error,
)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("plain", id="plain"),
        pytest.param('"quotes" and \\ and </script>', id="quotes"),
        pytest.param("line\r\nend\0", id="control characters"),
        pytest.param("é 가 \N{PILE OF POO}", id="beyond ASCII"),
        # What mitmproxy makes of a byte that is no text.
        pytest.param("\udcff", id="a lone surrogate"),
        pytest.param("", id="empty"),
    ],
)
def test_an_error_is_json_of_the_distribution_spec(message: str) -> None:
    body = format_error("NAME_INVALID", message)
    assert body.isascii()
    assert body.endswith(b"\n")
    assert json.loads(body) == {
        "errors": [{"code": "NAME_INVALID", "message": message, "detail": None}]
    }
    assert Refusal(400, "NAME_INVALID", message).body() == body


@pytest.mark.parametrize("status", [0, 100, 200, 204, 304, 307, 399, 600, -1])
def test_no_error_has_the_status_of_a_success(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        MirrorError(status, "DENIED", "")


@pytest.mark.parametrize("status", [400, 404, 499, 500, 599])
def test_an_error_carries_status_code_message_and_fields(status: int) -> None:
    fields = {"Allow": "GET"}
    error = Refusal(status, "DENIED", "no", fields)
    fields.clear()
    assert (error.status, error.code, error.message) == (status, "DENIED", "no")
    assert error.headers == {"Allow": "GET"}
    assert str(error) == "no"
    assert Refusal(status, "DENIED", "no").headers == {}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "UNKNOWN"),
        (401, "UNAUTHORIZED"),
        (403, "DENIED"),
        (405, "UNSUPPORTED"),
        (413, "SIZE_INVALID"),
        (429, "TOOMANYREQUESTS"),
        (500, "UNKNOWN"),
        (502, "UNAVAILABLE"),
        (504, "UNAVAILABLE"),
    ],
)
def test_a_status_alone_has_a_code(status: int, code: str) -> None:
    assert code_for(status) == code


@pytest.mark.parametrize(("timed_out", "status"), [(False, 502), (True, 504)])
def test_an_upstream_failure_names_host_and_cause(timed_out: bool, status: int) -> None:
    error = failure("r.example:5000", "it is gone", timed_out=timed_out)
    assert isinstance(error, UpstreamFailure)
    assert not isinstance(error, Refusal)
    assert (error.status, error.code) == (status, "UNAVAILABLE")
    assert str(error) == "upstream r.example:5000: it is gone"
