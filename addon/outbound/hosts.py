"""What is known of each host: how long the line to it is, how full, and what leads there.

A head's time is a round trip and some work. The fastest tells how long the line is. What others
take on top of that, they have waited in a queue: on a line that is full each does (RFC 6817, which
keeps transfers that can wait out of the way of others by just this).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Protocol
from weakref import WeakSet

from cachetools import LRUCache

# Hosts that are remembered.
MAX_HOSTS = 256
# A host whose fastest head came sooner than this is near: a round trip and some work.
NEAR_SECONDS = 0.012
# How much of a new head's delay counts, and for how many round trips the last one says something
# where nothing comes any more.
SMOOTHING = 0.25
FRESH_ROUND_TRIPS = 2


class Carried(Protocol):
    """An answer that is coming over a connection, None once it has ended."""

    @property
    def connection(self) -> object | None:
        """What it comes over."""


class Host:
    """One host."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.opened = 0
        self._now = now
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._answers: WeakSet[Carried] = WeakSet()
        self._asking = 0
        self._fastest: float | None = None
        self._delay = 0.0
        self._heard = 0.0

    @property
    def is_far(self) -> bool | None:
        """Whether several connections to it carry more than one; None: not known yet."""
        return None if self._fastest is None else self._fastest > NEAR_SECONDS

    @property
    def round_trip(self) -> float:
        """Seconds, at most; 0 as long as none is known."""
        return self._fastest or 0.0

    @property
    def delay(self) -> float:
        """Seconds that heads have lately waited on top of the round trip."""
        is_fresh = self._now() - self._heard < FRESH_ROUND_TRIPS * self.round_trip
        return self._delay if is_fresh or self.busy else 0.0

    def connected_by(self, sock: socket.socket) -> None:
        """A connection is being opened."""
        self._sockets.add(sock)

    @property
    def connections(self) -> int:
        """Connections that are open, or being opened."""
        return sum(sock.fileno() != -1 for sock in self._sockets)

    @property
    def busy(self) -> int:
        """Connections over which an answer is coming."""
        return sum(answer.connection is not None for answer in self._answers)

    @property
    def idle(self) -> int:
        """Connections over which nothing comes, and nothing was asked."""
        return max(0, self.connections - self._asking - self.busy)

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """A request is on its way as long as the block."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def carries(self, answer: Carried) -> None:
        """An answer is coming."""
        self._answers.add(answer)

    def answered(self, seconds: float) -> None:
        """A head took so long."""
        before = self.delay
        self._fastest = min(seconds, self._fastest or seconds)
        self._delay = before + SMOOTHING * (seconds - self._fastest - before)
        self._heard = self._now()


class Hosts:
    """All hosts that were asked lately."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._hosts: LRUCache[str, Host] = LRUCache(MAX_HOSTS)
        self._now = now

    def of(self, name: str) -> Host:
        """A host by name and port."""
        found = self._hosts.get(name)
        if found is None:
            found = self._hosts[name] = Host(self._now)
        return found

    def known(self) -> list[tuple[str, Host]]:
        """Those that were asked lately, by name and port."""
        return sorted(self._hosts.items())
