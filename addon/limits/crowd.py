"""Who stays connected where there is no room for all.

A connection waits, for its first request or for the next one, or it runs: a request is being
answered, or bytes of an answer are still to be sent. Of those that wait, the one that has waited
longest makes room for a newcomer; one that runs never does. Requests run on all connections but a
few, so there is always one that waits, and whoever comes can at least ask for /health.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

# Of the connections, one in so many is kept free of running requests.
RESERVED = 16


class Line(Protocol):
    """A connection's way to its client."""

    @property
    def unsent(self) -> int:
        """Bytes of answers that the kernel has not taken yet; 0 once the connection is closed."""

    @property
    def taken(self) -> int:
        """Bytes that the client's side has acknowledged so far."""

    def close(self) -> None:
        """End it, once what is unsent has gone."""

    def abort(self) -> None:
        """End it now."""


@dataclass(frozen=True, slots=True)
class CrowdLimits:
    """Connections in all and of one address, and how long one may take; 0 is no limit.

    `head_seconds` are for a first request, handshake included, `idle_seconds` for the next one,
    and `stall_seconds` those in which a client takes no byte of what is sent to it.
    """

    connections: int = 0
    of_address: int = 0
    head_seconds: float = 0.0
    idle_seconds: float = 0.0
    stall_seconds: float = 0.0


class Ending(StrEnum):
    """Why a connection is ended."""

    ROOM = "it had waited longest, and another one needed its place"
    HEAD = "no whole request came in time"
    IDLE = "nothing was asked on it any more"
    STALLED = "the client took no byte of what was sent"


class Crowded(Exception):
    """There is no room, and nobody who could make it."""


@dataclass(slots=True, eq=False)
class Guest:
    """One client's connection; times are monotonic.

    `address` is what its connections are counted under, None for one that is not counted so.
    """

    key: str
    address: Hashable | None
    line: Line
    since: float  # when it began to wait
    moved: float  # when the client last took a byte, or had nothing to take
    seen: tuple[int, int] = (0, 0)  # what it had taken, and what was unsent
    has_asked: bool = False
    has_left: bool = False
    running: set[str] = field(default_factory=set)


class Crowd:
    """All connections of clients, in the order in which they have begun to wait."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.limits = CrowdLimits()
        self._now = now
        self._guests: dict[str, Guest] = {}
        self._waiting: OrderedDict[str, Guest] = OrderedDict()
        self._of_address: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def running(self) -> int:
        """Connections on which a request is being answered."""
        return len(self._guests) - len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no more requests may run, so that a newcomer still finds room."""
        most = self.limits.connections
        return most > 0 and self.running >= max(1, most - max(1, most // RESERVED))

    def count_of(self, address: Hashable) -> int:
        """Connections of an address."""
        return self._of_address[address]

    def enter(self, key: str, address: Hashable | None, line: Line) -> Guest | None:
        """Let a connection in; what is returned has to be ended, for it made room.

        Raises:
            Crowded: all others run.
        """
        gone = self._make_room(address)
        now = self._now()
        guest = Guest(key, address, line, since=now, moved=now)
        self._guests[key] = self._waiting[key] = guest
        if address is not None:
            self._of_address[address] += 1
        return gone

    def begins(self, key: str, request: str) -> None:
        """A whole request has come."""
        guest = self._guests.get(key)
        if guest:
            guest.running.add(request)
            self._waiting.pop(key, None)

    def ends(self, key: str, request: str) -> None:
        """It was answered, or its answer broke off."""
        guest = self._guests.get(key)
        if guest is None:
            return
        guest.running.discard(request)
        guest.has_asked = True
        if not guest.running:
            self._waits_anew(guest)

    def leaves(self, key: str) -> None:
        """A connection is over; what is unsent keeps its place until the client has taken it."""
        guest = self._guests.get(key)
        if guest is None:
            return
        if guest.line.unsent:
            guest.has_left = True
            self._waiting.pop(key, None)
        else:
            self._remove(guest)

    def overdue(self) -> list[tuple[Guest, Ending]]:
        """Those whose time is over; they have to be ended, and are forgotten already."""
        now = self._now()
        found = [(guest, self._ending(guest, now)) for guest in list(self._guests.values())]
        ended = [(guest, ending) for guest, ending in found if ending]
        for guest, _ in ended:
            self._remove(guest)
        return ended

    def _make_room(self, address: Hashable | None) -> Guest | None:
        most, of_address = self.limits.connections, self.limits.of_address
        if address is not None and of_address and self._of_address[address] >= of_address:
            return self._out(guest for guest in self._waiting.values() if guest.address == address)
        if most and len(self._guests) >= most:
            return self._out(iter(self._waiting.values()))
        return None

    def _out(self, waiting: Iterator[Guest]) -> Guest:
        guest = next((guest for guest in waiting if not guest.line.unsent), None)
        if guest is None:
            raise Crowded
        self._remove(guest)
        return guest

    def _ending(self, guest: Guest, now: float) -> Ending | None:
        limits = self.limits
        if guest.line.unsent:
            seen = guest.line.taken, guest.line.unsent
            if seen != guest.seen:
                guest.seen, guest.moved = seen, now
            if limits.stall_seconds and now - guest.moved >= limits.stall_seconds:
                return Ending.STALLED
            if guest.key in self._waiting:
                self._waits_anew(guest)  # its last answer is still on its way
            return None
        guest.moved = now
        if guest.has_left:
            self._remove(guest)
            return None
        if guest.running:
            return None
        patience = limits.idle_seconds if guest.has_asked else limits.head_seconds
        if patience and now - guest.since >= patience:
            return Ending.IDLE if guest.has_asked else Ending.HEAD
        return None

    def _waits_anew(self, guest: Guest) -> None:
        guest.since = self._now()
        self._waiting[guest.key] = guest
        self._waiting.move_to_end(guest.key)

    def _remove(self, guest: Guest) -> None:
        self._guests.pop(guest.key, None)
        self._waiting.pop(guest.key, None)
        if guest.address is not None:
            self._of_address[guest.address] -= 1
            if not self._of_address[guest.address]:
                del self._of_address[guest.address]
