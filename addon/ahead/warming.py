"""Connections that are open before a request needs them.

A connection to an upstream costs three round trips before it carries a request. So a few are open
to registry, token service and CDN from the start and while the mirror is in use. Each is opened,
and kept from being closed for idleness, by a request that costs an upstream next to nothing,
counts as no pull and carries no credentials. aiohttp takes the connection that has been idle for
longest, and n requests at once take n connections: asked n times at once, the n oldest are fresh.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from addon.ahead.spares import Spares
from addon.flows.story import UNTOLD, meant_as, tell
from addon.memory.learning import LearntRegistry
from addon.outbound.hosts import NEAR_SECONDS
from addon.outbound.outbound import Outbound
from addon.protocol.errors import MirrorError
from addon.protocol.headers import to_registry
from addon.protocol.registry import authority, same_origin
from addon.settings.option import Option, check_numbers

logger = logging.getLogger(__name__)

# Idle connections are used after so much of the time for which the pool, and many hosts, keep them.
INTERVAL_SHARE = 0.75
# Seconds; a host that closes them sooner than this is asked for nothing.
SHORTEST_INTERVAL = 8.0
# What a first answer takes of a near host: TCP, TLS, the request, and the work of all three.
SETUP_ROUND_TRIPS = 8

WARMING = (
    Option(
        "docxy_warm_time",
        int,
        900,
        "Seconds after the start, and after each request, for which connections to upstreams are"
        " kept open (0: none is opened before it is needed).",
        least=0,
    ),
    Option(
        "docxy_warm_registry",
        int,
        10,
        "Connections to the registry that are kept open.",
        least=0,
    ),
    Option(
        "docxy_warm_token_service",
        int,
        2,
        "Connections to the token service that are kept open.",
        least=0,
    ),
    Option(
        "docxy_warm_cdn",
        int,
        28,
        "Connections that are kept open to each host that the registry's redirects lead to.",
        least=0,
    ),
    Option(
        "docxy_warm_spares",
        int,
        56,
        "Connections to one host that are held in reserve at most, where others break off.",
        least=0,
    ),
    Option(
        "docxy_state_dir",
        str,
        "",
        "Folder for what outlives the mirror: the name of the registry's CDN. Empty: none is"
        " kept, and the CDN is known from the first pull on.",
    ),
)


@dataclass(frozen=True, slots=True)
class WarmLimits:
    """How long after a request, and how many connections to each kind of host. Times in seconds.

    Idle ones are used every `interval`; where a host has closed them all by then, sooner.
    """

    seconds: float = 900.0
    registry: int = 10
    token_service: int = 2
    cdn: int = 28
    spares: int = 56
    interval: float = 45.0
    state_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A host to which connections are kept open, and the request that does it."""

    method: Literal["GET", "HEAD"]
    url: str
    count: int
    redirected: bool

    @property
    def host(self) -> str:
        """Host and port."""
        return authority(self.url)


