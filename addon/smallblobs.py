"""Small blobs in memory: fetched once for all who wait, verified, and kept within a budget.

A blob is given on while it arrives, but for its last bytes: these are held back until the whole is
known to be the content of its digest, so that nobody takes a wrong one for whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable

from cachetools import LRUCache

from addon.errors import MirrorError
from addon.headers import Fields
from addon.reply import SLICE, Body, BrokenTransfer

logger = logging.getLogger(__name__)

_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
# Bytes that wait for the check; every blob has some.
HELD_BACK = 1


class SmallBlob:
    """One blob that is in memory or on its way there."""

    def __init__(self, digest: str, size: int) -> None:
        self.digest = digest
        self.size = size
        self.fields: Fields = ()
        self.is_whole = False
        self.error: MirrorError | OSError | None = None
        self._content = bytearray()
        self._changed = asyncio.Condition()

    async def fill(self, open_body: Callable[[], Awaitable[tuple[Fields, Body]]]) -> None:
        """Fetch it; whatever happens, those who wait learn of it."""
        try:
            self.fields, body = await open_body()
            try:
                await self._read(body)
            finally:
                body.close()
            self._verify()
        except (MirrorError, OSError) as e:
            self.error = e
        finally:
            if not self.is_whole and self.error is None:
                self.error = BrokenTransfer("the fetch was ended")
            async with self._changed:
                self._changed.notify_all()

    async def _read(self, body: Body) -> None:
        while chunk := await body.read():
            self._content += chunk
            if len(self._content) > self.size:
                raise BrokenTransfer(f"{self.digest} is longer than its manifest says")
            async with self._changed:
                self._changed.notify_all()

    def _verify(self) -> None:
        algorithm, _, expected = self.digest.partition(":")
        found = _HASHES[algorithm](self._content).hexdigest()
        if len(self._content) != self.size or found != expected:
            raise BrokenTransfer(f"what came is not {self.digest}")
        self.is_whole = True

    async def head(self) -> None:
        """Wait until it is known whether there is such a blob.

        Raises:
            MirrorError: there is none to be had.
            OSError: it broke off before its first byte.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._content or self.is_whole or self.error)
        if self.error and not self._content:
            raise self.error

    async def slice(self, first: int, last: int) -> bytes:
        """Bytes from `first` on, not beyond `last`; at least one, waited for."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ready > first or self.error)
        if self.error:
            raise BrokenTransfer(str(self.error))
        return bytes(self._content[first : min(first + SLICE, self._ready, last + 1)])

    @property
    def _ready(self) -> int:
        return self.size if self.is_whole else max(0, len(self._content) - HELD_BACK)


class SmallBlobBody:
    """A client's way through a small blob."""

    def __init__(self, blob: SmallBlob, first: int, last: int) -> None:
        self._blob = blob
        self._at = first
        self._last = last

    async def read(self) -> bytes:
        """The next slice."""
        if self._at > self._last:
            return b""
        data = await self._blob.slice(self._at, self._last)
        self._at += len(data)
        return data

    def close(self) -> None:
        """Others may still wait for the blob, and it is small: it is fetched to its end."""


class SmallBlobs:
    """All small blobs, in one budget of bytes for what is kept and what is on its way."""

    def __init__(self, budget: int, largest: int) -> None:
        self._largest = largest
        self._blobs: LRUCache[tuple[str, str, str], SmallBlob] = LRUCache(
            max(1, budget), getsizeof=lambda blob: blob.size
        )
        self._tasks: dict[tuple[str, str, str], asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._blobs)

    def takes(self, digest: str, size: int) -> bool:
        """Whether a blob is one of those that are kept."""
        is_known = digest.partition(":")[0] in _HASHES
        return is_known and 0 < size <= min(self._largest, self._blobs.maxsize)

    def get(self, key: tuple[str, str, str]) -> SmallBlob | None:
        """A blob that is here or on its way."""
        blob = self._blobs.get(key)
        return blob if blob and blob.error is None else None

    def begin(
        self,
        key: tuple[str, str, str],
        size: int,
        open_body: Callable[[], Awaitable[tuple[Fields, Body]]],
    ) -> SmallBlob:
        """Fetch a blob, unless it is here or on its way."""
        blob = self.get(key)
        if blob:
            return blob
        blob = SmallBlob(key[2], size)
        self._blobs[key] = blob
        task = asyncio.get_running_loop().create_task(blob.fill(open_body))
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, blob, done))
        return blob

    def drop(self, audience: str, repository: str) -> None:
        """Forget all of a repository; who reads one now may read on."""
        for key in [key for key in self._blobs if key[:2] == (audience, repository)]:
            del self._blobs[key]

    def close(self) -> None:
        """End all fetches."""
        for task in self._tasks.values():
            task.cancel()

    def _ended(self, key: tuple[str, str, str], blob: SmallBlob, done: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is done:
            del self._tasks[key]
        if blob.error and self._blobs.get(key) is blob:
            del self._blobs[key]
