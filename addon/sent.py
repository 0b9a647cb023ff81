"""One request that the mirror has sent: what for, because of whom, and how long each part took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from addon.fields import first_of
from addon.headers import Fields
from addon.hosts import Host
from addon.story import Story
from addon.views.escaping import printable

# What is sent only to open a connection, or to keep it open.
KEEPING_OPEN = frozenset({"spare", "warming"})
# Characters of a range that are shown: a client may ask for anything.
MAX_PART = 48


@dataclass(slots=True, eq=False)
class Sent:
    """A request on its way. Times on the monotonic clock, 0 as long as they have not come."""

    host: Host
    method: str
    url: str
    fields: Fields
    meant: str
    story: Story
    asked: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=time.time)  # `asked` in seconds since 1970
    cause: str = field(init=False)
    opened: bool = False
    gone: float = 0.0
    head: float = 0.0
    end: float = 0.0
    status: int = 0
    answer: Fields = ()
    bytes: int = 0
    error: str = ""  # what an upstream did wrong
    cut: str = ""  # why the mirror ended it early

    def __post_init__(self) -> None:
        # Now: what is begun ahead may be claimed later.
        self.cause = self.story.cause

    @property
    def purpose(self) -> str:
        """What it was sent for; whether an address is a blob's its answer tells."""
        if self.meant == "blob" and 300 <= self.status < 400:
            return "redirect"
        if self.meant == "redirect" and self.status in (200, 206):
            return "blob"
        if self.meant == "blob" and self.part:
            return "blob part"
        return self.meant

    @property
    def has_failed(self) -> bool:
        """Whether an upstream did not give what it was asked for.

        A challenge is had by being refused, and of a connection that is kept open no answer counts.
        """
        is_expected = self.status in (401, 416) or self.meant in KEEPING_OPEN
        return bool(self.error) or (self.status >= 400 and not is_expected)

    @property
    def part(self) -> str:
        """The range that it asks for, empty for the whole."""
        return printable((first_of(self.fields, "range") or "").removeprefix("bytes="), MAX_PART)

    def since_1970(self, at: float) -> float | None:
        """A time of this request's on the wall clock."""
        return self.began + at - self.asked if at else None

    def seconds(self, at: float) -> float | None:
        """A time of this request's, counted from its beginning."""
        return round(at - self.asked, 6) if at else None


class Watch(Protocol):
    """Whoever wants to see what is sent."""

    def asked(self, sent: Sent) -> None:
        """It is about to be sent."""

    def answered(self, sent: Sent) -> None:
        """Its answer's head is here."""

    def ended(self, sent: Sent) -> None:
        """Its body has been read, broke off, or is not wanted any more; or there is no answer."""