class Warming:
    """Keeps connections open to one registry and where it sends its readers."""

    def __init__(
        self,
        learnt: LearntRegistry,
        outbound: Outbound,
        limits: WarmLimits,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._learnt = learnt
        self._outbound = outbound
        self._limits = limits
        self._now = now
        self._last = now()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._is_closed = False
        self._spares = Spares(outbound, limits.spares)

    def start(self) -> None:
        """Open connections now, before the first client comes."""
        if self._limits.seconds > 0:
            self._outbound.on_loss = self._spares.lost
        destinations = self._outbound.destinations
        destinations.on_new = self._learnt_of_one
        if self._limits.state_dir:
            destinations.load(self._limits.state_dir)
        self.used()

    def used(self) -> None:
        """A client asks for something."""
        self._last = self._now()
        if self._is_closed or self._limits.seconds <= 0:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(_say_why)

    def close(self) -> None:
        """Open no more; those that are open end with the pool."""
        self._is_closed = True
        self._spares.close()
        if self._task:
            self._task.cancel()

    def _learnt_of_one(self) -> None:
        self._changed.set()
        if self._limits.state_dir:
            try:
                self._outbound.destinations.save(self._limits.state_dir)
            except OSError as e:
                logger.warning("docxy_state_dir: the CDN's name cannot be kept: %s", e)

    async def _run(self) -> None:
        tell(UNTOLD)
        rounds: dict[str, Round] = {}
        while self._now() - self._last < self._limits.seconds:
            self._changed.clear()
            async with asyncio.TaskGroup() as group:
                places = await self._places()
                # Of a place that is none any more nothing is due.
                rounds = {
                    each.url: rounds.get(each.url) or Round(self._limits.interval)
                    for each in places
                }
                for place in places:
                    if rounds[place.url].due <= self._now():
                        group.create_task(self._refresh(place, rounds[place.url]))
            await self._pause(min(each.due for each in rounds.values()) - self._now())

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 1.0)):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _places(self) -> list[Place]:
        try:
            await self._learnt.known()
        except MirrorError as e:
            logger.debug("%s", e)
        return list(self._found())

    def _found(self) -> Iterator[Place]:
        registry = self._learnt.now
        yield Place("GET", f"{registry.url}/v2/", self._limits.registry, redirected=False)
        service = registry.token_service
        if service and not same_origin(service, registry.url):
            count = self._limits.token_service
            yield Place("HEAD", service, count, redirected=registry.is_token_service_learnt)
        for origin in self._outbound.destinations.of(registry.url):
            # The rules for redirects hold for what was learnt from them, whoever wrote the file.
            if registry.is_http or origin.startswith("https://"):
                yield Place("HEAD", f"{origin}/", self._limits.cdn, redirected=True)

    async def _refresh(self, place: Place, last: Round) -> None:
        """Use the connections that have been idle for longest, and open what is missing."""
        # Those that carry something now are left alone, and count.
        host = self._outbound.hosts.of(place.host)
        opened = host.opened
        asked = await self._ask(place, place.count - host.busy)
        opened = host.opened - opened
        last.over(self._now(), all_were_closed=0 < asked <= opened)

    async def _ask(self, place: Place, count: int) -> int:
        """Ask so many times at once; once alone where that shows that the host is near.

        On a short line a connection is opened when it is needed, and one tells of its length.
        """
        host = self._outbound.hosts.of(place.host)
        if host.is_far is False:
            count = min(count, 1)
        if count < 1:
            return 0
        async with asyncio.TaskGroup() as group:
            first = group.create_task(self._touch(place))
            if host.is_far is None:
                await asyncio.wait({first}, timeout=SETUP_ROUND_TRIPS * NEAR_SECONDS)
                if first.done() and not host.is_far:
                    return 1
            # If that one is done already, its connection is idle and carries one of the others.
            for _ in range(count if first.done() else count - 1):
                group.create_task(self._touch(place))
        return count

    async def _touch(self, place: Place) -> None:
        try:
            with meant_as("warming"):
                await self._outbound.touch(
                    place.method, place.url, to_registry([]), redirected=place.redirected
                )
        except MirrorError as e:
            # Whoever needs that host will hear of it.
            logger.debug("%s", e)


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        logger.error("connections are not kept open any more", exc_info=task.exception())


class Round:
    """When a place is asked again."""

    def __init__(self, interval: float) -> None:
        self.due = 0.0
        self._interval = interval
        self._count = 0

    def over(self, now: float, *, all_were_closed: bool) -> None:
        """It was asked; `all_were_closed` since the time before, for which it was too late."""
        if all_were_closed and self._count:
            self._interval = max(self._interval / 2, min(self._interval, SHORTEST_INTERVAL))
        self._count += 1
        self.due = now + self._interval


def parse_warming(values: Mapping[str, Any]) -> WarmLimits:
    """What the options say.

    Raises:
        ValueError: one is too low, or the state directory is no folder.
    """
    check_numbers(WARMING, values)
    named = values["docxy_state_dir"]
    folder = Path(named).expanduser() if named else None
    if folder and folder.exists() and not folder.is_dir():
        raise ValueError(f"docxy_state_dir: {named!r} is not a folder")
    return WarmLimits(
        seconds=values["docxy_warm_time"],
        registry=values["docxy_warm_registry"],
        token_service=values["docxy_warm_token_service"],
        cdn=values["docxy_warm_cdn"],
        spares=values["docxy_warm_spares"],
        interval=INTERVAL_SHARE * values["docxy_idle_time"],
        state_dir=folder,
    )
