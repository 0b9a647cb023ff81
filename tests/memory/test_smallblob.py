from __future__ import annotations

import asyncio

import pytest

from addon.blob.urgency import Asker, Urgency
from addon.memory.smallblob import HASHED_AT_ONCE, SmallBlobBody
from addon.memory.smallblobs import SmallBlobs
from addon.protocol.errors import failure
from addon.protocol.headers import Fields
from addon.protocol.reply import Body, BrokenTransfer
from tests.memory.blobs import (
    CONTENT,
    KIB,
    ROOM,
    SIZE,
    Line,
    digest_of,
    kept,
    key,
    read_all,
    settle,
    whole,
)


@pytest.fixture
def blobs() -> SmallBlobs:
    return SmallBlobs(64 * ROOM, 8 * ROOM)


class TestOneBlob:
    async def test_is_given_while_it_arrives_but_for_its_last_byte(self, blobs: SmallBlobs) -> None:
        line = Line()
        blob = blobs.begin(key(), SIZE, line.open, Asker(Urgency.AHEAD))
        body = whole(blob)
        line.send(CONTENT[:40])
        await blob.head()
        assert await body.read() == CONTENT[:39]
        line.send(CONTENT[40:])
        assert await body.read() == CONTENT[39:-1]
        last = asyncio.get_running_loop().create_task(body.read())
        await settle()
        assert not last.done()
        line.send(b"")
        assert await last == CONTENT[-1:]
        assert await body.read() == b""
        assert line.closed == 1

    @pytest.mark.parametrize(
        "chunks",
        [
            pytest.param([b"X" + CONTENT[1:], b""], id="a changed first byte"),
            pytest.param([CONTENT[:-1], b"X", b""], id="a changed last byte"),
            pytest.param([CONTENT[:-1], b""], id="too short"),
            pytest.param([CONTENT[:50], OSError("reset")], id="broken off"),
            pytest.param([CONTENT, b"X", b""], id="too long"),
            pytest.param([CONTENT, CONTENT, b""], id="twice"),
        ],
    )
    async def test_that_is_not_its_digests_is_never_given_whole_and_not_kept(
        self, blobs: SmallBlobs, chunks: list[bytes | Exception]
    ) -> None:
        line = Line()
        blob = blobs.begin(key(), SIZE, line.open, Asker(Urgency.AHEAD))
        body = whole(blob)
        got = b""
        line.send(*chunks)

        async def read_on() -> None:
            nonlocal got
            while True:
                got += await body.read()

        with pytest.raises(BrokenTransfer):
            await read_on()
        assert len(got) < SIZE
        await settle()
        assert blobs.get(key()) is None
        assert (line.closed, blobs.held) == (1, 0)

    async def test_is_asked_for_again_after_it_failed(self, blobs: SmallBlobs) -> None:
        bad, good = Line(), Line()
        blobs.begin(key(), SIZE, bad.open, Asker(Urgency.AHEAD))
        bad.send(b"x", b"")
        await settle()
        blob = blobs.begin(key(), SIZE, good.open, Asker(Urgency.AHEAD))
        good.send(CONTENT, b"")
        assert await read_all(whole(blob)) == CONTENT

    async def test_that_cannot_be_opened_says_why(self, blobs: SmallBlobs) -> None:
        async def refuse() -> tuple[Fields, Body]:
            raise failure("r.example", "no")

        blob = blobs.begin(key(), SIZE, refuse, Asker(Urgency.AHEAD))
        with pytest.raises(Exception, match=r"r\.example"):
            await blob.head()
        with pytest.raises(BrokenTransfer, match=r"r\.example"):
            await whole(blob).read()

    async def test_a_slip_of_the_mirrors_own_is_not_waited_for(
        self, blobs: SmallBlobs, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def slip() -> tuple[Fields, Body]:
            raise RuntimeError("a slip")

        blob = blobs.begin(key(), SIZE, slip, Asker(Urgency.AHEAD))
        with pytest.raises(BrokenTransfer):
            await blob.head()
        await settle()
        assert "a slip" in caplog.text
        assert len(blobs) == 0

    @pytest.mark.parametrize("size", [HASHED_AT_ONCE, HASHED_AT_ONCE + 1])
    @pytest.mark.parametrize("is_right", [True, False], ids=["right", "wrong"])
    async def test_of_any_size_is_verified(self, size: int, is_right: bool) -> None:
        content = bytes(size)
        line, blobs = Line(), SmallBlobs(4 * size, 2 * size)
        named = key(digest_of(content if is_right else b"other"))
        blob = blobs.begin(named, size, line.open, Asker(Urgency.AHEAD))
        line.send(content, b"")
        if is_right:
            assert await read_all(whole(blob)) == content
        else:
            with pytest.raises(BrokenTransfer):
                await read_all(whole(blob))

    async def test_many_readers_at_their_own_speed_share_one_fetch(self, blobs: SmallBlobs) -> None:
        line = Line()
        bodies = [
            whole(blobs.begin(key(), SIZE, line.open, Asker(Urgency.AHEAD))) for _ in range(5)
        ]
        readers = [asyncio.get_running_loop().create_task(read_all(body)) for body in bodies[:3]]
        line.send(CONTENT[:10])
        await settle()
        line.send(CONTENT[10:], b"")
        assert await asyncio.gather(*readers) == [CONTENT] * 3
        for late in bodies[3:]:
            assert await read_all(late) == CONTENT
        assert line.opened == 1

    async def test_a_reader_that_leaves_does_not_end_it_for_others(self, blobs: SmallBlobs) -> None:
        line = Line()
        blob = blobs.begin(key(), SIZE, line.open, Asker(Urgency.AHEAD))
        leaving = asyncio.get_running_loop().create_task(read_all(whole(blob)))
        staying = asyncio.get_running_loop().create_task(read_all(whole(blob)))
        await settle()
        leaving.cancel()
        await settle()
        line.send(CONTENT, b"")
        assert await staying == CONTENT

    async def test_who_comes_after_it_failed_is_told(self, blobs: SmallBlobs) -> None:
        line = Line()
        blob = blobs.begin(key(), SIZE, line.open, Asker(Urgency.AHEAD))
        line.send(OSError("reset"))
        await settle()
        with pytest.raises(OSError, match="reset"):
            await blob.head()
        with pytest.raises(BrokenTransfer, match="reset"):
            await whole(blob).read()

    @pytest.mark.parametrize(("first", "last"), [(0, 0), (5, 9), (SIZE - 1, SIZE - 1), (0, 98)])
    async def test_parts_of_it_are_given(self, blobs: SmallBlobs, first: int, last: int) -> None:
        blob = await kept(blobs, CONTENT)
        assert await read_all(SmallBlobBody(blob, first, last)) == CONTENT[first : last + 1]

    async def test_is_given_in_slices(self) -> None:
        blobs = SmallBlobs(4096 * KIB, 2048 * KIB)
        blob = await kept(blobs, bytes(1000 * KIB))
        body = whole(blob)
        sizes = []
        while chunk := await body.read():
            sizes.append(len(chunk))
        assert max(sizes) == 64 * KIB
        assert sum(sizes) == 1000 * KIB
