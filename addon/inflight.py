"""What the whole mirror may have on its way: bytes not yet given on, and connections to a host.

What a client waits for goes before what is begun ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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


class Asker:
    """Whom a transfer is for: what was begun ahead is a client's once it is claimed."""

    def __init__(self, urgency: Urgency) -> None:
        self.urgency = urgency
        # Called once it needs no place any more.
        self.on_now: Callable[[], None] | None = None

    def claim_now(self) -> None:
        """A client has come for its only stream: its place is another's from now on."""
        self.urgency = Urgency.NOW
        if self.on_now:
            self.on_now()

    @property
    def first(self) -> Asker:
        """Whom its first bytes are for: a client that waits is not kept waiting for a place."""
        return Asker(Urgency.NOW) if self.urgency is Urgency.ASKED else self


class Lanes:
    """Connections to one host at a time; who waits longest goes first within an urgency."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        # In the order in which they came.
        self._waiting: list[tuple[Asker, asyncio.Future[None]]] = []

    async def enter(self, asker: Asker) -> None:
        """Take one connection's place; `leave` gives it back."""
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        place = (asker, turn)
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not turn.cancelled():
                self.leave()  # the place was given just now
            raise

    def leave(self) -> None:
        """Give a place back, or to who waits."""
        waiting = [place for place in self._waiting if not place[1].done()]
        if not waiting:
            self._waiting.clear()
            self._free += 1
            return
        # How urgent it is may have changed since it came.
        place = min(waiting, key=lambda each: each[0].urgency)
        self._waiting.remove(place)
        place[1].set_result(None)
