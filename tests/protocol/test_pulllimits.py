from __future__ import annotations

import pytest

from addon.protocol.pulllimits import (
    MAX_SOURCES,
    NOT_HEARD,
    PullLimit,
    PullLimits,
    duration,
    limit_line,
)
from tests.clock import Clock
from tests.upstreams import Site


def hear(limits: PullLimits, **fields: str) -> None:
    limits.hear({name.replace("_", "-"): value for name, value in fields.items()}.get)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        pytest.param(
            PullLimit("81;w=21600", "100;w=21600", "192.0.2.1", 10.0),
            "81 of 100 pulls left in 6 h, for 192.0.2.1, heard 5 s ago",
            id="Hub",
        ),
        pytest.param(
            PullLimit("5;w=1", "", "", 10.0), "5 pulls left in 1 s, heard 5 s ago", id="1"
        ),
        pytest.param(
            PullLimit("5", "9;w=x;", "", 10.0), "5 of 9 pulls left, heard 5 s ago", id="2"
        ),
        pytest.param(
            PullLimit("\x1b[2J", "", "", 99.0), "\\x1b[2J pulls left, heard 0 s ago", id="hostile"
        ),
    ],
)
def test_a_limit_as_a_person_reads_it(said: PullLimit, line: str) -> None:
    assert limit_line(said, 15.0) == line


@pytest.mark.parametrize(
    ("said", "numbers", "is_of_an_address"),
    [
        (PullLimit("81;w=21600", "100;w=21600", "192.0.2.1", 1.0), (81, 100), True),
        (PullLimit("5", "", "", 1.0), (5, None), True),
        (PullLimit("many", "\u0661", "0f3c9a52-user", 1.0), (None, None), False),
    ],
)
def test_a_limit_in_numbers(
    said: PullLimit, numbers: tuple[int | None, int | None], is_of_an_address: bool
) -> None:
    assert (said.left, said.allowed) == numbers
    assert said.is_of_an_address is is_of_an_address


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (300, "5 min"), (21600, "6 h")]
)
def test_a_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_nothing_was_heard_yet() -> None:
    limits = PullLimits()
    hear(limits, content_type="text/plain")
    assert limits.lines() == [NOT_HEARD]


def test_the_last_is_kept_for_each_who_is_counted() -> None:
    clock = Clock()
    limits = PullLimits(clock)
    hear(limits, ratelimit_remaining="9", docker_ratelimit_source="192.0.2.1")
    clock.forward(5)
    hear(limits, ratelimit_remaining="150", docker_ratelimit_source="an account")
    hear(limits, ratelimit_remaining="8", docker_ratelimit_source="192.0.2.1")
    clock.forward(60)
    hear(limits, ratelimit_remaining="149", docker_ratelimit_source="an account")
    assert limits.lines() == [
        "149 pulls left, for an account, heard 0 s ago",
        "8 pulls left, for 192.0.2.1, heard 60 s ago",
    ]


def test_not_more_are_kept_than_there_is_room_for() -> None:
    limits = PullLimits()
    for number in range(MAX_SOURCES + 5):
        hear(limits, ratelimit_remaining="1", docker_ratelimit_source=str(number))
    assert len(limits.lines()) == MAX_SOURCES


async def test_a_manifests_answer_is_heard() -> None:
    site = Site()
    site.push("1", b"config")
    await site.pull(await site.token())
    assert site.upstream.pull_limits.lines() == ["5 pulls left in 1 s, heard 0 s ago"]
