from __future__ import annotations

import asyncio

import pytest

from addon.blob.urgency import Asker, Urgency
from addon.flows.story import new_story, tell
from addon.memory.smallblob import SmallBlobBody
from addon.memory.smallblobs import SmallBlobs
from addon.protocol.reply import BrokenTransfer
from tests.memory.blobs import (
    CONTENT,
    DIGEST,
    FIELDS,
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
