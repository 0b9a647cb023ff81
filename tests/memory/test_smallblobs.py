from __future__ import annotations

import asyncio
import hashlib
from collections import deque

import pytest

from addon.blob.urgency import Asker, Urgency
from addon.flows.story import new_story, tell
from addon.memory.sharing import BlobKey
from addon.memory.smallblobs import HASHED_AT_ONCE, LEAST_COST, SmallBlob, SmallBlobBody, SmallBlobs
from addon.protocol.errors import failure
from addon.protocol.headers import Fields
from addon.protocol.reply import Body, BrokenTransfer

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


class TestBudget:
    @pytest.mark.parametrize(
        ("digest", "size"),
        [
            pytest.param(DIGEST, 0, id="empty"),
            pytest.param(DIGEST, -1, id="less than empty"),
            pytest.param(DIGEST, 8 * ROOM + 1, id="too large"),
            pytest.param("md5:abc", 5, id="a digest that cannot be checked"),
        ],
    )
    async def test_some_are_not_taken(self, blobs: SmallBlobs, digest: str, size: int) -> None:
        assert not blobs.takes(digest, size)

    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    async def test_others_are(self, blobs: SmallBlobs, algorithm: str) -> None:
        assert blobs.takes(f"{algorithm}:abc", 8 * ROOM)

    @pytest.mark.parametrize(("budget", "largest"), [(0, 100), (100, 0), (0, 0)])
    async def test_zero_keeps_none(self, budget: int, largest: int) -> None:
        assert not SmallBlobs(budget, largest).takes(DIGEST, 1)

    async def test_the_one_not_asked_for_longest_leaves_first(self) -> None:
        blobs = SmallBlobs(3 * ROOM, ROOM)
        digests = [digest_of(content) for content in (b"a", b"b", b"c", b"d")]
        for content in (b"a", b"b", b"c"):
            await kept(blobs, content)
        assert blobs.get(key(digests[0]))
        await kept(blobs, b"d")
        assert [blobs.get(key(digest)) is not None for digest in digests] == [
            True,
            False,
            True,
            True,
        ]
        assert blobs.held == 3 * ROOM

    async def test_what_is_on_its_way_counts_and_stays(self) -> None:
        blobs = SmallBlobs(2 * ROOM, ROOM)
        lines = [Line(), Line()]
        for number, line in enumerate(lines):
            blobs.begin(key(digest_of(b"%d" % number)), 1, line.open, Asker(Urgency.AHEAD))
        assert not blobs.takes(DIGEST, SIZE)
        lines[0].send(b"0", b"")
        await settle()
        assert blobs.takes(DIGEST, SIZE)
        await kept(blobs, CONTENT)
        assert blobs.get(key(digest_of(b"1")))
        assert blobs.get(key(digest_of(b"0"))) is None

    async def test_what_is_read_counts_even_where_it_was_dropped(self) -> None:
        blobs = SmallBlobs(2 * ROOM, ROOM)
        readers = [whole(await kept(blobs, content)) for content in (b"a", b"b")]
        blobs.drop("", "a")
        assert (len(blobs), blobs.held) == (0, 2 * ROOM)
        assert not blobs.takes(DIGEST, SIZE)
        assert await readers[0].read() == b"a"
        for _ in range(2):
            readers[0].close()  # more than once is once
        assert blobs.held == ROOM
        assert blobs.takes(DIGEST, SIZE)

    async def test_slow_readers_of_many_blobs_hold_no_more_than_the_budget(self) -> None:
        blobs = SmallBlobs(10 * ROOM, ROOM)
        readers = []
        for number in range(100):
            content = b"%d" % number
            if blobs.takes(digest_of(content), len(content)):
                readers.append(whole(await kept(blobs, content)))
        assert len(readers) == 10
        assert blobs.held == 10 * ROOM

    async def test_tiny_ones_are_bounded_in_number(self) -> None:
        blobs = SmallBlobs(10 * ROOM, ROOM)
        for number in range(100):
            await kept(blobs, b"%d" % number)
        assert len(blobs) == 10


