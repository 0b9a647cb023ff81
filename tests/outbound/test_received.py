from __future__ import annotations

import asyncio

import pytest

from addon.outbound.received import MAX_DISCARDED, discard, read_whole
from addon.protocol.reply import BrokenTransfer
from tests.outbounds import NotedBody, answer, closings

FIELDS = (("ETag", '"a"'), ("etag", '"b"'), ("Accept", "c"))


class Chunks(NotedBody):
    """A body that gives as many chunks as it is asked for."""

    def __init__(self, size: int, error: Exception | None = None) -> None:
        super().__init__(b"")
        self.reads = 0
        self._size = size
        self._error = error

    async def read(self) -> bytes:
        self.reads += 1
        if self._error:
            raise self._error
        return bytes(self._size)


class Stalling(NotedBody):
    """A body of which nothing comes."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""


def test_fields_are_found_whatever_their_case() -> None:
    given = answer(200, *FIELDS)
    assert (given.get("ETAG"), given.get_all("etag")) == ('"a"', ['"a"', '"b"'])
    assert (given.get("Accept-"), given.get_all("")) == (None, [])


async def test_what_nobody_wants_is_read_to_its_end_and_closed() -> None:
    given = answer(content=bytes(1000))
    await discard(given)
    assert await given.body.read() == b""
    assert closings([given]) == [1]


@pytest.mark.parametrize(
    ("body", "most"),
    [
        pytest.param(Chunks(MAX_DISCARDED // 4), 4, id="more than a page"),
        pytest.param(Chunks(1, BrokenTransfer("reset")), 1, id="one that breaks off"),
    ],
)
async def test_what_is_no_page_is_closed(body: Chunks, most: int) -> None:
    await discard(answer(body=body))
    assert (body.reads, body.closings) == (most, 1)


async def test_what_stalls_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addon.outbound.received.DISCARD_SECONDS", 0.01)
    given = answer(body=Stalling(b""))
    await discard(given)
    assert closings([given]) == [1]


@pytest.mark.parametrize("at_most", [1000, 1001])
async def test_a_small_answer_is_read_whole(at_most: int) -> None:
    given = answer(404, *FIELDS, content=bytes(1000))
    whole = await read_whole(given, at_most)
    assert (whole.status, whole.fields, whole.content) == (404, FIELDS, bytes(1000))
    assert closings([given]) == [1]


async def test_one_that_is_not_small_is_not_read() -> None:
    given = answer(content=bytes(1000))
    with pytest.raises(BrokenTransfer, match="larger than 999 bytes"):
        await read_whole(given, 999)
    assert closings([given]) == [1]
