"""A small blob in memory, or on its way there, and the clients who read it.

It is given on while it arrives, but for its last bytes: these are held back until the whole is
known to be the content of its digest, so that nobody takes a wrong one for whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from addon.blob.urgency import Asker
from addon.flows.story import current
from addon.memory.chunks import Chunks
from addon.protocol.digests import DigestCheck
from addon.protocol.errors import MirrorError
from addon.protocol.headers import Fields
from addon.protocol.reply import SLICE, Body, BrokenTransfer

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
        self._content = Chunks()
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
            self._content.append(chunk)
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
        return self._content.part(first, min(first + SLICE, self._ready, last + 1))

    def has(self, first: int) -> bool:
        """Whether a byte may be given on."""
        return self.error is None and first < self._ready

    @property
    def _ready(self) -> int:
        return self.size if self.is_whole else max(0, len(self._content) - HELD_BACK)


async def _is_digest_of(digest: str, content: Chunks) -> bool:
    """The check, without keeping others waiting for the milliseconds of a large blob."""
    if len(content) <= HASHED_AT_ONCE:
        return _check(digest, content)
    return await asyncio.to_thread(_check, digest, content)


def _check(digest: str, content: Chunks) -> bool:
    check = DigestCheck(digest)
    for chunk in content:
        check.take(chunk)
    return check.is_right


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
