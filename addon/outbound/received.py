"""What an upstream has answered, its body still to be read, dropped, or read whole."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from addon.protocol.fields import first_of, values_of
from addon.protocol.headers import Fields
from addon.protocol.reply import Body, BrokenTransfer

# Bytes and seconds of an unwanted body that are cheaper to read than a new connection is to make;
# the page that Hub's redirect comes with has some 700 bytes.
MAX_DISCARDED = 64 * 1024
DISCARD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An upstream's answer, the body not yet read."""

    status: int
    fields: Fields
    length: int | None
    closes_to_end: bool  # the body has neither length nor chunks: its end says nothing
    body: Body

    def get(self, name: str) -> str | None:
        """A field's first value."""
        return first_of(self.fields, name)

    def get_all(self, name: str) -> list[str]:
        """All values of a field, in their order."""
        return values_of(self.fields, name)


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """A small answer that was read to its end."""

    status: int
    fields: Fields
    content: bytes


async def discard(answer: Answer) -> None:
    """Read a small body that nobody wants: a connection is kept only once its answer was read."""
    left = MAX_DISCARDED
    with contextlib.closing(answer.body), contextlib.suppress(TimeoutError, BrokenTransfer):
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0 and (chunk := await answer.body.read()):
                left -= len(chunk)


async def read_whole(answer: Answer, at_most: int) -> WholeAnswer:
    """A small answer's body.

    Raises:
        BrokenTransfer: it is larger than that, or broke off.
    """
    pieces: list[bytes] = []
    left = at_most
    try:
        while chunk := await answer.body.read():
            left -= len(chunk)
            if left < 0:
                raise BrokenTransfer(f"an answer is larger than {at_most} bytes")
            pieces.append(chunk)
    finally:
        answer.body.close()
    return WholeAnswer(answer.status, answer.fields, b"".join(pieces))
