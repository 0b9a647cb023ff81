"""Looking ahead: what a client will ask for next is begun before it asks.

A manifest names its config and layers in the order in which clients ask for them. Their redirects
are resolved side by side, small ones are fetched, and of the large ones the next few are begun, in
a window that moves on as they are claimed, and narrows as the line fills. What nobody claims
within seconds is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from addon.ahead.watchers import Watchers
from addon.blob.urgency import Asker, Urgency
from addon.flows.story import current, tell_ahead
from addon.memory.sharing import BlobKey, Reader
from addon.protocol.descriptors import Descriptor
from addon.protocol.errors import MirrorError

logger = logging.getLogger(__name__)

# Bytes of a blob that comes with one request, whatever the line.
TINY = 256 * 1024
# Seconds in a queue after which the line is full for what can wait (RFC 6817, section 2.5: TARGET).
FULL_SECONDS = 0.1


class Begun(Protocol):
    """Something begun ahead."""

    def close(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class AheadLimits:
    """The window for one image, how many images are looked ahead for, and for whom.

    A client that has asked for `unclaimed_images` manifests and no blob is one of those `clients`
    that are remembered as watchers of tags.
    """

    transfers: int
    bytes: int
    unclaimed_seconds: float
    images: int
    unclaimed_images: int = 3
    clients: int = 4096


# Audience, repository, and what the manifest names.
ImageKey = tuple[str, str, tuple[Descriptor, ...]]
Task = asyncio.Task[Begun | None]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is begun of a blob, and whom for."""

    task: Task
    asker: Asker


class Starter(Protocol):
    """Whoever can begin a blob."""

    async def begin(
        self, reader: Reader, repository: str, blob: Descriptor, side_by_side: int, asker: Asker
    ) -> Begun | None:
        """Begin one beside others of its image; None: it needs no holding (it is kept).

        Once `asker` is claimed, a client waits for it.
        """

    async def resolve(self, reader: Reader, repository: str, blob: Descriptor) -> None:
        """Learn where one is, so that it can be begun in one round trip less."""

    def cost(self, blob: Descriptor) -> int:
        """Bytes that are fetched of one before anybody asks for it."""

    def room(self, most: int) -> int:
        """How many of so many transfers the line has room for now."""


def narrowed(most: int, delay: float, round_trip: float) -> int:
    """How many of so many transfers a line has room for, one at least.

    Args:
        most: transfers on an empty line.
        delay: seconds that requests wait in the line's queue.
        round_trip: seconds without a queue.
    """
    return max(1, round(most * (1 - delay / max(FULL_SECONDS, round_trip))))


class Ahead:
    """What is begun ahead for all images that are being pulled."""

    def __init__(self, starter: Starter, limits: AheadLimits) -> None:
        self._starter = starter
        self._limits = limits
        self._images: dict[ImageKey, Image] = {}
        self.watchers = Watchers(limits.unclaimed_images, limits.clients)

    def __len__(self) -> int:
        return len(self._images)

    def look(
        self, client: str, reader: Reader, repository: str, blobs: tuple[Descriptor, ...]
    ) -> None:
        """A client has been given a manifest, or is about to be."""
        key = (reader.audience, repository, blobs)
        if not blobs or key in self._images or len(self._images) >= self._limits.images:
            return
        if self.watchers.asked(client):
            self._images[key] = Image(key, reader, self._starter, self._limits, self._forget)
            self._images[key].move_on()

    async def claim(self, key: BlobKey) -> Begun | None:
        """What was begun of a blob, if anything: it is the asker's from now on."""
        found = [
            begun
            for image in self._of(key.audience, key.repository)
            if (begun := image.claim(key.digest))
        ]
        if not found:
            return None
        begun, *more = found
        for needless in more:
            _end(needless.task)
        # Now, or it would wait its turn among what nobody has asked for.
        begun.asker.claim()
        task = begun.task
        try:
            return await task
        except asyncio.CancelledError:
            _end(task)
            raise
        except Exception as e:
            logger.info("What was begun ahead failed: %s", e)
            return None

    def drop(self, audience: str, repository: str) -> None:
        """End all of a repository."""
        for image in self._of(audience, repository):
            image.close()

    def _of(self, audience: str, repository: str) -> list[Image]:
        of = (audience, repository)
        return [image for key, image in self._images.items() if key[:2] == of]

    def close(self) -> None:
        """End everything."""
        for image in list(self._images.values()):
            image.close()

    def _forget(self, image: Image) -> None:
        if self._images.get(image.key) is image:
            del self._images[image.key]


