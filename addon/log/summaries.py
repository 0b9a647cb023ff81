"""A pull summed up: an image's manifests and blobs, as one client asked for them.

A pull begins with a manifest, and is over once nothing of its repository has run or been asked for
by that client for some seconds, or once what it began with is asked for again.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from addon.flows.account import Account
from addon.flows.story import Source, Story
from addon.protocol.names import is_digest
from addon.protocol.routes import Blob, Manifest

# Seconds for an engine to unpack before it asks on.
QUIET = 5.0
# Pulls that are summed up at a time; the oldest is over when there are more.
MOST = 1024

_MEMORY = (Source.MEMORY, Source.CHECKED, Source.STALE)


@dataclass(slots=True)
class Pull:
    """One pull; times are monotonic, `size` is in bytes of blobs."""

    client: str
    repository: str
    reference: str
    began: float
    ended: float
    blobs: int = 0
    size: int = 0
    failed: int = 0
    sources: Counter[Source] = field(default_factory=Counter)
    running: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """From the manifest to the last byte."""
        return self.ended - self.began

    @property
    def image(self) -> str:
        """Its name."""
        separator = "@" if is_digest(self.reference) else ":"
        return f"{self.repository}{separator}{self.reference}"

    @property
    def from_memory(self) -> int:
        """Blobs that were in memory."""
        return sum(self.sources[source] for source in _MEMORY)

    @property
    def from_ahead(self) -> int:
        """Blobs that had been begun before they were asked for."""
        return self.sources[Source.AHEAD]

    @property
    def from_network(self) -> int:
        """Blobs that an upstream was asked for when the client asked."""
        return self.sources[Source.NETWORK]

    @property
    def is_worth_a_line(self) -> bool:
        """Whether it was one: who only looks at a manifest pulls nothing."""
        return bool(self.blobs or self.failed)


class Summaries:
    """Pulls on their way; `over` is told of each that is over."""

    def __init__(
        self, over: Callable[[Pull], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._over = over
        self._now = now
        self._pulls: OrderedDict[tuple[str, str], Pull] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pulls)

    def begins(self, client: str, story: Story) -> None:
        """A request has come, and it is known for what."""
        match story.route:
            case Manifest(repository=repository, reference=reference):
                pull = self._pull(client, repository, reference)
            case Blob(repository=repository):
                found = self._pulls.get((client, repository))
                if found is None:
                    return
                pull = found
            case _:
                return
        pull.running.add(story.id)

    def hear(self, account: Account) -> None:
        """A request has ended."""
        route = account.story.route
        if not isinstance(route, Manifest | Blob):
            return
        pull = self._pulls.get((account.client, route.repository))
        if pull is None or account.story.id not in pull.running:
            return
        pull.running.discard(account.story.id)
        pull.ended = account.ended
        pull.repository = account.story.name or pull.repository
        if account.status == 401 and not account.broken:
            return  # an engine asks for a token now
        if account.broken or account.failure or account.status >= 400:
            pull.failed += 1
        elif isinstance(route, Blob) and account.method == "GET":
            pull.blobs += 1
            pull.size += account.size
            pull.sources[account.story.came_from] += 1

    def look(self) -> None:
        """Say which pulls are over by now."""
        now = self._now()
        for key, pull in list(self._pulls.items()):
            if not pull.running and now - pull.ended >= QUIET:
                self._end(key)

    def close(self) -> None:
        """All are over."""
        for key in list(self._pulls):
            self._end(key)

    def _pull(self, client: str, repository: str, reference: str) -> Pull:
        key = client, repository
        pull = self._pulls.get(key)
        if pull and reference == pull.reference and pull.is_worth_a_line and not pull.running:
            self._end(key)
            pull = None
        if pull is None:
            if len(self._pulls) >= MOST:
                self._end(next(iter(self._pulls)))
            now = self._now()
            pull = self._pulls[key] = Pull(client, repository, reference, began=now, ended=now)
        return pull

    def _end(self, key: tuple[str, str]) -> None:
        pull = self._pulls.pop(key)
        if pull.is_worth_a_line:
            self._over(pull)
