"""How often an address may come: a token bucket for each, in bounded memory.

A bucket holds `burst` tokens and is filled with `rate` of them a second; who finds it empty must
wait. What is forgotten, because so many others have come since, is full again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cachetools import LRUCache


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second, and how many may be taken at once; a rate of 0 is no limit."""

    rate: float = 0.0
    burst: int = 1


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """The buckets of all addresses; the one that came longest ago is forgotten first."""

    def __init__(self, rate: Rate, entries: int, now: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._now = now
        self._buckets: LRUCache[Hashable, _Bucket] = LRUCache(entries)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: Hashable) -> float:
        """Take one token: 0 where there was one, else the seconds until there is."""
        if not self.rate.rate:
            return 0.0
        now = self._now()
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = _Bucket(float(self.rate.burst), now)
        filled = bucket.tokens + (now - bucket.at) * self.rate.rate
        bucket.tokens, bucket.at = min(filled, float(self.rate.burst)), now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self.rate.rate
        bucket.tokens -= 1
        return 0.0
