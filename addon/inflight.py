"""What the whole mirror may have on its way: bytes not yet given on, and connections to a host.

What a client waits for goes before what is begun ahead.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from enum import IntEnum


class Urgency(IntEnum):
    """Who goes first."""

    # A client's only stream: it needs no place, or slow clients would keep others waiting.
    NOW = 0
    ASKED = 1
    AHEAD = 2


class Budget:
    """Bytes for all transfers together, shared out evenly among those that run."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0

    def enter(self) -> None:
        """A transfer begins."""
        self._running += 1

    def leave(self) -> None:
        """A transfer has ended."""
        self._running -= 1

    @property
    def running(self) -> int:
        """Transfers that run now."""
        return self._running

    def share(self, wanted: int, least: int) -> int:
        """Bytes that one transfer may hold: what it wants, or its part, never less than `least`."""
        return max(least, min(wanted, self._limit // max(1, self._running)))


class Lanes:
    """Connections to one host at a time; who waits longest goes first within an urgency."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        self._counter = itertools.count()

    async def enter(self, urgency: Urgency) -> None:
        """Take one connection's place; `leave` gives it back. What is `NOW` takes none."""
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._counter), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place was given just now
            raise

    def leave(self) -> None:
        """Give a place back, or to who waits."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
