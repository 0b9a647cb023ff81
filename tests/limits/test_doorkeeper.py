"""The hooks that keep clients within their limits; whole mirrors are in e2e/test_limits.py."""

from __future__ import annotations

import asyncio
import resource

import pytest
from mitmproxy.connection import Client
from mitmproxy.http import Response
from mitmproxy.test import tflow

from addon.limits import doorkeeper
from addon.limits.clientlimits import ClientLimits
from addon.limits.crowd import CrowdLimits
from addon.limits.doorkeeper import Doorkeeper
from addon.limits.ratelimit import Rate
from addon.outbound.networks import Networks, parse_address, parse_networks
from addon.protocol.errors import Refusal
from tests.limits.test_crowd import FakeLine
from tests.reverseflows import make_flow

OWN = ("127.0.0.1", 4711)
PROXY = "192.0.2.7"


class SeenLine(FakeLine):
    """Notes how it was ended."""

    ended = ""

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Door:
    """A doorkeeper, and the lines of whoever came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keeper = Doorkeeper({OWN})
        self.lines: dict[str, SeenLine] = {}
        monkeypatch.setattr(doorkeeper, "line_of", lambda client: self.lines[client.id])

    def limit(self, *, connections: int = 0, of_address: int = 0, rate: Rate | None = None) -> None:
        crowd = CrowdLimits(connections, of_address, 30.0, 300.0, 60.0)
        proxies = parse_networks(PROXY)
        self.keeper.apply(ClientLimits(crowd, rate or Rate()), proxies)

    def connect(self, address: str = "198.51.100.1", port: int = 5) -> Client:
        client = tflow.tclient_conn()
        client.id = f"{address}-{len(self.lines)}"
        client.peername = (address, port)
        self.lines[client.id] = SeenLine()
        self.keeper.client_connected(client)
        return client

    def ended(self, client: Client) -> str:
        return self.lines[client.id].ended


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(monkeypatch)


def test_one_that_never_asked_is_reset_and_one_that_did_is_closed(door: Door) -> None:
    door.limit(connections=2)
    silent, asked = door.connect(), door.connect()
    flow = make_flow()
    flow.client_conn = asked
    door.keeper.request(flow)
    assert door.keeper.crowd.running == 1
    door.keeper.response(flow)
    door.connect()
    door.connect()
    assert (door.ended(silent), door.ended(asked)) == ("aborted", "closed")
    assert silent.error is None


def test_a_request_that_broke_off_runs_no_more(door: Door) -> None:
    flow = make_flow()
    flow.client_conn = door.connect()
    door.keeper.request(flow)
    door.keeper.error(flow)
    assert door.keeper.crowd.running == 0
    door.keeper.client_disconnected(flow.client_conn)
    assert len(door.keeper.crowd) == 0


def test_what_was_answered_already_does_not_run(door: Door) -> None:
    flow = make_flow()
    flow.client_conn = door.connect()
    flow.response = Response.make(401)
    door.keeper.request(flow)
    assert door.keeper.crowd.running == 0


def test_one_connection_too_many_of_an_address_is_closed(door: Door) -> None:
    door.limit(of_address=1)
    flow = make_flow()
    flow.client_conn = door.connect("2001:470:1:2::5")
    door.keeper.request(flow)
    assert door.connect("2001:470:1:2:ffff::9").error
    assert door.connect("2001:470:1:3::5").error is None


@pytest.mark.parametrize(
    ("address", "port"),
    [
        pytest.param(PROXY, 5, id="a proxy in front"),
        pytest.param(f"::ffff:{PROXY}", 5, id="the same, IPv4-mapped"),
        pytest.param(*OWN, id="a client of the mirror's own"),
    ],
)
def test_limits_of_an_address_are_not_for(door: Door, address: str, port: int) -> None:
    door.limit(of_address=1, rate=Rate(1, 1))
    clients = [door.connect(address, port) for _ in range(3)]
    assert [client.error for client in clients] == [None] * 3
    assert [door.ended(client) for client in clients] == [""] * 3


def test_a_client_that_was_refused_before_is_not_counted(door: Door) -> None:
    client = tflow.tclient_conn()
    client.error = "a mirror serves TCP alone"
    door.lines[client.id] = SeenLine()
    door.keeper.client_connected(client)
    assert len(door.keeper.crowd) == 0


def test_connections_and_requests_are_counted_together(door: Door) -> None:
    door.limit(rate=Rate(0.001, 3))
    door.connect("198.51.100.1")
    door.keeper.check(parse_address("198.51.100.1"))
    door.keeper.check(parse_address("::ffff:198.51.100.1"))
    with pytest.raises(Refusal) as refused:
        door.keeper.check(parse_address("198.51.100.1"))
    assert (refused.value.status, refused.value.code) == (429, "TOOMANYREQUESTS")
    assert refused.value.headers["Connection"] == "close"
    assert 990 <= int(refused.value.headers["Retry-After"]) <= 1000
    assert door.connect("198.51.100.1").error
    assert door.connect("198.51.100.2").error is None


def test_the_same_rate_applied_again_forgets_nobody(door: Door) -> None:
    rate = Rate(0.001, 1)
    door.limit(rate=rate)
    door.connect()
    door.limit(rate=rate)
    assert door.connect().error


def test_more_requests_than_may_run_are_refused(door: Door) -> None:
    door.limit(connections=2)
    flow = make_flow()
    flow.client_conn = door.connect()
    door.keeper.check(parse_address("198.51.100.1"))
    door.keeper.request(flow)
    with pytest.raises(Refusal) as refused:
        door.keeper.check(parse_address("198.51.100.1"))
    assert (refused.value.status, refused.value.code) == (503, "UNAVAILABLE")
    assert refused.value.headers == {"Retry-After": "5", "Connection": "close"}


def test_half_of_the_files_are_left_for_all_else(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for soft, expected in ((100, 50), (4096, 1024), (resource.RLIM_INFINITY, 1024)):
        monkeypatch.setattr(resource, "getrlimit", lambda _what, soft=soft: (soft, soft))
        door.limit(connections=1024)
        assert door.keeper.crowd.limits.connections == expected


async def test_it_looks_at_all_from_time_to_time(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorkeeper, "INTERVAL", 0.01)
    door.keeper.apply(ClientLimits(CrowdLimits(head_seconds=0.05, stall_seconds=0.05)), Networks())
    silent, stalled = door.connect(), door.connect()
    flow = make_flow()
    flow.client_conn = stalled
    door.keeper.request(flow)
    door.lines[stalled.id].unsent = 1
    door.keeper.running()
    async with asyncio.timeout(10):
        while len(door.keeper.crowd):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (door.ended(silent), door.ended(stalled)) == ("aborted", "aborted")
    door.keeper.done()


def test_what_comes_a_thousand_times_is_said_once(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.limit(connections=1)
    for number in range(1000):
        door.connect(f"198.51.100.{number % 250}")
    assert caplog.messages == [
        "A connection of 198.51.100.0 is ended:"
        " it had waited longest, and another one needed its place"
    ]
