"""Looking ahead: what a client will ask for next is begun before it asks.

A manifest names its config and layers in the order in which clients ask for them. Their redirects
are resolved side by side, small ones are fetched, and of the large ones the next few are begun, in
a window that moves on as they are claimed. What nobody claims within seconds is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from cachetools import LRUCache

from addon.descriptors import Descriptor
from addon.sharing import Reader

logger = logging.getLogger(__name__)

# Manifests without a claim after which a client is a watcher of tags, and how many are remembered.
PATIENCE = 3
MAX_CLIENTS = 4096
# Bytes of a blob that comes with one request, whatever the line.
TINY = 256 * 1024


class Begun(Protocol):
    """Something begun ahead."""

    def close(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class AheadLimits:
    """The window for one image: transfers, bytes in all, seconds until one is closed; images."""

    transfers: int
    bytes: int
    unclaimed_seconds: float
    images: int


class Watchers:
    """Clients that ask for manifests and never for what they name."""

    def __init__(self) -> None:
        self._unclaimed: LRUCache[str, int] = LRUCache(MAX_CLIENTS)

    def asked(self, client: str) -> bool:
        """Note a manifest; whether anything should be begun for this client."""
        count = self._unclaimed.get(client, 0)
        self._unclaimed[client] = count + 1
        return count < PATIENCE

    def claimed(self, client: str) -> None:
        """Note a blob: this client pulls."""
        self._unclaimed.pop(client, None)


Key = tuple[str, str, str]
# Reader, repository, blob, and how many of the image's blobs run side by side.
Begin = Callable[[Reader, str, Descriptor, int], Awaitable[Begun | None]]


class Ahead:
    """What is begun ahead for all images that are being pulled."""

    def __init__(
        self,
        begin: Begin,
        limits: AheadLimits,
    ) -> None:
        """`begin` starts one blob; None: there is nothing to hold (it is kept elsewhere)."""
        self._begin = begin
        self._limits = limits
        self._images: dict[tuple[str, str], Image] = {}
        self.watchers = Watchers()

    def __len__(self) -> int:
        return len(self._images)

    def look(self, reader: Reader, repository: str, blobs: tuple[Descriptor, ...]) -> None:
        """A client has been given a manifest, or is about to be."""
        key = (reader.audience, repository)
        before = self._images.get(key)
        if before and before.blobs == blobs and before.has_more:
            return
        if not blobs or (before is None and len(self._images) >= self._limits.images):
            return
        if before:
            before.close()
        image = Image(key, reader, blobs, self._begin, self._limits, self._forget)
        self._images[key] = image

    async def claim(self, key: Key) -> Begun | None:
        """What was begun of a blob, if anything: it is the asker's from now on."""
        image = self._images.get(key[:2])
        return await image.claim(key[2]) if image else None

    def drop(self, audience: str, repository: str) -> None:
        """End all of a repository."""
        image = self._images.pop((audience, repository), None)
        if image:
            image.close()

    def close(self) -> None:
        """End everything."""
        for image in list(self._images.values()):
            image.close()
        self._images.clear()

    def _forget(self, image: Image) -> None:
        if self._images.get(image.key) is image:
            del self._images[image.key]


class Image:
    """What is begun of one image."""

    def __init__(
        self,
        key: tuple[str, str],
        reader: Reader,
        blobs: tuple[Descriptor, ...],
        begin: Begin,
        limits: AheadLimits,
        over: Callable[[Image], None],
    ) -> None:
        self.key = key
        self.blobs = blobs
        self.is_over = False
        self._reader = reader
        self._begin = begin
        self._limits = limits
        self._over = over
        self._waiting = deque(blobs)
        self._side_by_side = min(limits.transfers, sum(1 for blob in blobs if blob.size > TINY))
        self._begun: dict[str, asyncio.Task[Begun | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._move_on()

    @property
    def has_more(self) -> bool:
        """Whether anything is begun, or to be begun, that nobody has claimed."""
        return bool(self._begun or self._waiting)

    async def claim(self, digest: str) -> Begun | None:
        """Hand over what was begun of a blob, and begin the next in its place."""
        task = self._begun.pop(digest, None)
        self._waiting = deque(blob for blob in self._waiting if blob.digest != digest)
        self._move_on()
        if task is None:
            return None
        try:
            return await task
        except asyncio.CancelledError:
            task.add_done_callback(_close_result)
            raise
        except Exception as e:
            logger.info("What was begun ahead failed: %s", e)
            return None

    def close(self) -> None:
        """End what nobody has claimed."""
        self.is_over = True
        self._waiting.clear()
        if self._timer:
            self._timer.cancel()
        for task in self._begun.values():
            task.add_done_callback(_close_result)
            task.cancel()
        self._begun.clear()
        self._over(self)

    def _move_on(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._has_room and not self.is_over:
            blob = self._waiting.popleft()
            self._begun[blob.digest] = loop.create_task(self._start(blob))
        if self._timer:
            self._timer.cancel()
        if not self.has_more:
            self.close()
        elif not self.is_over:
            self._timer = loop.call_later(self._limits.unclaimed_seconds, self.close)

    @property
    def _has_room(self) -> bool:
        """Whether one more may be begun; one that is a single request counts for nothing."""
        large = sum(1 for blob in self.blobs if blob.size > TINY and blob.digest in self._begun)
        return large < self._limits.transfers

    async def _start(self, blob: Descriptor) -> Begun | None:
        return await self._begin(self._reader, self.key[1], blob, self._side_by_side)


def _close_result(task: asyncio.Task[Begun | None]) -> None:
    if task.cancelled() or task.exception():
        return
    begun = task.result()
    if begun:
        begun.close()
