"""One stream from a byte to a byte, which goes on where it broke off."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from addon.blob.failures import Failures
from addon.blob.silence import Silence
from addon.blob.transfer import CLOSED, Begun, NoParts, Part, Source, TransferLimits
from addon.blob.urgency import Asker
from addon.flows.story import current
from addon.protocol.errors import MirrorError
from addon.protocol.ranges import Wanted
from addon.protocol.reply import BrokenTransfer

logger = logging.getLogger(__name__)

# What is left of a stream is shared with a connection that has become free, if it would take so
# many round trips, and if so many bytes are left to each.
WORTH_SHARING = 4
LEAST_SHARED = 64 * 1024


class Stream:
    """One stream from a byte to a byte, which goes on where it broke off."""

    def __init__(
        self,
        source: Source,
        part: Part,
        asker: Asker,
        limits: TransferLimits,
        broke: Callable[[], None] = lambda: None,
        silence: Silence | None = None,
    ) -> None:
        """Read `part` of `source`; `broke` is told each time that it breaks off.

        `silence` is what it shares with the other streams of its transfer, if there are any.
        """
        self.at = part.first
        self.is_broken = False
        self._broke = broke
        self._asker = asker
        self._last = part.last
        self._source = source
        self._begun = part.begun
        self._opened_at = (part.first, monotonic())
        self._failures = Failures(limits, silence)
        self._is_closed = False

    async def read(self) -> bytes:
        """The next bytes, `b""` after the last.

        Raises:
            BrokenTransfer: they could not be had in the end.
        """
        while self.at <= self._last:
            if self._is_closed:
                raise BrokenTransfer(CLOSED)
            try:
                chunk = await self._read()
            except NoParts:
                raise
            except (OSError, MirrorError) as e:
                if self._is_closed:
                    raise BrokenTransfer(CLOSED) from e
                self._drop()
                logger.info("A blob goes on at byte %d: %s", self.at, e)
                self.is_broken = True
                current().resumed += 1
                self._broke()
                await self._failures.note(e)
                continue
            self._failures.forget()
            self.is_broken = False
            self._advance(len(chunk))
            return chunk
        return b""

    async def _read(self) -> bytes:
        if self._begun is None:
            body = await self._source.open(Wanted(self.at, self._last), self._asker)
            if self._is_closed:
                body.close()
                raise BrokenTransfer(CLOSED)
            self._begun = Begun(body, self._last)
            self._opened_at = (self.at, monotonic())
        chunk = await self._begun.body.read()
        if self._begun is None:
            raise BrokenTransfer(CLOSED)
        if not chunk:
            raise BrokenTransfer("the body ended too early")
        return chunk[: self._begun.last + 1 - self.at]

    def _advance(self, length: int) -> None:
        self.at += length
        if self._begun and self.at > self._begun.last:
            self._drop()

    @property
    def seconds_left(self) -> float:
        """What the rest takes, as fast as it comes; 0 where nothing comes."""
        first, opened = self._opened_at
        if self._begun is None or self.at == first:
            return 0.0
        return (self._last + 1 - self.at) * (monotonic() - opened) / (self.at - first)

    def share(self, round_trip: float) -> Part | None:
        """The part that somebody else is to fetch, so that both have done at the same time."""
        left, seconds = self._last + 1 - self.at, self.seconds_left
        if self._begun is None or left < 2 * LEAST_SHARED or seconds < WORTH_SHARING * round_trip:
            return None
        # While the other one asks, this one goes on.
        ahead = int(left * round_trip / seconds)
        kept = min((left + ahead) // 2, left - LEAST_SHARED)
        shared = Part(self.at + kept, self._last)
        self._last = shared.first - 1
        self._begun = Begun(self._begun.body, min(self._begun.last, self._last))
        return shared

    def interrupt(self) -> None:
        """Break the connection off; whoever reads goes on over another one."""
        if self._begun:
            self._begun.body.close()

    def close(self) -> None:
        """End it: nothing is asked for any more."""
        self._is_closed = True
        self._failures.close()
        self._drop()

    def _drop(self) -> None:
        """End the connection, or give it back where it is read to its end."""
        if self._begun:
            self._begun.body.close()
            self._begun = None
