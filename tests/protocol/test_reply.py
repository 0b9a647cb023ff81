from __future__ import annotations

import json

import pytest

from addon.protocol.errors import Refusal
from addon.protocol.reply import SLICE, Body, MemoryBody, Reply, from_error, whole


async def chunks_of(body: Body) -> list[bytes]:
    chunks = []
    while chunk := await body.read():
        chunks.append(chunk)
    return chunks


@pytest.mark.parametrize(
    "size", [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 2 * SLICE + 1], ids=str
)
async def test_a_body_in_memory_is_given_in_slices(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    body = MemoryBody(content)
    chunks = await chunks_of(body)
    assert b"".join(chunks) == content
    assert [len(chunk) for chunk in chunks[:-1]] == [SLICE] * (len(chunks) - 1)
    assert all(len(chunk) <= SLICE for chunk in chunks)
    assert await body.read() == b""


async def test_closing_a_body_in_memory_loses_nothing() -> None:
    body = MemoryBody(b"abc")
    body.close()
    body.close()
    assert body.content == b"abc"
    assert await body.read() == b"abc"


async def test_a_reply_that_is_whole_knows_its_length() -> None:
    reply = whole(200, b"abc", [("X-A", "1")])
    assert (reply.status, reply.fields, reply.length) == (200, [("X-A", "1")], 3)
    assert await chunks_of(reply.body) == [b"abc"]


async def test_a_reply_is_empty_unless_it_is_said() -> None:
    one, other = Reply(204), Reply(204)
    assert one.length == 0
    assert await chunks_of(one.body) == []
    # Each has a place of its own in its body.
    assert one.body is not other.body


async def test_an_error_becomes_a_reply() -> None:
    reply = from_error(Refusal(405, "UNSUPPORTED", "no", {"Allow": "GET"}))
    assert reply.status == 405
    assert list(reply.fields) == [("Content-Type", "application/json"), ("Allow", "GET")]
    content = b"".join(await chunks_of(reply.body))
    assert reply.length == len(content)
    assert json.loads(content)["errors"][0]["code"] == "UNSUPPORTED"
