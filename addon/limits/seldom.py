"""A line of the log that would come a thousand times, said seldom and with a number."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable


class Seldom:
    """How often each kind of thing has happened since it was said last; the kinds are few."""

    def __init__(self, seconds: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._said: dict[Hashable, float] = {}
        self._counts: dict[Hashable, int] = {}

    def count(self, kind: Hashable) -> int:
        """Note that it happened: 0 for silence, else how often it did since it was last said."""
        count = self._counts.get(kind, 0) + 1
        said = self._said.get(kind)
        if said is not None and self._now() - said < self._seconds:
            self._counts[kind] = count
            return 0
        self._counts[kind], self._said[kind] = 0, self._now()
        return count
