"""Connections in place of those that break, with a fake upstream and a fake clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from addon.ahead.spares import SETUP_ROUND_TRIPS, Spares
from addon.outbound.outbound import Outbound
from addon.protocol.errors import failure
from addon.protocol.headers import Fields
from tests.clock import Clock

ORIGIN = "https://cdn.example"
MOST = 8
ROUND_TRIP = 0.2


@dataclass
class Host:
    """What is known of the host."""

    is_far: bool | None = True
    idle: int = 0
    round_trip: float = ROUND_TRIP


@dataclass
class Upstreams:
    """Stands for the outbound client; each connection takes until `open` is set."""

    host: Host = field(default_factory=Host)
    asked: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    is_down: bool = False

    @property
    def hosts(self) -> Upstreams:
        return self

    def of(self, name: str) -> Host:
        assert name == "cdn.example"
        return self.host

    async def touch(
        self, method: str, url: str, fields: Fields, *, redirected: bool, anew: bool
    ) -> None:
        assert anew
        assert redirected
        self.asked.append(f"{method} {url}")
        await self.open.wait()
        if self.is_down:
            raise failure("cdn.example", "refused")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upstreams() -> Upstreams:
    return Upstreams()


@pytest.fixture
def spares(upstreams: Upstreams, clock: Clock) -> Spares:
    return Spares(cast("Outbound", upstreams), MOST, clock)


async def asked_after(spares: Spares, upstreams: Upstreams, breaks: int) -> int:
    for _ in range(breaks):
        spares.lost(ORIGIN, redirected=True)
        await settle()
    return len(upstreams.asked)


@pytest.mark.parametrize(
    ("host", "breaks", "opened"),
    [
        pytest.param(Host(), 1, 1, id="one for one"),
        pytest.param(Host(), 5, 5, id="one for each"),
        pytest.param(Host(), 3 * MOST, MOST, id="not beyond the most"),
        pytest.param(Host(idle=1), 1, 0, id="none where one is idle"),
        pytest.param(Host(idle=2), 5, 3, id="what is missing"),
        pytest.param(Host(is_far=False), 5, 0, id="none to a host that is near"),
        pytest.param(Host(is_far=None), 5, 0, id="nor to one that is not known"),
    ],
)
async def test_as_many_are_opened_as_broke_lately(
    spares: Spares, upstreams: Upstreams, host: Host, breaks: int, opened: int
) -> None:
    upstreams.host = host
    assert await asked_after(spares, upstreams, breaks) == opened
    assert set(upstreams.asked) <= {f"HEAD {ORIGIN}/"}


async def test_breaks_of_long_ago_do_not_count(
    spares: Spares, upstreams: Upstreams, clock: Clock
) -> None:
    await asked_after(spares, upstreams, 4)
    upstreams.open.set()
    await settle()
    upstreams.host.idle = 4
    clock.now += SETUP_ROUND_TRIPS * ROUND_TRIP + 0.01
    assert await asked_after(spares, upstreams, 1) == 4


async def test_one_that_cannot_be_opened_is_no_error_and_is_tried_again(
    spares: Spares, upstreams: Upstreams
) -> None:
    upstreams.is_down = True
    upstreams.open.set()
    assert await asked_after(spares, upstreams, 1) == 1
    assert await asked_after(spares, upstreams, 1) == 3


async def test_none_is_opened_after_the_end(spares: Spares, upstreams: Upstreams) -> None:
    await asked_after(spares, upstreams, 3)
    spares.close()
    await settle()
    assert len(asyncio.all_tasks()) == 1
    assert await asked_after(spares, upstreams, 1) == 3


async def test_none_at_all_may_be_the_most(upstreams: Upstreams, clock: Clock) -> None:
    spares = Spares(cast("Outbound", upstreams), 0, clock)
    assert await asked_after(spares, upstreams, 5) == 0
