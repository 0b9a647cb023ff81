"""Flows as they are shown, with mitmproxy's own and no socket."""

from __future__ import annotations

import json

import pytest
from mitmproxy import http
from mitmproxy.addons import export, savehar
from mitmproxy.test import taddons, tflow, tutils

from addon.redaction.records import (
    LONGEST_OPEN,
    MOST_OPEN,
    OPEN_FIELDS,
    Recorder,
    ShownHeaders,
    conceal_error,
    conceal_request,
    conceal_response,
    record_form,
    record_token,
    revealed,
)

SECRET = b"d29uZGVybGFuZA"
FORM = b"application/x-www-form-urlencoded"


def make_flow(path: str = "/v2/", *fields: tuple[bytes, bytes]) -> http.HTTPFlow:
    request = tutils.treq(path=path.encode(), headers=http.Headers(fields), content=None)
    return tflow.tflow(req=request)


def state_of(flow: http.HTTPFlow) -> bytes:
    """All that mitmproxy saves of a flow."""
    return repr(flow.get_state()).encode()


REQUESTS = {
    "a login": (b"Authorization", b"Basic " + SECRET),
    "a cookie": (b"Cookie", b"sid=" + SECRET),
    "not UTF-8": (b"X-Auth-Token", b"\xff" + SECRET),
    "over two lines": (b"Authorization", b"Basic\r\n " + SECRET),
    "a name with a space behind it": (b"Authorization ", SECRET),
    "no colon": (b"Authorization Basic " + SECRET, b"x"),
}


@pytest.mark.parametrize("secret", REQUESTS.values(), ids=list(REQUESTS))
def test_a_requests_fields_are_hidden_and_come_back(secret: tuple[bytes, bytes]) -> None:
    fields = ((b"Host", b"a"), secret, (b"X-\xe9", b"\xe9"), (b"Accept", b"*/*"))
    flow = make_flow("/v2/", *fields)
    hidden = conceal_request(flow)
    assert SECRET not in state_of(flow)
    assert len(flow.request.headers.fields) == 4
    assert hidden.true_fields(flow.request.headers.fields) == list(fields)


def test_what_is_remembered_of_fields_is_bounded_and_holds_no_secret() -> None:
    for number in range(MOST_OPEN + 2):
        conceal_request(make_flow("/v2/", (b"X-Trace", b"%d" % number), *REQUESTS.values()))
        assert len(OPEN_FIELDS) <= MOST_OPEN
    conceal_request(make_flow("/v2/", (b"X-Long", b"a" * LONGEST_OPEN)))
    assert (b"X-Trace", b"%d" % (MOST_OPEN + 1)) in OPEN_FIELDS
    assert not any(SECRET in name + value for name, value in OPEN_FIELDS)
    assert max(len(name) + len(value) for name, value in OPEN_FIELDS) <= LONGEST_OPEN


@pytest.mark.parametrize("secret", REQUESTS.values(), ids=list(REQUESTS))
def test_a_field_is_hidden_each_time(secret: tuple[bytes, bytes]) -> None:
    for _ in range(2):
        flow = make_flow("/v2/", secret)
        conceal_request(flow)
        assert SECRET not in state_of(flow)


def test_a_requests_target_is_hidden_and_comes_back() -> None:
    flow = make_flow("/auth/token?account=alice&password=wonderland")
    hidden = conceal_request(flow)
    assert flow.request.path == "/auth/token?account=alice&password=[redacted]"
    assert hidden.true_target(flow.request.path) == "/auth/token?account=alice&password=wonderland"
    assert hidden.true_target("/changed") == "/changed"


def test_two_of_a_name_come_back_in_their_order() -> None:
    fields = [(b"Authorization", b"Basic YQ=="), (b"Authorization", b"Basic Yg==")]
    flow = make_flow("/", *fields)
    hidden = conceal_request(flow)
    assert hidden.true_fields(flow.request.headers.fields) == fields


def test_what_another_addon_changes_holds() -> None:
    flow = make_flow("/", (b"Authorization", b"Basic YQ=="), (b"Cookie", b"a=b"))
    hidden = conceal_request(flow)
    flow.request.headers["Authorization"] = "Basic b3duZXI="
    del flow.request.headers["Cookie"]
    shown = flow.request.headers.fields
    assert hidden.true_fields(shown) == [(b"Authorization", b"Basic b3duZXI=")]


def test_what_has_no_secret_is_not_touched() -> None:
    flow = make_flow("/v2/?a=b", (b"Host", b"a"))
    before = flow.get_state()
    hidden = conceal_request(flow)
    assert flow.get_state() == before
    assert hidden.pairs == ()


def test_who_logged_in_at_mitmproxy_is_shown_without_the_password() -> None:
    flow = make_flow()
    flow.metadata["proxyauth"] = ("alice", "wonderland")
    conceal_request(flow)
    assert flow.metadata["proxyauth"] == ("alice", "[redacted]")


def test_trailers_and_errors_are_records_too() -> None:
    flow = make_flow()
    flow.request.trailers = http.Headers([(b"Cookie", SECRET)])
    flow.error = tflow.terr("invalid header name: b'Authorization Basic " + SECRET.decode())
    conceal_request(flow)
    assert SECRET not in state_of(flow)
    flow.error.msg = "Authorization: " + SECRET.decode()
    conceal_error(flow)
    assert flow.error.msg == "Authorization: [redacted]"


