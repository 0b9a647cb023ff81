from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from addon.ahead.lookahead import TINY, Ahead, AheadLimits, Begun, narrowed
from addon.blob.urgency import Asker, Urgency
from addon.flows.story import Story, current
from addon.memory.sharing import EVERYONE, BlobKey, Reader
from addon.protocol.descriptors import Descriptor
from addon.protocol.errors import failure

LARGE = 10 * TINY
PATIENCE = 3
READER = Reader(EVERYONE)


class Transfer:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Starter:
    """Begins what it is told to, at once or when the gate opens."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.resolved: list[str] = []
        self.askers: dict[str, Asker] = {}
        self.transfers: dict[str, Transfer] = {}
        self.stories: dict[str, Story] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.given_up = 0
        self.resolving = 0
        self.most_resolving = 0
        self.fails: set[str] = set()
        # Transfers that the line has room for.
        self.line = 1000

    async def begin(
        self, reader: Reader, repository: str, blob: Descriptor, side_by_side: int, asker: Asker
    ) -> Begun | None:
        self.askers[blob.digest] = asker
        self.stories[blob.digest] = current()
        self.begun.append(blob.digest)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if blob.digest in self.fails:
            raise failure("r.example", "no")
        self.transfers[blob.digest] = Transfer()
        return self.transfers[blob.digest] if blob.size > TINY else None

    async def resolve(self, reader: Reader, repository: str, blob: Descriptor) -> None:
        self.resolving += 1
        self.most_resolving = max(self.most_resolving, self.resolving)
        await asyncio.sleep(0)
        self.resolving -= 1
        self.resolved.append(blob.digest)
        if blob.digest in self.fails:
            raise failure("r.example", "no")

    def cost(self, blob: Descriptor) -> int:
        return min(blob.size, LARGE)

    def room(self, most: int) -> int:
        return min(most, self.line)

    @property
    def open(self) -> int:
        return sum(1 for transfer in self.transfers.values() if not transfer.closed)


@pytest.fixture
def starter() -> Starter:
    return Starter()


def limits(
    transfers: int = 3, size: int = 100 * LARGE, seconds: float = 60.0, images: int = 4
) -> AheadLimits:
    return AheadLimits(transfers, size, seconds, images)


def layers(count: int, size: int = LARGE, prefix: str = "") -> tuple[Descriptor, ...]:
    return tuple(Descriptor(f"{prefix}{number}", size) for number in range(count))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


Look = Callable[..., None]


@pytest.mark.parametrize(
    ("delay", "round_trip", "transfers"),
    [
        pytest.param(0.0, 0.2, 8, id="an empty line"),
        pytest.param(0.1, 0.2, 4, id="a queue of half a round trip"),
        pytest.param(0.2, 0.2, 1, id="a queue of a round trip: it is full"),
        pytest.param(9.0, 0.2, 1, id="one at least"),
        pytest.param(0.05, 0.02, 4, id="a short line is full after a tenth of a second"),
    ],
)
def test_a_line_has_room_for_fewer_transfers_the_fuller_it_is(
    delay: float, round_trip: float, transfers: int
) -> None:
    assert narrowed(8, delay, round_trip) == transfers


class TestWindow:
    async def test_the_first_are_begun_and_the_next_as_they_are_claimed(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits(transfers=2))
        ahead.look("c", READER, "a", layers(4))
        await settle()
        assert starter.begun == ["0", "1"]
        assert await ahead.claim(BlobKey(EVERYONE, "a", "0")) is starter.transfers["0"]
        await settle()
        assert starter.begun == ["0", "1", "2"]

    async def test_what_is_claimed_waits_no_more_among_what_is_ahead(
        self, starter: Starter
    ) -> None:
        starter.gate.clear()
        ahead = Ahead(starter, limits())
        ahead.look("c", READER, "a", layers(2))
        await settle()
        claiming = asyncio.get_running_loop().create_task(ahead.claim(BlobKey(EVERYONE, "a", "0")))
        await settle()
        urgencies = [starter.askers[digest].urgency for digest in "01"]
        assert urgencies == [Urgency.ASKED, Urgency.AHEAD]
        assert not claiming.done()
        starter.gate.set()
        assert await claiming is starter.transfers["0"]

    @pytest.mark.parametrize("order", ["0123", "3210", "2031", "1302"])
    async def test_claims_may_come_in_any_order(self, starter: Starter, order: str) -> None:
        ahead = Ahead(starter, limits(transfers=2))
        ahead.look("c", READER, "a", layers(4))
        for digest in order:
            await settle()
            claimed = await ahead.claim(BlobKey(EVERYONE, "a", digest))
            assert claimed is starter.transfers.get(digest)
        await settle()
        assert len(ahead) == 0
        # Each begun once at most, and what was asked for before it was begun never.
        assert len(starter.begun) == len(set(starter.begun))
        assert starter.open == len(starter.begun)  # all are their askers'

    async def test_it_narrows_while_the_line_is_full_and_widens_again(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits(transfers=3))
        ahead.look("c", READER, "a", layers(8))
        await settle()
        assert starter.begun == ["0", "1", "2"]
        starter.line = 1
        for digest in "01":
            await ahead.claim(BlobKey(EVERYONE, "a", digest))
            await settle()
        assert starter.begun == ["0", "1", "2"]
        await ahead.claim(BlobKey(EVERYONE, "a", "2"))
        await settle()
        assert starter.begun == ["0", "1", "2", "3"]
        starter.line = 1000
        await ahead.claim(BlobKey(EVERYONE, "a", "3"))
        await settle()
        assert starter.begun == ["0", "1", "2", "3", "4", "5", "6"]

    async def test_what_is_claimed_is_claimed_once(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits())
        ahead.look("c", READER, "a", layers(2))
        await settle()
        assert await ahead.claim(BlobKey(EVERYONE, "a", "0")) is not None
        assert await ahead.claim(BlobKey(EVERYONE, "a", "0")) is None

    async def test_small_ones_are_no_transfers(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits(transfers=1))
        ahead.look("c", READER, "a", (*layers(10, 5, "small"), *layers(2)))
        await settle()
        assert len(starter.begun) == 11

    async def test_bytes_are_bounded(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits(transfers=8, size=3 * LARGE))
        ahead.look("c", READER, "a", (*layers(500, 1000, "small"), *layers(8)))
        await settle()
        assert sum(1000 if d.startswith("small") else LARGE for d in starter.begun) <= 3 * LARGE
        ahead.look("c", READER, "b", layers(8))
        await settle()
        assert starter.begun[-3:] == ["0", "1", "2"]

    async def test_one_too_large_for_the_bound_does_not_hold_up_the_others(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits(size=TINY))
        ahead.look("c", READER, "a", (*layers(1), *layers(1, 5, "small")))
        await settle()
        assert starter.begun == ["small0"]

    async def test_redirects_beyond_the_window_are_resolved_side_by_side(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits(transfers=3))
        starter.fails = {"5"}
        ahead.look("c", READER, "a", layers(12))
        await settle()
        assert starter.begun == ["0", "1", "2"]
        assert sorted(starter.resolved, key=int) == [str(n) for n in range(3, 12)]
        assert starter.most_resolving == 3


class TestEnds:
    async def test_what_nobody_claims_is_closed_in_time(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits(seconds=0.0))
        ahead.look("c", READER, "a", layers(5))
        await settle()
        assert (len(ahead), starter.open) == (0, 0)

    async def test_what_is_still_being_begun_is_ended(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits())
        starter.gate.clear()
        ahead.look("c", READER, "a", layers(5))
        await settle()
        ahead.drop(EVERYONE, "a")
        await settle()
        assert (starter.given_up, len(ahead)) == (3, 0)
        assert len(asyncio.all_tasks()) == 1
        assert all(story.is_ahead and story.is_dropped for story in starter.stories.values())

    async def test_a_drop_while_something_has_just_been_begun_closes_it(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits())
        starter.gate.clear()
        ahead.look("c", READER, "a", layers(3))
        await settle()
        starter.gate.set()
        ahead.drop(EVERYONE, "a")
        await settle()
        assert starter.open == 0

    async def test_a_drop_is_for_one_audience_and_repository(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits())
        for audience, repository in ((EVERYONE, "a"), ("hash", "a"), (EVERYONE, "b")):
            ahead.look("c", Reader(audience), repository, layers(1))
        await settle()
        ahead.drop(EVERYONE, "a")
        assert await ahead.claim(BlobKey(EVERYONE, "a", "0")) is None
        assert await ahead.claim(BlobKey("hash", "a", "0"))
        assert await ahead.claim(BlobKey(EVERYONE, "b", "0"))

    async def test_nothing_crosses_to_another_audience(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits())
        ahead.look("c", Reader("hash"), "a", layers(1))
        await settle()
        assert await ahead.claim(BlobKey(EVERYONE, "a", "0")) is None
        assert await ahead.claim(BlobKey("other", "a", "0")) is None
        assert await ahead.claim(BlobKey("hash", "b", "0")) is None

    async def test_an_asker_that_leaves_while_it_waits_leaves_nothing_open(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits())
        starter.gate.clear()
        ahead.look("c", READER, "a", layers(1))
        await settle()
        asker = asyncio.get_running_loop().create_task(ahead.claim(BlobKey(EVERYONE, "a", "0")))
        await settle()
        starter.gate.set()
        asker.cancel()
        await settle()
        assert asker.cancelled()
        assert (starter.open, len(ahead)) == (0, 0)

    async def test_a_failure_is_not_the_askers(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits())
        starter.fails = {"0"}
        ahead.look("c", READER, "a", layers(2))
        await settle()
        assert await ahead.claim(BlobKey(EVERYONE, "a", "0")) is None
        assert await ahead.claim(BlobKey(EVERYONE, "a", "1"))

    async def test_close_ends_everything(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits())
        for repository in "abc":
            ahead.look("c", READER, repository, layers(9))
        await settle()
        ahead.close()
        await settle()
        assert (len(ahead), starter.open) == (0, 0)
        assert len(asyncio.all_tasks()) == 1


class TestImages:
    async def test_the_same_image_asked_twice_is_begun_once(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits())
        for _ in range(20):
            ahead.look("c", READER, "a", layers(2))
        await settle()
        assert starter.begun == ["0", "1"]
        # And its client is not taken for a watcher.
        assert ahead.watchers.asked("c")

    async def test_another_image_of_a_repository_does_not_end_the_first(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits())
        ahead.look("c", READER, "a", layers(2))
        ahead.look("d", READER, "a", layers(2, prefix="other"))
        await settle()
        assert await ahead.claim(BlobKey(EVERYONE, "a", "0")) is starter.transfers["0"]
        assert await ahead.claim(BlobKey(EVERYONE, "a", "other0")) is starter.transfers["other0"]

    async def test_a_layer_of_two_images_is_closed_once_it_is_claimed(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits())
        shared = layers(1)
        opened: list[Transfer] = []
        ahead.look("c", READER, "a", (*shared, *layers(1, prefix="x")))
        await settle()
        opened.append(starter.transfers["0"])
        ahead.look("c", READER, "a", (*shared, *layers(1, prefix="y")))
        await settle()
        opened.append(starter.transfers["0"])
        assert await ahead.claim(BlobKey(EVERYONE, "a", "0")) is opened[0]
        await settle()
        assert [transfer.closed for transfer in opened] == [0, 1]

    async def test_images_are_bounded_in_number(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits(images=2))
        for repository in "abcd":
            ahead.look("c" + repository, READER, repository, layers(1))
        assert len(ahead) == 2

    async def test_no_image_means_no_looking_ahead_at_all(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits(images=0))
        ahead.look("c", READER, "a", layers(3))
        await settle()
        assert (starter.begun, starter.resolved) == ([], [])

    async def test_nothing_is_begun_for_a_watcher(self, starter: Starter) -> None:
        ahead = Ahead(starter, limits(seconds=0.0, images=100))
        for number in range(PATIENCE + 5):
            ahead.look("watcher", READER, f"a{number}", layers(1))
            await settle()
        assert len(starter.begun) == PATIENCE
        ahead.look("other", READER, "b", layers(1))
        await settle()
        assert len(starter.begun) == PATIENCE + 1

    async def test_an_index_names_nothing_and_makes_nobody_a_watcher(
        self, starter: Starter
    ) -> None:
        ahead = Ahead(starter, limits())
        for _ in range(100):
            ahead.look("c", READER, "a", ())
        assert (len(ahead), len(ahead.watchers)) == (0, 0)
