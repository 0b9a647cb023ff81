"""Bodies made of others: one without its first bytes, one that is checked as it comes."""

from __future__ import annotations

import re

from addon.outbound.received import Answer
from addon.protocol.digests import DigestCheck, is_known_digest
from addon.protocol.reply import Body, BrokenTransfer

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:[0-9]+|\*)")


class Skipping:
    """A body without its first bytes, for an upstream that knows no ranges."""

    def __init__(self, body: Body, count: int) -> None:
        self._body = body
        self._left = count

    async def read(self) -> bytes:
        """The next bytes that count."""
        while True:
            chunk = await self._body.read()
            if not chunk or len(chunk) > self._left:
                kept, self._left = chunk[self._left :], 0
                return kept
            self._left -= len(chunk)

    def close(self) -> None:
        """End it."""
        self._body.close()


class VerifiedBody:
    """A body that ends only as the content of its digest, otherwise as a broken transfer.

    Where an answer has neither length nor chunks, nothing else tells its end from a break.
    """

    def __init__(self, body: Body, digest: str) -> None:
        self._check = DigestCheck(digest)
        self._digest = digest
        self._body = body

    async def read(self) -> bytes:
        """The next chunk."""
        chunk = await self._body.read()
        self._check.take(chunk)
        if not chunk and not self._check.is_right:
            raise BrokenTransfer(f"what came is not {self._digest}")
        return chunk

    def close(self) -> None:
        """End the transfer."""
        self._body.close()


def blob_length(answer: Answer) -> int | None:
    """A body's length, where its framing or the range that it is tells it.

    A part that ends with its connection has no digest to be checked by.
    """
    match = _CONTENT_RANGE.fullmatch(answer.get("Content-Range") or "")
    if answer.status != 206 or not answer.closes_to_end or not match:
        return answer.length
    first, last = int(match[1]), int(match[2])
    return last - first + 1 if first <= last else None


def blob_body(answer: Answer, digest: str) -> Body:
    """The bytes of a blob or manifest, which end cleanly only where they are known to be whole.

    Length or chunks say so themselves. Where there is neither, the digest does.
    """
    if answer.status != 200 or not answer.closes_to_end or not is_known_digest(digest):
        return answer.body
    return VerifiedBody(answer.body, digest)
