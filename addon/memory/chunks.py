"""Content as it came: its chunks are kept, and given on, without a copy of each byte."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

# Bytes up to which chunks are joined, so that tiny ones cost no more than they hold.
JOINED = 16 * 1024


class Chunks:
    """Content that grows chunk by chunk."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def append(self, chunk: bytes) -> None:
        """Add a chunk at the end."""
        if self._chunks and len(self._chunks[-1]) + len(chunk) <= JOINED:
            self._chunks[-1] += chunk
        else:
            self._chunks.append(chunk)
            self._starts.append(self._length)
        self._length += len(chunk)

    def part(self, first: int, end: int) -> bytes:
        """Bytes from `first` on, as far as one chunk has them, `end` not included."""
        index = bisect_right(self._starts, first) - 1
        chunk, start = self._chunks[index], self._starts[index]
        return chunk[first - start : end - start]

    def clear(self) -> None:
        """Keep nothing."""
        self._chunks.clear()
        self._starts.clear()
        self._length = 0
