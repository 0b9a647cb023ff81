from __future__ import annotations

import pytest

from addon.memory.chunks import BLOCK, Chunks

CONTENT = bytes(range(256)) * 2048  # 512 KiB


def chunks_of(sizes: list[int]) -> Chunks:
    chunks, at = Chunks(), 0
    for size in sizes:
        chunks.append(CONTENT[at : at + size])
        at += size
    return chunks


def read_from(chunks: Chunks, first: int, end: int) -> bytes:
    content = b""
    while first + len(content) < end:
        part = chunks.part(first + len(content), end)
        assert part
        content += part
    return content


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([1], id="a byte"),
        pytest.param([1] * 300, id="byte by byte"),
        pytest.param([BLOCK - 1, 1, 1], id="joined up to the limit"),
        pytest.param([BLOCK, BLOCK], id="not joined"),
        pytest.param([5, 3 * BLOCK, 7, BLOCK + 1], id="of all sizes"),
    ],
)
def test_every_part_is_the_contents(sizes: list[int]) -> None:
    chunks, length = chunks_of(sizes), sum(sizes)
    assert len(chunks) == length
    assert b"".join(chunks) == CONTENT[:length]
    for first in {0, 1, length // 2, length - 1} - {length}:
        for end in {first + 1, (first + length + 1) // 2, length}:
            if first < end:
                assert read_from(chunks, first, end) == CONTENT[first:end]


def test_a_block_is_given_on_uncopied() -> None:
    block = CONTENT[:BLOCK]
    chunks = Chunks()
    chunks.append(block)
    assert chunks.part(0, BLOCK) is block


@pytest.mark.parametrize("size", [1, 1000, BLOCK - 1, BLOCK + 1, 3 * BLOCK])
def test_parts_are_blocks_whatever_came(size: int) -> None:
    chunks = chunks_of([size] * (3 * BLOCK // size + 1))
    assert [len(chunks.part(at, len(chunks))) for at in (0, BLOCK, 2 * BLOCK)] == [BLOCK] * 3


def test_nothing_is_left_of_what_was_cleared() -> None:
    chunks = chunks_of([3 * BLOCK])
    chunks.clear()
    assert (len(chunks), list(chunks)) == (0, [])
    chunks.append(b"abc")
    assert chunks.part(1, 3) == b"bc"
