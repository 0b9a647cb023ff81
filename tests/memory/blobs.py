"""An upstream that sends a small blob when it is told to, and the clients who read it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque

from addon.blob.urgency import Asker, Urgency
from addon.memory.sharing import BlobKey
from addon.memory.smallblob import LEAST_COST, SmallBlob, SmallBlobBody
from addon.memory.smallblobs import SmallBlobs
from addon.protocol.headers import Fields
from addon.protocol.reply import Body

CONTENT = b"0123456789" * 10
SIZE = len(CONTENT)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
FIELDS = [("ETag", '"x"')]
KIB = 1024
ROOM = LEAST_COST


class Line:
    """An upstream that sends when it is told to, and notes that it was closed."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self._chunks: deque[bytes | Exception] = deque()
        self._more = asyncio.Event()

    def send(self, *chunks: bytes | Exception) -> None:
        self._chunks.extend(chunks)
        self._more.set()

    async def open(self) -> tuple[Fields, Body]:
        self.opened += 1
        return FIELDS, self

    async def read(self) -> bytes:
        while not self._chunks:
            self._more.clear()
            await self._more.wait()
        chunk = self._chunks.popleft()
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed += 1


def key(digest: str = DIGEST, audience: str = "", repository: str = "a") -> BlobKey:
    return BlobKey(audience, repository, digest)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def read_all(body: Body) -> bytes:
    content = b""
    while chunk := await body.read():
        content += chunk
    body.close()
    return content


def whole(blob: SmallBlob) -> SmallBlobBody:
    return SmallBlobBody(blob, 0, blob.size - 1)


async def kept(blobs: SmallBlobs, content: bytes, repository: str = "a") -> SmallBlob:
    line = Line()
    blob = blobs.begin(
        key(digest_of(content), "", repository), len(content), line.open, Asker(Urgency.AHEAD)
    )
    line.send(content, b"")
    assert await read_all(whole(blob)) == content
    return blob
