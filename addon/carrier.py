"""A connection to an upstream: what it has carried, and what it can carry yet."""

from __future__ import annotations

import asyncio
from weakref import ref

from addon.hosts import Host
from addon.ranges import LARGEST_PIECE
from addon.readahead import ReadAhead, grow, keep_small


class Carrier:
    """One connection, for body after body."""

    def __init__(self, transport: asyncio.Transport, host: Host) -> None:
        keep_small(transport)
        self._transport = ref(transport)
        self._host = host
        self._carried = 0
        self._read_ahead = ReadAhead()

    def asked(self) -> None:
        """More is asked for."""
        self._read_ahead.asked()

    def carried(self, length: int) -> None:
        """More has come."""
        self._carried += length
        transport = self._transport()
        if self._read_ahead.given(length) and transport:
            grow(transport)

    def broke(self) -> None:
        """It broke off."""
        self._host.broke(self._carried)

    def retire(self) -> bool:
        """Whether it has been closed, since it would break off in the middle of what comes next."""
        capacity, transport = self._host.capacity, self._transport()
        if capacity is None or self._carried + LARGEST_PIECE <= capacity or not transport:
            return False
        transport.abort()
        return True
