"""A connection to an upstream, and how fast what it carries is taken."""

from __future__ import annotations

import asyncio
from weakref import ref

from addon.outbound.readahead import ReadAhead, grow, keep_small


class Carrier:
    """One connection, for body after body."""

    def __init__(self, transport: asyncio.Transport) -> None:
        keep_small(transport)
        self._transport = ref(transport)
        self._read_ahead = ReadAhead()

    def asked(self) -> None:
        """More is asked for."""
        self._read_ahead.asked()

    def carried(self, length: int) -> None:
        """More has come."""
        transport = self._transport()
        if self._read_ahead.given(length) and transport:
            grow(transport)
