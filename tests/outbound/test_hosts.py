from __future__ import annotations

import gc
import socket
from dataclasses import dataclass

import pytest

from addon.outbound.hosts import (
    FRESH_ROUND_TRIPS,
    MAX_HOSTS,
    NEAR_SECONDS,
    SMOOTHING,
    Host,
    Hosts,
)
from tests.clock import Clock

FAR = 10 * NEAR_SECONDS


@dataclass(eq=False)
class Coming:
    """An answer that is coming."""

    connection: object | None = "a connection"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def host(clock: Clock) -> Host:
    return Hosts(clock).of("cdn.example")


@pytest.mark.parametrize(
    ("heads", "is_far"),
    [
        pytest.param([], None, id="not asked yet"),
        pytest.param([FAR], True, id="far"),
        pytest.param([NEAR_SECONDS / 2], False, id="near"),
        pytest.param([FAR, NEAR_SECONDS / 2, FAR], False, id="near, though some heads took long"),
    ],
)
def test_the_fastest_head_tells_how_far_a_host_is(
    host: Host, heads: list[float], is_far: bool | None
) -> None:
    for seconds in heads:
        host.answered(seconds)
    assert host.is_far is is_far
    assert host.round_trip == min(heads, default=0.0)


class TestDelay:
    def test_is_what_heads_take_on_top_of_the_fastest(self, host: Host) -> None:
        host.answered(FAR)
        assert host.delay == 0
        host.answered(FAR + 1)
        assert host.delay == pytest.approx(SMOOTHING)
        for _ in range(50):
            host.answered(FAR + 1)
        assert host.delay == pytest.approx(1, rel=0.01)
        for _ in range(50):
            host.answered(FAR)
        assert host.delay == pytest.approx(0, abs=0.01)

    def test_says_nothing_of_a_line_over_which_nothing_comes_any_more(
        self, host: Host, clock: Clock
    ) -> None:
        host.answered(FAR)
        host.answered(FAR + 1)
        coming = Coming()
        host.carries(coming)
        clock.now += FRESH_ROUND_TRIPS * FAR + 1
        assert host.delay > 0
        coming.connection = None
        assert host.delay == 0


class TestConnections:
    def test_are_counted_while_they_are_open(self, host: Host) -> None:
        sockets = [socket.socket() for _ in range(3)]
        for sock in sockets:
            host.connected_by(sock)
        assert host.connections == host.idle == 3
        sockets.pop().close()
        assert host.connections == host.idle == 2
        while sockets:
            sockets.pop().close()
        assert host.connections == 0

    def test_that_carry_something_are_not_idle(self, host: Host) -> None:
        sockets = [socket.socket() for _ in range(3)]
        for sock in sockets:
            host.connected_by(sock)
        coming = Coming()
        host.carries(coming)
        with host.asked():
            assert (host.busy, host.idle) == (1, 1)
        coming.connection = None
        assert (host.busy, host.idle) == (0, 3)
        for sock in sockets:
            sock.close()

    def test_a_request_that_fails_is_on_its_way_no_more(self, host: Host) -> None:
        with socket.socket() as sock:
            host.connected_by(sock)
            asked = host.asked()
            asked.__enter__()
            assert host.idle == 0
            assert not asked.__exit__(OSError, OSError(), None)
            assert host.idle == 1

    def test_an_answer_that_is_gone_is_not_held(self, host: Host) -> None:
        host.carries(Coming())
        gc.collect()
        assert host.busy == 0


def test_hosts_are_bounded_and_each_is_one(clock: Clock) -> None:
    hosts = Hosts(clock)
    first = hosts.of("0.example")
    assert hosts.of("0.example") is first
    for number in range(1, MAX_HOSTS + 1):
        hosts.of(f"{number}.example")
    assert hosts.of("0.example") is not first
