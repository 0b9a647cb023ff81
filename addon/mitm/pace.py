"""How much is handed to a client at once: little to a slow one, more to one that keeps up.

What is handed on is held until the client has taken it, and costs some work for each time. So a
body begins with small parts, which grow as long as the client takes them quickly.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SMALLEST = 64 * 1024
LARGEST = 128 * 1024
# Seconds for which a part may be on its way to a client that keeps up.
QUICK = 0.1


class Pace:
    """The size of a body's next part, in bytes."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.size = SMALLEST
        self._now = now
        self._given: float | None = None

    def given(self) -> None:
        """A part was handed on."""
        self._given = self._now()

    def asked(self) -> None:
        """The next one is asked for: the one before has been taken."""
        if self._given is None:
            return
        was_quick = self._now() - self._given < QUICK
        self.size = min(self.size * 2, LARGEST) if was_quick else SMALLEST
