"""When a transfer that breaks off goes on, and when it is given up."""

from __future__ import annotations

import asyncio

from addon.blob.transfer import TransferLimits
from addon.protocol.reply import BrokenTransfer

# Seconds before the second try to go on.
FIRST_PAUSE = 0.1


class Failures:
    """Failures in a row, and the growing pause after each."""

    def __init__(self, limits: TransferLimits) -> None:
        self._limits = limits
        self._count = 0

    def forget(self) -> None:
        """A byte came: it goes on."""
        self._count = 0

    async def note(self, error: Exception) -> None:
        """Wait before the next try.

        Raises:
            BrokenTransfer: there were too many.
        """
        self._count += 1
        if self._count > self._limits.tries:
            raise BrokenTransfer(f"given up after {self._limits.tries} tries: {error}") from error
        if self._count > 1:
            pause = FIRST_PAUSE * 2 ** min(self._count - 2, 30)
            await asyncio.sleep(min(pause, self._limits.longest_pause))
