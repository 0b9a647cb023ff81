"""When and where connections are opened ahead, with a fake upstream and a fake clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from addon.ahead.destinations import Destinations
from addon.ahead.warming import (
    SHORTEST_INTERVAL,
    WARMING,
    Round,
    Warming,
    WarmLimits,
    parse_warming,
)
from addon.memory.learning import LearntRegistry
from addon.outbound.outbound import Outbound
from addon.protocol.errors import failure
from addon.protocol.headers import Fields
from addon.protocol.registry import Registry, authority, parse_registry

HUB = parse_registry("", official="library")
CDN = "https://cdn.example"
REGISTRY_PING = "GET https://registry-1.docker.io/v2/"
TOKEN_HEAD = "HEAD https://auth.docker.io/token"
CDN_HEAD = f"HEAD {CDN}/"
INTERVAL = 45.0
LIMITS = WarmLimits(seconds=900, registry=3, token_service=2, cdn=4)


@dataclass
class HostOf:
    """What is known of a host."""

    upstreams: Upstreams
    name: str
    is_far: bool | None

    @property
    def busy(self) -> int:
        return self.upstreams.carrying[self.name]

    @property
    def opened(self) -> int:
        return self.upstreams.made[self.name]


@dataclass
class Upstreams:
    """Stands for the outbound client: opens what is not idle, and forgets nothing."""

    far: bool | None = True
    is_down: bool = False
    idle: Counter[str] = field(default_factory=Counter)
    carrying: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    redirected: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    destinations: Destinations = field(default_factory=Destinations)

    @property
    def hosts(self) -> Upstreams:
        return self

    def of(self, host: str) -> HostOf:
        is_far = self.far if self.made[host] or self.far else None
        return HostOf(self, host, is_far)

    def on_loss(self, origin: str, redirected: bool) -> None:
        raise NotImplementedError

    async def touch(self, method: str, url: str, fields: Fields, *, redirected: bool) -> None:
        host = authority(url)
        self.asked.append(f"{method} {url}")
        self.fields |= {name for name, _ in fields}
        if redirected:
            self.redirected.add(host)
        is_open = self.idle[host] > 0
        self.idle[host] -= is_open
        await asyncio.sleep(0)
        if self.is_down:
            raise failure(host, "refused")
        self.made[host] += not is_open
        await asyncio.sleep(0)
        self.idle[host] += 1

    def close_idle(self) -> None:
        self.idle.clear()

    def taken(self) -> Counter[str]:
        asked = Counter(self.asked)
        self.asked.clear()
        return asked


class Clock:
    """Time that passes only when a test says so; what sleeps is woken as the loop does it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        self._pauses: list[tuple[float, asyncio.Event]] = []
        monkeypatch.setattr(Warming, "_pause", self._pause())

    def __call__(self) -> float:
        return self.seconds

    def _pause(self) -> Callable[[Warming, float], Any]:
        async def pause(warming: Warming, seconds: float) -> None:
            event = warming._changed
            entry = (self.seconds + seconds, event)
            self._pauses.append(entry)
            await event.wait()
            self._pauses.remove(entry)

        return pause

    async def pass_by(self, seconds: float) -> None:
        end = self.seconds + seconds
        while self._pauses and self._pauses[0][0] <= end:
            self.seconds = max(self.seconds, self._pauses[0][0])
            self._pauses[0][1].set()
            await settle()
        self.seconds = end


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def warming_of(
    upstreams: Upstreams, clock: Clock, limits: WarmLimits = LIMITS, registry: Registry = HUB
) -> Warming:
    outbound = cast("Outbound", upstreams)
    return Warming(LearntRegistry(registry, outbound), outbound, limits, clock)


async def test_from_the_start_connections_are_open_everywhere(clock: Clock) -> None:
    upstreams = Upstreams()
    upstreams.destinations.note(HUB.url, f"{CDN}/x?Signature=s")
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    assert upstreams.taken() == {REGISTRY_PING: 3, TOKEN_HEAD: 2, CDN_HEAD: 4}
    assert upstreams.made == {"registry-1.docker.io": 3, "auth.docker.io": 2, "cdn.example": 4}
    assert upstreams.fields == {"Accept-Encoding"}  # no credentials, and nobody's name
    assert upstreams.redirected == {"cdn.example"}  # the rules for redirects hold
    warming.close()


