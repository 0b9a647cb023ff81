from __future__ import annotations

import pytest

from addon.limits.ratelimit import Rate, RateLimit
from tests.clock import Clock


def limit(rate: float, burst: int, clock: Clock, entries: int = 8) -> RateLimit:
    return RateLimit(Rate(rate, burst), entries, clock)


def test_a_burst_passes_and_what_follows_waits_for_the_next_token() -> None:
    clock = Clock()
    rate = limit(2.0, 3, clock)
    assert [rate.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("seconds", "passed"),
    [
        pytest.param(0.0, 0, id="no time"),
        pytest.param(0.4, 0, id="less than a token"),
        pytest.param(0.5, 1, id="one token"),
        pytest.param(1.0, 2, id="two tokens"),
        pytest.param(3600.0, 3, id="no more than the burst"),
    ],
)
def test_an_empty_bucket_is_filled_with_time(seconds: float, passed: int) -> None:
    clock = Clock()
    rate = limit(2.0, 3, clock)
    for _ in range(3):
        rate.take("a")
    clock.now += seconds
    assert [rate.take("a") for _ in range(9)].count(0.0) == passed


def test_what_is_refused_takes_no_token() -> None:
    clock = Clock()
    rate = limit(1.0, 1, clock)
    rate.take("a")
    for _ in range(10):
        clock.now += 0.05
        assert rate.take("a") > 0
    clock.now += 0.51
    assert rate.take("a") == 0.0


def test_one_address_takes_nothing_from_another() -> None:
    rate = limit(1.0, 1, Clock())
    assert [rate.take(address) for address in "aab"] == [0.0, 1.0, 0.0]


def test_a_rate_of_nothing_is_no_limit() -> None:
    rate = limit(0, 1, Clock())
    assert not any(rate.take("a") for _ in range(100))
    assert len(rate) == 0


def test_addresses_are_bounded_and_the_one_that_came_longest_ago_is_forgotten() -> None:
    rate = limit(1.0, 1, Clock(), entries=2)
    for address in "aba":
        rate.take(address)
    rate.take("c")
    assert len(rate) == 2
    assert rate.take("a") > 0
    assert rate.take("b") == 0.0