class TestDropping:
    async def test_forgets_one_audiences_repository_alone(self, blobs: SmallBlobs) -> None:
        keys = [key(), key(audience="hash"), key(repository="b")]
        for each in keys:
            line = Line()
            blobs.begin(each, SIZE, line.open, Asker(Urgency.AHEAD))
            line.send(CONTENT, b"")
        await settle()
        blobs.drop("", "a")
        assert [blobs.get(each) is not None for each in keys] == [False, True, True]

    async def test_lets_who_reads_read_on(self, blobs: SmallBlobs) -> None:
        line = Line()
        body = whole(blobs.begin(key(), SIZE, line.open, Asker(Urgency.AHEAD)))
        line.send(CONTENT[:10])
        await body.read()
        blobs.drop("", "a")
        line.send(CONTENT[10:], b"")
        assert await read_all(body) == CONTENT[9:]

    async def test_lets_all_go_that_nobody_reads_or_waits_for(self, blobs: SmallBlobs) -> None:
        line, coming = Line(), Line()
        blob = blobs.begin(key(), SIZE, line.open, Asker(Urgency.ASKED))
        blobs.begin(key(repository="b"), SIZE, coming.open, Asker(Urgency.ASKED))
        body = SmallBlobBody(blob, 0, SIZE - 1)
        line.send(CONTENT, b"")
        await body.head()
        blobs.forget()
        assert len(blobs) == 2
        body.close()
        await settle()
        blobs.forget()
        assert blobs.get(key()) is None
        assert len(blobs) == 1

    async def test_close_ends_all_fetches_and_tells_who_waits(self, blobs: SmallBlobs) -> None:
        line, unbegun = Line(), Line()
        waiting = blobs.begin(key(), SIZE, line.open, Asker(Urgency.AHEAD))
        await settle()
        too_late = blobs.begin(key(repository="b"), SIZE, unbegun.open, Asker(Urgency.AHEAD))
        heads = [asyncio.get_running_loop().create_task(b.head()) for b in (waiting, too_late)]
        blobs.close()
        results = await asyncio.gather(*heads, return_exceptions=True)
        assert [type(result) for result in results] == [BrokenTransfer] * 2
        assert (line.closed, unbegun.opened, len(blobs)) == (1, 0, 0)

    async def test_is_noted_for_whoever_counts_what_nobody_came_for(self) -> None:
        blobs = SmallBlobs(2 * ROOM, ROOM)
        stories = []
        for content in (b"0", b"1", b"2"):
            tell(story := new_story())
            stories.append(story)
            await kept(blobs, content)
        assert [story.is_dropped for story in stories] == [True, False, False], "for want of room"
        tell(new_story())
        blobs.drop("", "a")
        assert all(story.is_dropped for story in stories)

    async def test_is_noted_of_one_that_failed(self, blobs: SmallBlobs) -> None:
        tell(story := new_story())
        line = Line()
        blobs.begin(key(), SIZE, line.open, Asker(Urgency.AHEAD))
        line.send(BrokenTransfer("it broke off"))
        await settle()
        assert story.is_dropped


class TestWhoWaits:
    async def test_for_what_is_here_keeps_it_here_from_the_first_moment(
        self, blobs: SmallBlobs
    ) -> None:
        """Between asking for it and reading it, it must neither go nor be left out of the count."""
        blob = await kept(blobs, CONTENT)
        body = whole(blob)
        for number in range(200):
            other = str(number).encode() * 8
            if blobs.takes(digest_of(other), len(other)):
                await kept(blobs, other)
        assert await body.head() == FIELDS
        assert blobs.get(key()) is blob
        assert blobs.held <= blobs.budget
        body.close()

    async def test_for_what_is_begun_ahead_makes_it_urgent_before_it_has_come(
        self, blobs: SmallBlobs
    ) -> None:
        asker = Asker(Urgency.AHEAD)
        blob = blobs.begin(key(), SIZE, Line().open, asker)
        body = whole(blob)
        assert asker.urgency is Urgency.ASKED
        body.close()
        blobs.close()