async def test_idle_ones_are_used_before_the_other_side_closes_them(clock: Clock) -> None:
    upstreams = Upstreams()
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    opened = dict(upstreams.made)
    upstreams.taken()
    await clock.pass_by(INTERVAL - 1)
    assert not upstreams.taken()
    await clock.pass_by(2)
    assert upstreams.taken() == {REGISTRY_PING: 3, TOKEN_HEAD: 2}
    assert upstreams.made == opened
    warming.close()


async def test_what_is_closed_is_opened_again(clock: Clock) -> None:
    upstreams = Upstreams()
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    upstreams.close_idle()
    await clock.pass_by(INTERVAL + 1)
    assert upstreams.idle == {"registry-1.docker.io": 3, "auth.docker.io": 2}
    warming.close()


async def test_a_host_that_closes_sooner_is_asked_sooner(clock: Clock) -> None:
    upstreams = Upstreams()
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    for _ in range(8):
        upstreams.close_idle()
        await clock.pass_by(INTERVAL)
    upstreams.taken()
    await clock.pass_by(2 * SHORTEST_INTERVAL)
    assert upstreams.taken()[TOKEN_HEAD] >= 2
    warming.close()


@pytest.mark.parametrize("used_after", [0, 600])
async def test_nothing_goes_out_long_after_the_last_request(clock: Clock, used_after: int) -> None:
    upstreams = Upstreams()
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    await clock.pass_by(used_after)
    warming.used()
    await settle()
    await clock.pass_by(880)
    upstreams.taken()
    await clock.pass_by(10)
    await clock.pass_by(100)
    upstreams.taken()
    await clock.pass_by(100_000)
    assert not upstreams.taken()
    warming.close()


async def test_the_next_client_opens_them_again(clock: Clock) -> None:
    upstreams = Upstreams()
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    await clock.pass_by(2000)
    upstreams.close_idle()
    upstreams.taken()
    warming.used()
    await settle()
    assert upstreams.taken() == {REGISTRY_PING: 3, TOKEN_HEAD: 2}
    warming.close()


async def test_a_cdn_that_becomes_known_is_warmed_at_once(clock: Clock) -> None:
    upstreams = Upstreams()
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    upstreams.taken()
    upstreams.destinations.note(HUB.url, f"{CDN}/a")
    await settle()
    assert upstreams.taken() == {CDN_HEAD: 4}
    upstreams.destinations.note(HUB.url, f"{CDN}/b")
    await settle()
    assert not upstreams.taken()
    warming.close()


async def test_the_cdn_is_known_after_a_restart(clock: Clock, tmp_path: Path) -> None:
    limits = WarmLimits(900, 1, 1, 4, state_dir=tmp_path / "state")
    before = Upstreams()
    warming = warming_of(before, clock, limits)
    warming.start()
    before.destinations.note(HUB.url, f"{CDN}/a?Signature=s")
    warming.close()
    after = Upstreams()
    warming = warming_of(after, clock, limits)
    warming.start()
    await settle()
    assert after.taken()[CDN_HEAD] == 4
    warming.close()


