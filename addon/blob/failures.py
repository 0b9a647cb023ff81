"""When a transfer that breaks off goes on, and when it is given up."""

from __future__ import annotations

import asyncio

from addon.blob.silence import Silence
from addon.blob.transfer import TransferLimits
from addon.protocol.reply import BrokenTransfer

# Seconds before the second try to go on.
FIRST_PAUSE = 0.1


class Failures:
    """A stream's failures in a row, and the growing pause after each."""

    def __init__(self, limits: TransferLimits, silence: Silence | None = None) -> None:
        """`silence` is what it shares with the other streams of its transfer, if there are any."""
        self._limits = limits
        self._silence = silence or Silence(limits.stall_seconds)
        self._count = 0

    def forget(self) -> None:
        """A byte came: it goes on."""
        self._count = 0
        self._silence.ends()

    async def note(self, error: Exception) -> None:
        """Wait before the next try.

        Raises:
            BrokenTransfer: there were too many.
        """
        self._count += 1
        given_up = BrokenTransfer(f"given up after {self._limits.tries} tries: {error}")
        if self._count > self._limits.tries:
            self._silence.give_up()
            raise given_up from error
        # The first time at once: connections break, and it says nothing of the host.
        if self._count > 1:
            if not await self._silence.turn(self, self._silence.heard):
                raise given_up from error
            pause = FIRST_PAUSE * 2 ** min(self._count - 2, 30)
            await asyncio.sleep(min(pause, self._limits.longest_pause))

    def close(self) -> None:
        """No more is tried."""
        self._silence.leave(self)
