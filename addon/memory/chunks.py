"""Content that grows as it comes, in blocks of one size that are given on without a copy.

Of one size, because clients are handed some of them at a time: of many sizes, the process's memory
grows by a tenth for the gaps between them.
"""

from __future__ import annotations

from collections.abc import Iterator

from addon.protocol.reply import SLICE

BLOCK = SLICE


class Chunks:
    """Content that grows chunk by chunk."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._tail = bytearray()

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._blocks
        if self._tail:
            yield bytes(self._tail)

    def append(self, chunk: bytes) -> None:
        """Add a chunk at the end."""
        if len(chunk) == BLOCK and not self._tail:
            self._blocks.append(chunk)
            return
        left = memoryview(chunk)
        while left:
            room = BLOCK - len(self._tail)
            self._tail += left[:room]
            left = left[room:]
            if len(self._tail) == BLOCK:
                self._blocks.append(bytes(self._tail))
                self._tail.clear()

    def part(self, first: int, end: int) -> bytes:
        """Bytes from `first` on, as far as one block has them, `end` not included."""
        index, at = divmod(first, BLOCK)
        last = end - index * BLOCK
        if index < len(self._blocks):
            return self._blocks[index][at:last]
        return bytes(self._tail[at:last])

    def clear(self) -> None:
        """Keep nothing."""
        self._blocks.clear()
        self._tail.clear()