async def test_a_state_directory_that_cannot_be_written_is_said_and_no_more(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    upstreams = Upstreams()
    warming = warming_of(
        upstreams, clock, WarmLimits(900, 1, 1, 1, state_dir=tmp_path / "file" / "deeper")
    )
    warming.start()
    upstreams.destinations.note(HUB.url, f"{CDN}/a")
    assert "docxy_state_dir: the CDN's name cannot be kept" in caplog.text
    await settle()
    assert upstreams.taken()[CDN_HEAD] == 1
    warming.close()


async def test_a_short_line_needs_one(clock: Clock) -> None:
    upstreams = Upstreams(far=False)
    upstreams.destinations.note(HUB.url, CDN)
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    assert upstreams.taken() == {REGISTRY_PING: 1, TOKEN_HEAD: 1, CDN_HEAD: 1}
    await clock.pass_by(INTERVAL + 1)
    assert upstreams.taken() == {REGISTRY_PING: 1, TOKEN_HEAD: 1, CDN_HEAD: 1}
    warming.close()


async def test_connections_that_carry_something_count(clock: Clock) -> None:
    upstreams = Upstreams()
    upstreams.destinations.note(HUB.url, CDN)
    upstreams.carrying["cdn.example"] = 3
    upstreams.carrying["auth.docker.io"] = 5
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    assert upstreams.taken() == {REGISTRY_PING: 3, CDN_HEAD: 1}
    warming.close()


async def test_an_upstream_that_is_down_ends_nothing(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    upstreams = Upstreams(is_down=True)
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    upstreams.is_down = False
    await clock.pass_by(INTERVAL + 1)
    assert upstreams.idle == {"registry-1.docker.io": 3, "auth.docker.io": 2}
    assert not caplog.records
    warming.close()


async def test_zero_seconds_are_never(clock: Clock) -> None:
    upstreams = Upstreams()
    warming = warming_of(upstreams, clock, WarmLimits(0, 1, 1, 1))
    warming.start()
    warming.used()
    await settle()
    assert not upstreams.asked


async def test_after_the_end_a_request_opens_none(clock: Clock) -> None:
    upstreams = Upstreams()
    warming = warming_of(upstreams, clock)
    warming.close()
    warming.used()
    await settle()
    assert not upstreams.asked


async def test_a_plain_origin_from_a_file_is_for_a_plain_registry_alone(clock: Clock) -> None:
    upstreams = Upstreams()
    upstreams.destinations.note(HUB.url, "http://cdn.example/")
    warming = warming_of(upstreams, clock)
    warming.start()
    await settle()
    assert set(upstreams.taken()) == {REGISTRY_PING, TOKEN_HEAD}
    warming.close()


async def test_a_registry_that_is_its_own_token_service_is_asked_once(clock: Clock) -> None:
    upstreams = Upstreams()
    registry = parse_registry("https://r.example", "https://r.example/token", "s")
    warming = warming_of(upstreams, clock, registry=registry)
    warming.start()
    await settle()
    assert upstreams.taken() == {"GET https://r.example/v2/": 3}
    warming.close()


def test_intervals_shorten_only_where_all_were_closed() -> None:
    each = Round(INTERVAL)
    each.over(0.0, all_were_closed=True)  # there was none before
    assert each.due == INTERVAL
    each.over(0.0, all_were_closed=False)
    assert each.due == INTERVAL
    each.over(0.0, all_were_closed=True)
    assert each.due == INTERVAL / 2
    for _ in range(9):
        each.over(0.0, all_were_closed=True)
    assert each.due == SHORTEST_INTERVAL


def test_an_interval_that_is_short_already_stays() -> None:
    each = Round(3.0)
    for _ in range(3):
        each.over(0.0, all_were_closed=True)
    assert each.due == 3.0


DEFAULTS: dict[str, Any] = {option.name: option.default for option in WARMING}
DEFAULTS["docxy_idle_time"] = 60


def test_options() -> None:
    assert parse_warming(DEFAULTS) == WarmLimits()
    assert parse_warming({**DEFAULTS, "docxy_warm_spares": 3}).spares == 3
    # In time for a pool that keeps them for less.
    assert parse_warming({**DEFAULTS, "docxy_idle_time": 20}).interval == 15.0


@pytest.mark.parametrize("name", [n for n in DEFAULTS if n.startswith("docxy_warm")])
def test_an_option_that_is_too_low(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: -1 is less than 0"):
        parse_warming({**DEFAULTS, name: -1})


def test_a_state_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^docxy_state_dir: .* is not a folder"):
        parse_warming({**DEFAULTS, "docxy_state_dir": str(tmp_path / "file")})
