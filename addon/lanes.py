"""Connections that blobs may use to one host at a time, and whose turn it is."""

from __future__ import annotations

import asyncio

from addon.urgency import Asker, Urgency


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
