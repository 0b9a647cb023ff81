"""How many pulls an upstream still gives, as it last said itself: nothing is asked to learn it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from addon.outbound.networks import parse_address
from addon.views.escaping import printable

# Accounts and addresses that the numbers are kept of: each login has its own.
MAX_SOURCES = 16
# Characters of a number or a source that are shown; Hub's sources are addresses and UUIDs.
MAX_SHOWN = 64

NOT_HEARD = "The pull limit was not heard yet: no manifest was asked for, or there is none."


@dataclass(frozen=True, slots=True)
class PullLimit:
    """What one answer said, on the monotonic clock; numbers as the upstream writes them."""

    remaining: str
    limit: str
    source: str
    heard: float

    @property
    def left(self) -> int | None:
        """How many pulls are left, None where that is no number."""
        return _count(self.remaining)

    @property
    def allowed(self) -> int | None:
        """Of how many."""
        return _count(self.limit)

    @property
    def is_of_an_address(self) -> bool:
        """Whether an address is counted and not an account, whose source is no address."""
        try:
            return not self.source or bool(parse_address(self.source))
        except ValueError:
            return False


class PullLimits:
    """The last that was heard for each account or address that is counted."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._heard: LRUCache[str, PullLimit] = LRUCache(MAX_SOURCES)

    def hear(self, field: Callable[[str], str | None]) -> None:
        """An upstream has answered; `field` gives its fields."""
        remaining = field("ratelimit-remaining")
        if not remaining:
            return
        source = (field("docker-ratelimit-source") or "")[:MAX_SHOWN]
        limit = (field("ratelimit-limit") or "")[:MAX_SHOWN]
        self._heard[source] = PullLimit(remaining[:MAX_SHOWN], limit, source, self._now())

    @property
    def heard(self) -> list[PullLimit]:
        """What was heard last of each, the newest first."""
        return sorted(self._heard.values(), key=lambda each: -each.heard)

    def lines(self) -> list[str]:
        """One line for each, the newest first."""
        return [limit_line(each, self._now()) for each in self.heard] or [NOT_HEARD]


def limit_line(said: PullLimit, now: float) -> str:
    """A limit as a person reads it: `81 of 100 pulls left in 6 h, for 192.0.2.1, heard 5 s ago`."""
    left, _, _ = said.remaining.partition(";")
    limit, _, rest = said.limit.partition(";")
    of = f" of {limit.strip()}" if limit.strip() else ""
    window = _window(rest or said.remaining.partition(";")[2])
    source = f", for {said.source}" if said.source else ""
    age = duration(max(0.0, now - said.heard))
    return printable(f"{left.strip()}{of} pulls left{window}{source}, heard {age} ago")


def _count(said: str) -> int | None:
    number = said.partition(";")[0].strip()
    return int(number) if number.isascii() and number.isdigit() else None


def _window(parameters: str) -> str:
    for each in parameters.split(";"):
        name, _, value = each.strip().partition("=")
        if name == "w" and value.isascii() and value.isdigit():
            return f" in {duration(int(value))}"
    return ""


def duration(seconds: float) -> str:
    """A time in the largest unit that leaves nothing that matters: 45 s, 5 min, 6 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
