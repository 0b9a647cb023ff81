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


# What is begun ahead may take so much of the budget; the rest is for what clients wait for.
AHEAD_PART = 0.75
# Of what the others leave, a transfer may hold so much: one alone has most of the budget, and
# whoever comes next always finds some of it (Choudhury and Hahne, "Dynamic Queue Length Thresholds
# for Shared-Memory Packet Switches", 1998).
PART = 2 / 3


class Budget:
    """Bytes for all transfers together: asked for, and not yet given on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0
        self._held = 0

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

    @property
    def held(self) -> int:
        """Bytes of all transfers."""
        return self._held

    def take(self, count: int) -> None:
        """A transfer asks for so many bytes."""
        self._held += count

    def give(self, count: int) -> None:
        """It has given so many on, or wants them no more."""
        self._held -= count

    def share(self, held: int, window: int, beyond: int, urgency: Urgency) -> int:
        """Bytes that a transfer may hold.

        Args:
            held: what it holds already.
            window: what it wants; it has its part of what the others leave.
            beyond: what it wants in place of what broke off; it has what is there.
            urgency: whom it is for.
        """
        limit = int(self._limit * (AHEAD_PART if urgency is Urgency.AHEAD else 1))
        left = max(0, limit - (self._held - held))
        return min(min(window, int(left * PART)) + beyond, left)


class Asker:
    """Whom a transfer is for: what was begun ahead is a client's once it is claimed."""

    def __init__(self, urgency: Urgency) -> None:
        self.urgency = urgency
        # Called once it needs no place any more.
        self._on_now: Callable[[], None] | None = None
        self._first: Asker | None = None
        # Those who ask for what this one waits for.
        self._hurried: set[Asker] = set()

    def claim(self) -> None:
        """A client waits for it from now on: its first bytes wait for no place."""
        self.urgency = min(self.urgency, Urgency.ASKED)
        if self._first:
            self._first.claim_now()
        for each in self._hurried:
            each.claim()

    def claim_now(self) -> None:
        """A client waits for it and needs no place: what it has, or waits for, is another's."""
        self.urgency = Urgency.NOW
        if self._on_now:
            self._on_now()
        for each in self._hurried:
            each.claim_now()

    def hurries(self, other: Asker) -> None:
        """It waits for what another asks for, which is as urgent from now on."""
        if self.urgency is Urgency.NOW:
            other.claim_now()
        elif self.urgency is Urgency.ASKED:
            other.claim()
        else:
            self._hurried.add(other)

    def then(self, on_now: Callable[[], None]) -> None:
        """What is to be done once it needs no place any more; nothing else is from now on."""
        self._on_now = on_now

    @property
    def first(self) -> Asker:
        """Whom its first bytes are for: a client that waits is not kept waiting for a place."""
        if self.urgency is Urgency.NOW:
            return self
        if self.urgency is Urgency.ASKED:
            return Asker(Urgency.NOW)
        self._first = self._first or Asker(Urgency.AHEAD)
        return self._first


class Place:
    """A place among a host's connections; it may be given back more than once."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes: Lanes | None = lanes

    def leave(self) -> None:
        """Let the next one in."""
        if self._lanes:
            self._lanes.leave()
            self._lanes = None


class Lanes:
    """Connections to one host at a time; who waits longest goes first within an urgency.

    A client's only stream goes on at once, whether it has come so or is claimed while it waits.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        # In the order in which they came; the result says whether a place goes with it.
        self._waiting: list[tuple[Asker, asyncio.Future[bool]]] = []

    async def enter(self, asker: Asker) -> Place | None:
        """Wait for a place; None: it needs none."""
        if asker.urgency is Urgency.NOW:
            return None
        if self._free > 0:
            self._free -= 1
            return self._place(asker)
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waits = (asker, turn)
        self._waiting.append(waits)
        asker.then(lambda: self._pass(waits))
        try:
            has_place = await turn
        except asyncio.CancelledError:
            if waits in self._waiting:
                self._waiting.remove(waits)
            elif turn.done() and not turn.cancelled() and turn.result():
                self.leave()  # the place was given just now
            raise
        return self._place(asker) if has_place else None

    def _place(self, asker: Asker) -> Place | None:
        if asker.urgency is Urgency.NOW:  # claimed just as the place was given
            self.leave()
            return None
        place = Place(self)
        asker.then(place.leave)
        return place

    def _pass(self, waits: tuple[Asker, asyncio.Future[bool]]) -> None:
        """It has become a client's only stream while it waited."""
        if waits in self._waiting:
            self._waiting.remove(waits)
            if not waits[1].done():
                waits[1].set_result(False)

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
        place[1].set_result(True)
