"""What is told of a flow at its end."""

from __future__ import annotations

import pytest
from mitmproxy import http
from mitmproxy.flow import Error

from addon.flows.endings import account_of
from addon.flows.exchange import ASKED, STORY, Exchange
from addon.flows.story import Source
from tests.reverseflows import make_flow

URL = "https://hub.example/v2/library/alpine/manifests/latest?ns=docker.io"


def ended(exchange: Exchange) -> http.HTTPFlow:
    flow = make_flow(path="/v2/library/alpine/manifests/latest")
    flow.metadata[ASKED] = "/v2/alpine/manifests/latest?a=b"
    flow.response = http.Response.make(200, b"text")
    return flow


def test_what_went_through_the_inner_connection_has_the_bytes_that_were_given_on() -> None:
    exchange = Exchange("192.0.2.1", started=1.0, url=URL, shown=URL)
    exchange.story.given_bytes = 3
    account = account_of(ended(exchange), exchange, is_told=True)
    assert (account.client, account.status, account.size) == ("192.0.2.1", 200, 3)
    assert account.path == "/v2/alpine/manifests/latest"
    assert account.url == URL.partition("?")[0]
    assert account.seconds == account.ended - 1.0


def test_what_was_answered_at_once_has_its_content() -> None:
    exchange = Exchange("192.0.2.1", started=1.0)
    exchange.story.given(Source.MIRROR)
    flow = ended(exchange)
    account = account_of(flow, exchange, is_told=True)
    assert (account.size, account.url, account.failure) == (4, "", "")
    assert flow.metadata[STORY]["from"] == "mirror"


@pytest.mark.parametrize(
    ("status", "broken", "failure"),
    [
        pytest.param(404, "", "the mirror answered 404", id="a refusal"),
        pytest.param(200, "Client disconnected.", "Client disconnected.", id="a broken transfer"),
        pytest.param(200, "", "", id="none"),
    ],
)
def test_a_failure_is_told_to_all_alike(status: int, broken: str, failure: str) -> None:
    exchange = Exchange("192.0.2.1", started=1.0)
    flow = ended(exchange)
    flow.response = http.Response.make(status, b"")
    flow.error = Error(broken) if broken else None
    account = account_of(flow, exchange, is_told=True)
    assert (account.failure, account.broken) == (failure, broken)
    assert flow.metadata[STORY]["error"] == failure
    assert bool(flow.marked) is bool(failure)
    assert flow.comment == flow.metadata[STORY]["line"]


@pytest.mark.parametrize("status", [200, 404])
def test_where_nobody_looks_the_account_is_the_same_and_the_flow_says_nothing(status: int) -> None:
    told, untold = Exchange("192.0.2.1", started=1.0), Exchange("192.0.2.1", started=1.0)
    flows = [ended(exchange) for exchange in (told, untold)]
    for flow in flows:
        flow.response = http.Response.make(status, b"")
    accounts = [
        account_of(flow, exchange, is_told=exchange is told)
        for flow, exchange in zip(flows, (told, untold), strict=True)
    ]
    assert accounts[0].failure == accounts[1].failure
    assert accounts[0].outcome == accounts[1].outcome == str(status)
    assert STORY in flows[0].metadata
    assert (flows[1].comment, flows[1].marked) == ("", "")
    assert STORY not in flows[1].metadata
