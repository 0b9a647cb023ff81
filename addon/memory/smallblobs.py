"""Small blobs in memory: fetched once for all who wait, verified, and kept within a budget.

A blob is given on while it arrives, but for its last bytes: these are held back until the whole is
known to be the content of its digest, so that nobody takes a wrong one for whole.

What is on its way and what somebody reads cannot be thrown out, so it counts in the budget too;
where that leaves no room, a blob is not taken, and comes as large ones do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from addon.blob.urgency import Asker
from addon.flows.story import current
from addon.memory.sharing import BlobKey
from addon.protocol.digests import is_digest_of, is_known_digest
from addon.protocol.errors import MirrorError
from addon.protocol.headers import Fields
from addon.protocol.reply import SLICE, Body, BrokenTransfer

logger = logging.getLogger(__name__)

# Bytes that wait for the check; every blob has some.
HELD_BACK = 1
# Bytes whose hash takes less time than a thread costs.
HASHED_AT_ONCE = 256 * 1024
# Bytes that a blob counts for at least, so that tiny ones are bounded in number.
LEAST_COST = 16 * 1024


class SmallBlob:
    """One blob that is in memory or on its way there."""

    def __init__(self, digest: str, size: int, asker: Asker) -> None:
        self.digest = digest
        self.asker = asker
        self.size = size
        self.story = current()
        self.fields: Fields = ()
        self.is_whole = False
        self.error: MirrorError | OSError | None = None
        self.readers = 0
        self._content = bytearray()
        self._changed = asyncio.Event()

    @property
    def cost(self) -> int:
        """Bytes of the budget."""
        return max(self.size, LEAST_COST)

    @property
    def is_in_use(self) -> bool:
        """Whether it is on its way, or read."""
        return self.readers > 0 or not (self.is_whole or self.error)

    async def fill(self, open_body: Callable[[], Awaitable[tuple[Fields, Body]]]) -> None:
        """Fetch it; whatever happens, those who wait learn of it."""
        try:
            self.fields, body = await open_body()
            try:
                await self._read(body)
            finally:
                body.close()
            await self._verify()
        except (MirrorError, OSError) as e:
            self.error = e
        finally:
            self.end()

    def end(self) -> None:
        """Nothing more comes."""
        if not self.is_whole and self.error is None:
            self.error = BrokenTransfer("the fetch was ended")
        if self.error:
            self._content.clear()
        self._tell()

    async def _read(self, body: Body) -> None:
        while chunk := await body.read():
            if len(self._content) + len(chunk) > self.size:
                raise BrokenTransfer(f"{self.digest} is longer than its manifest says")
            self._content += chunk
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _verify(self) -> None:
        is_right = await _is_digest_of(self.digest, self._content)
        if len(self._content) != self.size or not is_right:
            raise BrokenTransfer(f"what came is not {self.digest}")
        self.is_whole = True

    async def head(self) -> None:
        """Wait until it is known whether there is such a blob.

        Raises:
            MirrorError: there is none to be had.
            OSError: it broke off.
        """
        while not (self._content or self.is_whole or self.error):
            await self._changed.wait()
        if self.error:
            raise self.error

    async def slice(self, first: int, last: int) -> bytes:
        """Bytes from `first` on, not beyond `last`; at least one, waited for.

        Raises:
            BrokenTransfer: it broke off, or is not what its digest says.
        """
        while self._ready <= first and not self.error:
            await self._changed.wait()
        if self.error:
            raise BrokenTransfer(str(self.error))
        with memoryview(self._content) as content:
            return bytes(content[first : min(first + SLICE, self._ready, last + 1)])

    def has(self, first: int) -> bool:
        """Whether a byte may be given on."""
        return self.error is None and first < self._ready

    @property
    def _ready(self) -> int:
        return self.size if self.is_whole else max(0, len(self._content) - HELD_BACK)


async def _is_digest_of(digest: str, content: bytearray) -> bool:
    """The check, without keeping others waiting for the milliseconds of a large blob."""
    if len(content) <= HASHED_AT_ONCE:
        return is_digest_of(digest, content)
    return await asyncio.to_thread(is_digest_of, digest, content)


class SmallBlobBody:
    """A client's way through a small blob."""

    def __init__(self, blob: SmallBlob, first: int, last: int) -> None:
        self._blob = blob
        self._at = first
        self._last = last
        self._is_open = True
        # From now on: what somebody waits for must neither be thrown out nor wait its turn.
        blob.readers += 1
        blob.asker.claim()

    @property
    def is_ready(self) -> bool:
        """Whether the next slice is here."""
        return self._at <= self._last and self._blob.has(self._at)

    async def head(self) -> Fields:
        """The fields that came with it, once it is known whether there is such a blob.

        Raises:
            MirrorError: there is none to be had.
            OSError: it broke off.
        """
        await self._blob.head()
        return self._blob.fields

    async def read(self) -> bytes:
        """The next slice."""
        if self._at > self._last:
            return b""
        data = await self._blob.slice(self._at, self._last)
        self._at += len(data)
        return data

    def close(self) -> None:
        """Others may still wait for the blob, and it is small: it is fetched to its end."""
        if self._is_open:
            self._is_open = False
            self._blob.readers -= 1


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
