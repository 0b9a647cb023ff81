"""Connections in place of those that break: where many do, others are open before they are needed.

On some lines each connection is cut after a while, and a new one costs three round trips before it
carries a request. So as many are held in reserve as broke in the time that one takes to open.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from cachetools import LRUCache

from addon.flows.story import meant_as
from addon.outbound.hosts import MAX_HOSTS
from addon.outbound.outbound import Outbound
from addon.protocol.errors import MirrorError
from addon.protocol.headers import to_registry
from addon.protocol.registry import authority

logger = logging.getLogger(__name__)

# What opening a connection takes: TCP, TLS, and the request that leaves it idle.
SETUP_ROUND_TRIPS = 5


class Spares:
    """The reserve of each host, at most so many connections."""

    def __init__(
        self, outbound: Outbound, most: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._outbound = outbound
        self._most = most
        self._is_closed = False
        self._now = now
        self._losses: LRUCache[str, deque[float]] = LRUCache(MAX_HOSTS)
        self._opening: LRUCache[str, set[asyncio.Task[None]]] = LRUCache(MAX_HOSTS)

    def lost(self, origin: str, redirected: bool) -> None:
        """A connection broke off in the middle of a body."""
        name = authority(origin)
        host = self._outbound.hosts.of(name)
        if self._is_closed or not host.is_far:
            return
        opening = self._opening.setdefault(name, set())
        wanted = self._lately(name, SETUP_ROUND_TRIPS * host.round_trip)
        loop = asyncio.get_running_loop()
        for _ in range(wanted - host.idle - len(opening)):
            task = loop.create_task(self._open(origin, redirected))
            opening.add(task)
            task.add_done_callback(opening.discard)

    def close(self) -> None:
        """Open no more."""
        self._is_closed = True
        for opening in self._opening.values():
            for task in opening:
                task.cancel()

    def _lately(self, name: str, seconds: float) -> int:
        """How many broke within so many seconds, this one included, as far as they may count."""
        losses = self._losses.setdefault(name, deque(maxlen=max(1, self._most)))
        now = self._now()
        losses.append(now)
        return min(self._most, sum(now - at <= seconds for at in losses))

    async def _open(self, origin: str, redirected: bool) -> None:
        try:
            with meant_as("spare"):
                await self._outbound.touch(
                    "HEAD", f"{origin}/", to_registry([]), redirected=redirected, anew=True
                )
        except MirrorError as e:
            # Whoever needs that host will hear of it.
            logger.debug("%s", e)
