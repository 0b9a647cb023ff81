"""What became of one client's request, noted on the way and told in its flow.

The story that is being lived is found through the context: whatever is begun for a request
inherits it, pieces of a blob as well as what is looked ahead for. So a note is one line where a
thing happens, and nothing has to be passed through what lies between. What nobody asked for has the
story of nobody, in which notes are lost.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from addon.protocol.routes import Route
from addon.views.escaping import printable

# Stories whose requests one may have waited for; an own token, a manifest, a redirect, a blob.
MAX_JOINED = 8

# Characters of a number that an upstream says.
MAX_NUMBER = 64

# Recordings of several runs may stand in one file.
_RUN = secrets.token_hex(4)
_numbers = itertools.count(1)


class Source(StrEnum):
    """Where an answer came from."""

    MIRROR = "mirror"
    MEMORY = "memory"
    CHECKED = "memory, tag checked"
    STALE = "stale copy"
    AHEAD = "begun ahead"
    NETWORK = "network"


@dataclass(slots=True, eq=False)
class Story:
    """One client's request, or what was begun ahead because of one; times are monotonic."""

    id: str
    is_ahead: bool = False
    begun_by: str = ""  # of what was begun ahead: the story that it was begun in
    claimed_by: str = ""  # the same: the story of whoever came for it
    is_dropped: bool = (
        False  # the same: whether it is gone, so that nobody can come for it any more
    )
    route: Route | None = None
    name: str = ""  # the repository's upstream, or the query that the token service is asked
    source: Source | None = None
    age: float = 0.0  # seconds, of a stale copy
    requests: int = 0
    upstream: str = ""  # host and port of the one that was asked last
    waited: float = 0.0  # seconds in which no connection was free or open
    head: float = 0.0
    given_bytes: int = 0  # of the answer's body, given on to mitmproxy
    resumed: int = 0
    lagged: int = 0
    limit: str = ""
    remaining: str = ""
    joined: tuple[str, ...] = ()
    ahead: Story | None = None
    gives_image: bool = False  # whether the answer is an image's manifest, and no index
    failure: str = ""
    replayed: str = ""  # how, of a request of a recording that is asked again
    _waited_until: float = 0.0

    @property
    def cause(self) -> str:
        """The id of the client's story because of which something is done now."""
        return self.claimed_by or self.begun_by or self.id

    @property
    def came_from(self) -> Source:
        """Where the answer came from, as far as it was said, else as what was asked tells."""
        if self.source:
            return self.source
        if self.ahead:
            return Source.AHEAD
        return Source.NETWORK if self.requests or self.joined else Source.MEMORY

    def waits(self, asked: float, gone: float) -> None:
        """A request was asked for, and went out then; times that overlap count once."""
        if not self.head:
            self.waited += max(0.0, gone - max(asked, self._waited_until))
            self._waited_until = max(gone, self._waited_until)

    def limited(self, field: Callable[[str], str | None]) -> None:
        """An answer says how many pulls are left, of how many; `field` gives its fields."""
        remaining, limit = field("ratelimit-remaining"), field("ratelimit-limit")
        self.remaining = printable(remaining or "", MAX_NUMBER) or self.remaining
        self.limit = printable(limit or "", MAX_NUMBER) or self.limit

    def given(self, source: Source, age: float = 0.0) -> None:
        """It is said where its answer came from; a stale copy was right so many seconds ago."""
        self.source, self.age = source, age

    def joins(self, other: Story) -> None:
        """It waits for what is asked in another story."""
        is_new = other is not self and other.id and other.id not in self.joined
        if is_new and len(self.joined) < MAX_JOINED:
            self.joined = (*self.joined, other.id)

    def takes(self, other: Story, *, is_whole: bool) -> None:
        """It is given what another story has fetched, or is fetching."""
        if other.is_ahead and not other.claimed_by:
            other.claimed_by = self.id
            self.ahead = other
        elif not is_whole:
            self.joins(other)
        elif self.source is None:
            self.given(Source.MEMORY)


# Whoever has no story notes what becomes of it here, and nobody reads it.
UNTOLD = Story("")

_STORY: ContextVar[Story] = ContextVar("story", default=UNTOLD)
_PURPOSE: ContextVar[str] = ContextVar("purpose", default="request")


def new_story() -> Story:
    """The story of a client's request that has just come."""
    return Story(_next_id())


def current() -> Story:
    """The story that is being lived."""
    return _STORY.get()


def tell(story: Story) -> None:
    """From now on, and in whatever is begun from here, this one is lived."""
    _STORY.set(story)


def tell_ahead() -> None:
    """From now on what is done is begun ahead, because of the story that is lived."""
    cause = current()
    _STORY.set(Story(_next_id(), is_ahead=True, begun_by=cause.cause, route=cause.route))


@contextmanager
def meant_as(purpose: str) -> Iterator[None]:
    """What is sent within the block is sent for this."""
    before = _PURPOSE.get()
    _PURPOSE.set(purpose)
    try:
        yield
    finally:
        # Not by a token: a coroutine that nobody awaits any more ends in another context.
        _PURPOSE.set(before)


def purpose() -> str:
    """What a request is sent for."""
    return _PURPOSE.get()


def _next_id() -> str:
    return f"{_RUN}-{next(_numbers)}"
