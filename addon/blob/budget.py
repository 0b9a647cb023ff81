"""Bytes that the whole mirror may have on its way: asked for, and not yet given on."""

from __future__ import annotations

from addon.blob.urgency import Urgency

# What is begun ahead may take so much of the budget; the rest is for what clients wait for.
AHEAD_PART = 0.75
# Of what the others leave, a transfer may hold so much: one alone has most of the budget, and
# whoever comes next always finds some of it (Choudhury and Hahne, "Dynamic Queue Length Thresholds
# for Shared-Memory Packet Switches", 1998).
PART = 2 / 3


class Budget:
    """Bytes for all transfers together: asked for, and not yet given on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0
        self._held = 0

    def enter(self) -> None:
        """A transfer begins."""
        self._running += 1

    def leave(self) -> None:
        """A transfer has ended."""
        self._running -= 1

    @property
    def running(self) -> int:
        """Transfers that run now."""
        return self._running

    @property
    def held(self) -> int:
        """Bytes of all transfers."""
        return self._held

    def take(self, count: int) -> None:
        """A transfer asks for so many bytes."""
        self._held += count

    def give(self, count: int) -> None:
        """It has given so many on, or wants them no more."""
        self._held -= count

    def share(self, held: int, window: int, beyond: int, urgency: Urgency) -> int:
        """Bytes that a transfer may hold.

        Args:
            held: what it holds already.
            window: what it wants; it has its part of what the others leave.
            beyond: what it wants in place of what broke off; it has what is there.
            urgency: whom it is for.
        """
        limit = int(self._limit * (AHEAD_PART if urgency is Urgency.AHEAD else 1))
        left = max(0, limit - (self._held - held))
        return min(min(window, int(left * PART)) + beyond, left)