class Image:
    """What is begun of one image."""

    def __init__(
        self,
        key: ImageKey,
        reader: Reader,
        starter: Starter,
        limits: AheadLimits,
        over: Callable[[Image], None],
    ) -> None:
        """`over` is called once nothing more is to be claimed."""
        self.key = key
        self._reader = reader
        self._starter = starter
        self._limits = limits
        self._over = over
        self._waiting = deque(key[2])
        self._side_by_side = min(limits.transfers, sum(1 for blob in key[2] if blob.size > TINY))
        self._begun: dict[Descriptor, Beginning] = {}
        self._resolving: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def claim(self, digest: str) -> Beginning | None:
        """Hand over what was begun of a blob, and begin the next in its place."""
        begun = next((self._begun.pop(b) for b in list(self._begun) if b.digest == digest), None)
        waiting = deque(blob for blob in self._waiting if blob.digest != digest)
        if begun or len(waiting) < len(self._waiting):
            self._waiting = waiting
            self.move_on()
        return begun

    def close(self) -> None:
        """End what nobody has claimed."""
        self._waiting.clear()
        if self._timer:
            self._timer.cancel()
        for resolving in self._resolving:
            resolving.cancel()
        for begun in self._begun.values():
            _end(begun.task)
        self._begun.clear()
        self._over(self)

    def move_on(self) -> None:
        """Begin what there is room for, and wait for its claim."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._has_room(self._waiting[0]):
            blob = self._waiting.popleft()
            if self._starter.cost(blob) <= self._limits.bytes:
                asker = Asker(Urgency.AHEAD)
                task = loop.create_task(self._start(blob, asker))
                self._begun[blob] = Beginning(task, asker)
        if self._waiting and not self._resolving:
            workers = min(self._limits.transfers, len(self._waiting))
            blobs = iter(tuple(self._waiting))
            self._resolving = [loop.create_task(self._resolve(blobs)) for _ in range(workers)]
        if self._timer:
            self._timer.cancel()
        if self._begun or self._waiting:
            self._timer = loop.call_later(self._limits.unclaimed_seconds, self.close)
        else:
            self.close()

    def _has_room(self, blob: Descriptor) -> bool:
        """Whether one more may be begun; one that is a single request is no transfer."""
        large = sum(1 for begun in self._begun if begun.size > TINY)
        if blob.size > TINY and large and large >= self._starter.room(self._limits.transfers):
            return False
        spent = sum(self._starter.cost(begun) for begun in self._begun)
        return not spent or spent + self._starter.cost(blob) <= self._limits.bytes

    async def _start(self, blob: Descriptor, asker: Asker) -> Begun | None:
        tell_ahead()
        beside = self._side_by_side
        try:
            return await self._starter.begin(self._reader, self.key[1], blob, beside, asker)
        except BaseException:
            current().is_dropped = True
            raise

    async def _resolve(self, blobs: Iterator[Descriptor]) -> None:
        """Resolve one after the other what is not begun yet, beside others that do the same."""
        tell_ahead()
        for blob in blobs:
            if blob not in self._waiting:
                continue
            try:
                await self._starter.resolve(self._reader, self.key[1], blob)
            except (MirrorError, OSError) as e:
                logger.info("What was looked for ahead was not found: %s", e)


def _end(task: Task) -> None:
    """End what nobody wants, whether it is begun yet or not."""
    task.add_done_callback(_close_result)
    task.cancel()


def _close_result(task: Task) -> None:
    if task.cancelled() or task.exception():
        return
    begun = task.result()
    if begun:
        begun.close()
