"""A transfer: a blob's bytes on their way, within which bounds, and where they are asked for.

A long or lossy line limits each connection, not their sum: slow start gives a connection some ten
packets in its first round trip, and a loss halves what it carries. So a blob comes in pieces by
`Range`, several side by side (pieces), or in one stream where that is as good (onestream).
Wherever a stream or a piece breaks off, it goes on at the byte that it had reached (stream).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from addon.blob.patience import Patience
from addon.blob.urgency import Asker
from addon.protocol.ranges import Wanted
from addon.protocol.reply import Body

CLOSED = "the transfer was closed before its end"


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """The bounds of one transfer: bytes on their way, failures, and times in seconds.

    `tries` are failures in a row without a byte between them, `lag_seconds` what a piece may keep
    waiting for a byte at first, and `stall_seconds` in the end.
    """

    window: int = 32 * 1024 * 1024
    tries: int = 6
    longest_pause: float = 5.0
    lag_seconds: float = 3.0
    stall_seconds: float = 30.0

    def patience(self) -> Patience:
        """How long a piece is waited for."""
        return Patience(self.lag_seconds, self.stall_seconds)


@dataclass(frozen=True, slots=True)
class Begun:
    """A body that is open already, and the last byte that it holds."""

    body: Body
    last: int


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `first` to `last`; those that `begun` holds need not be asked for."""

    first: int
    last: int
    begun: Begun | None = None


class Transfer(Body, Protocol):
    """A body that may be begun before anybody waits for it."""

    def claim(self) -> None:
        """A client waits for it now."""


class Source(Protocol):
    """Where a blob's bytes are asked for."""

    @property
    def round_trip(self) -> float:
        """Seconds to there and back, as far as they are known."""

    async def open(self, wanted: Wanted, asker: Asker) -> Body:
        """The bytes from `wanted.first` on, to be read to `wanted.last` at most.

        Raises:
            MirrorError: they cannot be had, or are not of the same object.
        """


class NoParts(OSError):
    """The source has no parts to give: trying again is of no use."""
