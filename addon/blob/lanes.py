"""Connections that blobs may use to a host at a time, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from weakref import WeakValueDictionary

from addon.blob.urgency import Asker, Urgency
from addon.outbound.received import Answer
from addon.protocol.reply import Body


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


class HostLanes:
    """The lanes of each host, so many."""

    def __init__(self, each: int) -> None:
        self._each = each
        # A host's are kept as long as somebody holds or waits for one.
        self._lanes: WeakValueDictionary[str, Lanes] = WeakValueDictionary()

    def of(self, host: str) -> Lanes:
        """A host's."""
        lanes = self._lanes.get(host) or Lanes(self._each)
        self._lanes[host] = lanes
        return lanes

    async def answer(self, host: str, asker: Asker, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """A host's answer, whose body holds a place there until it ends."""
        # A slow client would hold a place for as long as it reads: its only stream has none.
        place = await self.of(host).enter(asker)
        if place is None:
            return await ask()
        try:
            answer = await ask()
        except BaseException:
            place.leave()
            raise
        return replace(answer, body=Laned(answer.body, place))


class Laned:
    """A body that holds a place at its host until it has ended, or needs none any more."""

    def __init__(self, body: Body, place: Place) -> None:
        self._body = body
        self._place = place

    async def read(self) -> bytes:
        """The next bytes."""
        return await self._body.read()

    def close(self) -> None:
        """End it, and let the next one in."""
        self._body.close()
        self._place.leave()
