"""One request that the mirror has sent: what for, because of whom, and how long each part took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from addon.flows.story import Story
from addon.outbound.faults import Fault, fault_of_status
from addon.outbound.hosts import Host
from addon.protocol.fields import first_of
from addon.protocol.headers import Fields
from addon.views.escaping import printable

# What is sent only to open a connection, to keep it open, or to see whether there is one.
KEEPING_OPEN = frozenset({"spare", "warming", "readiness"})
# Characters of a range that are shown: a client may ask for anything.
MAX_PART = 48


@dataclass(slots=True, eq=False)
class Sent:
    """A request on its way. Times on the monotonic clock, 0 as long as they have not come."""

    host: Host
    name: str  # the host's, with its port where that is not the scheme's own
    method: str
    url: str
    fields: Fields
    meant: str
    story: Story
    asked: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=time.time)  # `asked` in seconds since 1970
    cause: str = field(init=False)
    is_ahead: bool = field(init=False)  # whether it is sent before anybody has asked
    opened: bool = False
    gone: float = 0.0
    head: float = 0.0
    end: float = 0.0
    status: int = 0
    answer: Fields = ()
    bytes: int = 0
    error: str = ""  # what an upstream did wrong
    broken: Fault | None = None  # the same, as it is counted
    cut: str = ""  # why the mirror ended it early

    def __post_init__(self) -> None:
        # Now: what is begun ahead may be claimed later.
        self.cause = self.story.cause
        self.is_ahead = self.story.is_ahead and not self.story.claimed_by

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

        A challenge is had by being refused, if not by the token service, and of a connection that
        is kept open no answer counts.
        """
        is_challenge = self.status == 401 and self.meant != "token"
        is_expected = is_challenge or self.status == 416 or self.meant in KEEPING_OPEN
        return bool(self.error) or (self.status >= 400 and not is_expected)

    @property
    def fault(self) -> Fault | None:
        """What an upstream did wrong, None for nothing, or for what was not found or allowed."""
        if self.error:
            return self.broken or Fault.OTHER
        return None if self.meant in KEEPING_OPEN else fault_of_status(self.status)

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


class Watches:
    """Several of them as one; which ones may change at any time."""

    def __init__(self, *watches: Watch) -> None:
        self.all: tuple[Watch, ...] = watches

    def asked(self, sent: Sent) -> None:
        """Tell each."""
        for watch in self.all:
            watch.asked(sent)

    def answered(self, sent: Sent) -> None:
        """Tell each."""
        for watch in self.all:
            watch.answered(sent)

    def ended(self, sent: Sent) -> None:
        """Tell each."""
        for watch in self.all:
            watch.ended(sent)
