"""A blob in one stream: from a host that is near, or that has no parts to give."""

from __future__ import annotations

from addon.blob.budget import Budget
from addon.blob.stream import Stream
from addon.blob.transfer import CLOSED
from addon.blob.urgency import Asker
from addon.protocol.reply import BrokenTransfer


class OneStream:
    """A transfer in one stream, counted in the budget as every transfer is."""

    def __init__(self, stream: Stream, budget: Budget, asker: Asker) -> None:
        self._stream = stream
        self._asker = asker
        self._budget = budget
        self._is_open = True
        budget.enter()

    async def read(self) -> bytes:
        """The next bytes.

        Raises:
            BrokenTransfer: they could not be had in the end.
        """
        if not self._is_open:
            raise BrokenTransfer(CLOSED)
        return await self._stream.read()

    def claim(self) -> None:
        """A client waits for it now."""
        self._asker.claim_now()

    def close(self) -> None:
        """End it."""
        self._stream.close()
        if self._is_open:
            self._is_open = False
            self._budget.leave()