def make_response() -> http.Response:
    fields = [(b"Set-Cookie", SECRET), (b"Location", b"/a?token=b"), (b"X-A", b"b")]
    return http.Response.make(200, b"body", http.Headers(fields))


def test_an_answers_fields_are_hidden_and_sent() -> None:
    response, sent = make_response(), make_response()
    conceal_response(response)
    conceal_response(response)
    assert response.headers["Set-Cookie"] == "[redacted]"
    assert response.headers["Location"] == "/a?token=[redacted]"
    to_client = revealed(response)
    assert to_client.headers.fields == sent.headers.fields
    assert to_client.content == b"body"
    # And nothing of it is kept.
    assert isinstance(response.headers, ShownHeaders)
    assert response.headers.hidden == ()
    assert revealed(response) is response


def test_an_answer_is_sent_with_what_another_addon_put_in() -> None:
    response = make_response()
    conceal_response(response)
    response.headers["X-A"] = "c"
    response.headers["X-Api-Key"] = "d"
    conceal_response(response)
    assert response.headers["X-Api-Key"] == "[redacted]"
    headers = revealed(response).headers
    assert (headers["X-A"], headers["X-Api-Key"]) == ("c", "d")
    assert headers["Set-Cookie"] == SECRET.decode()


def test_an_answer_without_secrets_is_not_touched() -> None:
    response = http.Response.make(200, b"", {"X-A": "b"})
    headers = response.headers
    conceal_response(response)
    assert response.headers is headers
    assert revealed(response) is response


def test_a_saved_answer_has_no_secret() -> None:
    flow = make_flow()
    flow.response = make_response()
    conceal_response(flow.response)
    assert SECRET not in state_of(flow)
    copy = tflow.tflow(resp=True)
    copy.set_state(flow.get_state())
    assert copy.response
    assert revealed(copy.response).headers["Set-Cookie"] == "[redacted]"


@pytest.mark.parametrize("way", [export.curl_command, export.httpie_command, export.raw])
def test_an_export_has_no_secret(way: object) -> None:
    flow = make_flow("/auth/token?password=wonderland", (b"Authorization", b"Basic " + SECRET))
    flow.request.headers["Content-Type"] = FORM.decode()
    conceal_request(flow)
    record_form(flow.request, b"password=wonderland", redacted=True)
    flow.response = make_response()
    conceal_response(flow.response)
    record_token(flow.response, b'{"token": "wonderland"}', redacted=True)
    with taddons.context(export.Export(), savehar.SaveHar()):  # type: ignore[no-untyped-call]
        text = repr(way(flow))  # type: ignore[operator]
        har = json.dumps(savehar.SaveHar().make_har([flow]))
    for shown in (text, har):
        assert "[redacted]" in shown
        assert SECRET.decode() not in shown
        assert "wonderland" not in shown


@pytest.mark.parametrize(
    ("content", "redacted", "shown"),
    [
        (b"username=a&password=b", True, b"username=a&password=[redacted]"),
        (b"username=a&password=b", False, b"username=a&password=b"),
        (b"\xff=\xfe", True, b"\xff=\xfe"),
    ],
)
def test_a_form_is_shown(content: bytes, redacted: bool, shown: bytes) -> None:
    request = make_flow("/", (b"Content-Type", FORM + b"; charset=utf-8")).request
    record_form(request, content, redacted=redacted)
    assert request.content == shown
    assert request.headers["Content-Length"] == str(len(shown))


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        pytest.param({"Content-Type": "application/json"}, b'{"password": "a"}', id="no form"),
        pytest.param({}, b"password=a", id="nobody knows what"),
        pytest.param({"Content-Type": FORM.decode(), "Content-Encoding": "gzip"}, b"a", id="zip"),
        pytest.param({"Content-Type": FORM.decode()}, None, id="too large"),
    ],
)
def test_what_is_no_form_is_not_shown(fields: dict[str, str], content: bytes | None) -> None:
    request = make_flow("/", *((n.encode(), v.encode()) for n, v in fields.items())).request
    record_form(request, content, redacted=True)
    assert request.raw_content is None


def test_a_token_services_answer_is_shown() -> None:
    response = http.Response.make(200)
    response.headers["Content-Length"] = "16"
    record_token(response, b'{"token": "a"}', redacted=True)
    assert response.content == b'{"token": "[redacted]"}'
    assert response.headers["Content-Length"] == "16"
    record_token(response, b'{"token": "a"}', redacted=False)
    assert response.content == b'{"token": "a"}'


def test_an_answer_that_cannot_be_read_is_not_shown() -> None:
    response = http.Response.make(200, b"", {"Content-Encoding": "gzip"})
    response.raw_content = None
    record_token(response, b"\x1f\x8b", redacted=True)
    assert response.raw_content is None


@pytest.mark.parametrize(
    ("pieces", "content"),
    [
        ([b"ab", b"cd", b""], b"abcd"),
        ([b""], b""),
        ([b"ab", b"cde", b""], None),
        ([b"ab"], None),
        ([], None),
    ],
)
def test_a_recorder_changes_nothing_and_keeps_what_is_whole(
    pieces: list[bytes], content: bytes | None
) -> None:
    recorder = Recorder(at_most=4)
    assert [recorder(piece) for piece in pieces] == pieces
    assert recorder.content == content
