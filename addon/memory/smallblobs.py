"""All small blobs in memory: fetched once for all who wait, and kept within a budget.

What is on its way and what somebody reads cannot be thrown out, so it counts in the budget too;
where that leaves no room, a blob is not taken, and comes as large ones do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from addon.blob.urgency import Asker
from addon.memory.sharing import BlobKey
from addon.memory.smallblob import LEAST_COST, SmallBlob
from addon.protocol.digests import is_known_digest
from addon.protocol.headers import Fields
from addon.protocol.reply import Body

logger = logging.getLogger(__name__)

OpenBody = Callable[[], Awaitable[tuple[Fields, Body]]]


class SmallBlobs:
    """All small blobs, in one budget of bytes for what is kept and what is on its way."""

    def __init__(self, budget: int, largest: int) -> None:
        self.budget = budget
        self._largest = largest
        # The one that was asked for last stands last.
        self._blobs: dict[BlobKey, SmallBlob] = {}
        # Dropped, but still read or on their way.
        self._leaving: list[SmallBlob] = []
        self._tasks: dict[SmallBlob, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._blobs)

    @property
    def held(self) -> int:
        """Bytes that are kept, on their way, or read."""
        self._leaving = [blob for blob in self._leaving if blob.is_in_use]
        return sum(blob.cost for blob in (*self._blobs.values(), *self._leaving))

    def takes(self, digest: str, size: int) -> bool:
        """Whether a blob is one of those that are kept, and there is room for it."""
        if not is_known_digest(digest) or not 0 < size <= self._largest:
            return False
        idle = sum(blob.cost for blob in self._blobs.values() if not blob.is_in_use)
        return self.held - idle + max(size, LEAST_COST) <= self.budget

    def get(self, key: BlobKey) -> SmallBlob | None:
        """A blob that is here or on its way."""
        blob = self._blobs.get(key)
        if blob is None or blob.error:
            return None
        self._blobs[key] = self._blobs.pop(key)
        return blob

    def begin(self, key: BlobKey, size: int, open_body: OpenBody, asker: Asker) -> SmallBlob:
        """Fetch a blob that `takes` says yes to, unless it is here or on its way.

        `asker` is whom `open_body` asks for: a client's from the first one on that reads it.
        """
        blob = self.get(key)
        if blob:
            return blob
        blob = SmallBlob(key.digest, size, asker)
        self._make_room(blob.cost)
        self._blobs[key] = blob
        task = asyncio.get_running_loop().create_task(blob.fill(open_body))
        self._tasks[blob] = task
        task.add_done_callback(lambda done: self._ended(key, blob, done))
        return blob

    def drop(self, audience: str, repository: str) -> None:
        """Forget all of a repository; who reads one now may read on."""
        for key in [key for key in self._blobs if key.is_of(audience, repository)]:
            self._leaving.append(blob := self._blobs.pop(key))
            blob.story.is_dropped = True

    def forget(self) -> None:
        """Keep nothing but what somebody reads, or waits for."""
        for key in [key for key, blob in self._blobs.items() if not blob.is_in_use]:
            del self._blobs[key]

    def close(self) -> None:
        """End all fetches."""
        for task in self._tasks.values():
            task.cancel()

    def _make_room(self, cost: int) -> None:
        excess = self.held + cost - self.budget
        for key, blob in list(self._blobs.items()):
            if excess <= 0:
                return
            if not blob.is_in_use:
                excess -= blob.cost
                blob.story.is_dropped = True
                del self._blobs[key]

    def _ended(self, key: BlobKey, blob: SmallBlob, done: asyncio.Task[None]) -> None:
        del self._tasks[blob]
        blob.end()  # a task that was cancelled before it began has told nobody
        if blob.error:
            blob.story.is_dropped = True
        if blob.error and self._blobs.get(key) is blob:
            del self._blobs[key]
        if not done.cancelled() and (error := done.exception()):
            logger.error("A small blob could not be fetched", exc_info=error)
