"""How far TLS reads ahead of whoever reads an upstream's body.

asyncio's TLS takes up to 256 KiB at a time from the kernel, and what it took is held in three
places until it is read: half a MiB and more for each slow client. A quarter of that costs half as
much CPU again, for each part of a body has its price. So a connection begins with little, and the
first ones whose bodies are read quickly get more.

`max_size` is an internal of asyncio (`sslproto.SSLProtocol`, Python 3.11 to 3.14): the class's is
the size of the buffer that is made with a connection, the instance's the one that it grows to.
tests/outbound/test_readahead.py fails when that changes.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import sslproto
from collections.abc import Callable
from weakref import WeakSet

SMALL = 64 * 1024
LARGE = 512 * 1024
# Bytes that were read quickly, after which a connection's buffer grows; the kernel takes some MiB
# off the hands of a client that is slow.
GROW_AFTER = 8 * 1024 * 1024
# Seconds between two reads of one who keeps up.
QUICK = 0.1
# Connections with large buffers at a time.
MOST = 32

_grown: WeakSet[asyncio.ReadTransport] = WeakSet()


def start_small() -> None:
    """Connections that are made from now on begin with a small buffer."""
    sslproto.SSLProtocol.max_size = SMALL


def keep_small(transport: asyncio.ReadTransport) -> None:
    """Let a connection hold no more than it reads at a time."""
    if transport not in _grown:
        _limit(transport, SMALL)


def grow(transport: asyncio.ReadTransport) -> None:
    """Let a connection read more at a time, if it is TLS and not too many do."""
    protocol = getattr(transport, "_ssl_protocol", None)
    if isinstance(protocol, sslproto.SSLProtocol) and len(_grown) < MOST:
        protocol.max_size = LARGE  # type: ignore[misc]
        _limit(transport, LARGE)
        _grown.add(transport)


def _limit(transport: asyncio.ReadTransport, size: int) -> None:
    # asyncio's TLS transports have it, its plain ones do not.
    set_limits = getattr(transport, "set_read_buffer_limits", None)
    if set_limits:
        set_limits(high=size)


class ReadAhead:
    """What one body's reader has shown of its speed."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._given: float | None = None
        self._quickly = 0

    def asked(self) -> None:
        """The next bytes are asked for."""
        if self._given is not None and self._now() - self._given > QUICK:
            self._quickly = 0

    def given(self, length: int) -> bool:
        """Bytes were read; whether it is time to read more at a time, which is said once."""
        before, self._quickly = self._quickly, self._quickly + length
        self._given = self._now()
        return before < GROW_AFTER <= self._quickly
