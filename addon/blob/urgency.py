"""Whom a transfer is for: what a client waits for goes before what is begun ahead."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum


class Urgency(IntEnum):
    """Who goes first."""

    # A client's only stream: it needs no place, or slow clients would keep others waiting.
    NOW = 0
    ASKED = 1
    AHEAD = 2


class Asker:
    """Whom a transfer is for: what was begun ahead is a client's once it is claimed."""

    def __init__(self, urgency: Urgency) -> None:
        self.urgency = urgency
        # Called once it needs no place any more.
        self._on_now: Callable[[], None] | None = None
        self._first: Asker | None = None
        # Those who ask for what this one waits for.
        self._hurried: set[Asker] = set()

    def claim(self) -> None:
        """A client waits for it from now on: its first bytes wait for no place."""
        self.urgency = min(self.urgency, Urgency.ASKED)
        if self._first:
            self._first.claim_now()
        for each in self._hurried:
            each.claim()

    def claim_now(self) -> None:
        """A client waits for it and needs no place: what it has, or waits for, is another's."""
        self.urgency = Urgency.NOW
        if self._on_now:
            self._on_now()
        for each in self._hurried:
            each.claim_now()

    def hurries(self, other: Asker) -> None:
        """It waits for what another asks for, which is as urgent from now on."""
        if self.urgency is Urgency.NOW:
            other.claim_now()
        elif self.urgency is Urgency.ASKED:
            other.claim()
        else:
            self._hurried.add(other)

    def then(self, on_now: Callable[[], None]) -> None:
        """What is to be done once it needs no place any more; nothing else is from now on."""
        self._on_now = on_now

    @property
    def first(self) -> Asker:
        """Whom its first bytes are for: a client that waits is not kept waiting for a place."""
        if self.urgency is Urgency.NOW:
            return self
        if self.urgency is Urgency.ASKED:
            return Asker(Urgency.NOW)
        self._first = self._first or Asker(Urgency.AHEAD)
        return self._first
