from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable

import pytest

from addon.blob import failures, stream as stream_module
from addon.blob.budget import Budget
from addon.blob.pieces import Pieces
from addon.blob.transfer import Begun, Part, TransferLimits
from addon.blob.urgency import Asker, Urgency
from addon.blob.window import FIRST_PIECE, Spread
from addon.protocol.errors import failure
from addon.protocol.ranges import Wanted
from addon.protocol.reply import Body, BrokenTransfer, MemoryBody
from tests.parts import BREAKS, CHUNK, CONTENT, LAST, WHOLE, Site, Source, left, read_all, settle

EIGHT = Spread(8)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.0)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def budget() -> Budget:
    return Budget(64 * 1024 * 1024)


class Unwilling(Source):
    """Refuses the first request at once, before anybody has waited for anything."""

    refuses = True

    async def open(self, wanted: Wanted, asker: Asker) -> Body:
        if self.refuses:
            self.refuses = False
            raise failure("cdn", "it is not asked")
        return await super().open(wanted, asker)


def in_pieces(
    site: Site,
    budget: Budget,
    part: Part = WHOLE,
    *,
    asker: Asker | None = None,
    spread: Spread = EIGHT,
    limits: TransferLimits | None = None,
    most: Callable[[], int] = lambda: 1,
) -> Pieces:
    asker, limits = asker or Asker(Urgency.ASKED), limits or TransferLimits()
    return Pieces(Source(site), part, asker, spread, budget, limits, most)


class TestPieces:
    @pytest.mark.parametrize(
        ("first", "last"),
        [
            (0, LAST),
            (1, LAST - 1),
            (FIRST_PIECE, 5 * FIRST_PIECE),
            (0, 0),
            (LAST, LAST),
            (0, FIRST_PIECE - 1),
            (0, FIRST_PIECE),
        ],
    )
    async def test_give_the_bytes_in_order(
        self, site: Site, budget: Budget, first: int, last: int
    ) -> None:
        body = in_pieces(site, budget, Part(first, last))
        assert await read_all(body) == CONTENT[first : last + 1]
        assert await body.read() == b""
        covered = sorted((w.first, w.last) for w in site.asked)
        ends = [first, *(end + 1 for _, end in covered if end is not None)]
        assert [begin for begin, _ in covered] == ends[:-1]
        assert left(site, budget) == (0, 0, 0)

    async def test_are_fetched_side_by_side_and_few(self, site: Site, budget: Budget) -> None:
        body = in_pieces(site, budget)
        await settle(3)
        assert len(site.open) == 8
        await read_all(body)
        assert len(site.asked) <= 21

    async def test_begin_with_what_is_open_already(self, site: Site, budget: Budget) -> None:
        begun = Begun(await site.open_at(0, FIRST_PIECE - 1), FIRST_PIECE - 1)
        assert await read_all(in_pieces(site, budget, Part(0, LAST, begun))) == CONTENT
        assert min(wanted.first for wanted in site.asked) == FIRST_PIECE

    @pytest.mark.parametrize(("after", "how"), BREAKS)
    @pytest.mark.parametrize("which", [0, 1, 7, 12])
    async def test_survive_one_that_breaks(
        self, site: Site, budget: Budget, which: int, after: int, how: str
    ) -> None:
        site.fault = lambda number: (after, how) if number == which else (None, "")
        assert await read_all(in_pieces(site, budget)) == CONTENT
        assert left(site, budget) == (0, 0, 0)

    async def test_survive_that_all_break_again_and_again(self, site: Site, budget: Budget) -> None:
        chance = random.Random(3)
        site.fault = lambda _: (chance.choice([0, 1, 50_000, 100_000]), "reset")
        assert await read_all(in_pieces(site, budget)) == CONTENT

    @pytest.mark.parametrize("size", [1, 7, FIRST_PIECE, FIRST_PIECE + 1])
    async def test_a_break_at_any_byte_is_survived(self, budget: Budget, size: int) -> None:
        content = CONTENT[:size]
        for after in {0, 1, size // 2, size - 1}:
            site = Site(content)
            site.fault = lambda number, after=after: (  # type: ignore[misc]
                (after, "reset") if number == 0 else (None, "")
            )
            assert await read_all(in_pieces(site, budget, Part(0, size - 1))) == content

    async def test_give_what_came_and_then_say_that_the_rest_cannot_be_had(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (0, "reset") if site.asked[number].first else (None, "")
        body = in_pieces(site, budget)
        got = bytearray()

        async def read_on() -> None:
            while True:
                got.extend(await body.read())

        with pytest.raises(BrokenTransfer, match="given up"):
            await read_on()
        assert CONTENT.startswith(got)
        assert len(got) == site.asked[0].last + 1  # type: ignore[operator]
        body.close()
        await settle()
        assert left(site, budget) == (0, 0, 0)

    async def test_others_are_begun_beside_those_that_broke_off(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (0, "reset") if number < 2 else (0, "stall")
        body = in_pieces(site, budget)
        await settle()
        # Eight, two of which are asked for again, and two beside them; then all stall.
        assert len(site.asked) == 12
        assert len({wanted.first for wanted in site.asked}) == 10
        body.close()

    async def test_no_others_are_begun_for_what_nobody_has_asked_for_yet(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (0, "reset") if number < 2 else (0, "stall")
        body = in_pieces(site, budget, asker=Asker(Urgency.AHEAD))
        await settle()
        assert len({wanted.first for wanted in site.asked}) == 8
        body.close()

    if sys.version_info >= (3, 12):  # which has them, and mitmproxy 12 uses them

        @pytest.mark.parametrize("is_begun", [True, False])
        async def test_come_in_order_where_tasks_begin_at_once(
            self, site: Site, budget: Budget, is_begun: bool
        ) -> None:
            """As in mitmproxy 12; what is begun may be here as a whole, or nobody can be asked."""
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            first = CONTENT[:FIRST_PIECE]
            begun = Begun(MemoryBody(first), len(first) - 1) if is_begun else None
            source = Source(site) if is_begun else Unwilling(site)
            body = Pieces(
                source, Part(0, LAST, begun), Asker(Urgency.ASKED), EIGHT, budget, TransferLimits()
            )
            assert await read_all(body) == CONTENT

    async def test_a_slip_of_the_mirrors_own_leaves_no_gap(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (1000, "slip") if number == 1 else (None, "")
        body = in_pieces(site, budget)
        got = bytearray()

        async def read_on() -> None:
            while chunk := await body.read():
                got.extend(chunk)

        with pytest.raises(BrokenTransfer, match="RuntimeError"):
            await read_on()
        assert CONTENT.startswith(got)
        body.close()

    async def test_one_that_sends_more_than_its_part_is_cut(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda _: (None, "more")
        assert await read_all(in_pieces(site, budget)) == CONTENT

    async def test_one_that_lags_is_asked_for_again_though_others_go_on(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (1000, "stall") if number == 0 else (None, "")
        body = in_pieces(site, budget, limits=TransferLimits(lag_seconds=0.02))
        assert await read_all(body) == CONTENT
        # Its rest, or half of it where another has taken over the other half.
        assert 1000 in [wanted.first for wanted in site.asked[1:]]
        assert left(site, budget) == (0, 0, 0)

    async def test_the_lag_is_that_of_the_piece_that_is_waited_for(
        self, site: Site, budget: Budget
    ) -> None:
        """Others that trickle must not put it off for ever."""
        site.fault = lambda number: (0, "stall") if number == 0 else (None, "")
        body = in_pieces(site, budget, limits=TransferLimits(lag_seconds=0.05))

        async def trickle() -> None:
            while True:
                await asyncio.sleep(0.005)
                body._changed.set()

        trickling = asyncio.get_running_loop().create_task(trickle())
        async with asyncio.timeout(5):
            assert await read_all(body) == CONTENT
        trickling.cancel()

    @pytest.mark.parametrize("after", [0, 3], ids=["at once", "after some pieces"])
    async def test_ask_a_host_that_has_died_few_times(
        self, site: Site, budget: Budget, after: int
    ) -> None:
        """One at a time tries on, not each as often as one alone would."""
        site.fault = lambda number: (None, "") if number < after else (0, "reset")
        body = in_pieces(site, budget)
        with pytest.raises(BrokenTransfer, match="given up"):
            await read_all(body)
        body.close()
        # Eight, as many beside them, each once more at once; and then those of one.
        assert len(site.asked) <= after + 4 * 8 + TransferLimits().tries
        assert left(site, budget) == (0, 0, 0)

    async def test_all_go_on_once_it_lives_again(self, site: Site, budget: Budget) -> None:
        site.fault = lambda number: (0, "reset") if 2 < number < 24 else (None, "")
        assert await read_all(in_pieces(site, budget)) == CONTENT
        assert left(site, budget) == (0, 0, 0)

    async def test_wait_for_lanes_without_a_failure(self, budget: Budget) -> None:
        site = Site(lanes=1)
        assert await read_all(in_pieces(site, budget)) == CONTENT
        assert left(site, budget) == (0, 0, 0)


class TestSharing:
    """A connection that has become free takes over from the slowest piece."""

    async def test_a_blob_comes_whole_whoever_fetches_what_of_it(
        self, site: Site, budget: Budget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream_module, "WORTH_SHARING", 0)
        # The first piece breaks off late: the others have ended by then.
        site.fault = lambda number: (CHUNK, "wait") if number == 0 else (None, "")
        body = in_pieces(site, budget, spread=Spread(8, 2 * len(CONTENT)))
        await settle()
        first = site.asked[0]
        assert first.last is not None
        assert [w for w in site.asked[1:] if w.first <= first.last]
        site.go_on.set()
        assert await read_all(body) == CONTENT
        assert left(site, budget) == (0, 0, 0)

    async def test_what_others_have_left_free_is_used(
        self, site: Site, budget: Budget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream_module, "WORTH_SHARING", 0)
        site.fault = lambda number: (CHUNK, "wait") if number == 0 else (None, "")
        body = in_pieces(site, budget, spread=Spread(2, len(CONTENT)), most=lambda: 6)
        await settle()
        first = site.asked[0]
        assert first.last is not None
        assert len([w for w in site.asked if w.first <= first.last]) > 2
        site.go_on.set()
        assert await read_all(body) == CONTENT
        assert left(site, budget) == (0, 0, 0)

    async def test_a_lane_is_not_idle_because_the_first_piece_is_slow(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (CHUNK, "wait") if number == 0 else (None, "")
        body = in_pieces(site, budget, spread=Spread(8, 2 * len(CONTENT)))
        await settle()
        assert max(wanted.last or 0 for wanted in site.asked) == LAST
        body.close()


class TestHolding:
    @pytest.mark.parametrize("limit", [FIRST_PIECE, 4 * FIRST_PIECE, 10 * FIRST_PIECE])
    async def test_a_client_that_reads_nothing_holds_no_more_than_its_share(
        self, site: Site, limit: int
    ) -> None:
        budget = Budget(limit)
        body = in_pieces(site, budget)
        await settle()
        assert 0 < site.sent <= limit
        body.close()

    @pytest.mark.parametrize("limit", [FIRST_PIECE, 4 * FIRST_PIECE])
    async def test_nor_one_that_reads_slowly(self, site: Site, limit: int) -> None:
        budget = Budget(limit)
        body = in_pieces(site, budget)
        await settle()
        given = 0
        while chunk := await body.read():
            given += len(chunk)
            await settle(50)
            assert site.sent - given <= limit + CHUNK
        assert given == len(CONTENT)

    async def test_many_share_what_there_is(self) -> None:
        budget = Budget(20 * FIRST_PIECE)
        sites = [Site() for _ in range(10)]
        bodies = [in_pieces(site, budget) for site in sites]
        # Those that began first took more; what they begin from now on is their part.
        given = [0] * len(bodies)
        for _ in range(40):
            for number, body in enumerate(bodies):
                given[number] += len(await body.read())
                await settle(20)
        held = [site.sent - count for site, count in zip(sites, given, strict=True)]
        assert max(held) <= 3 * FIRST_PIECE
        assert budget.held <= 20 * FIRST_PIECE
        for body in bodies:
            body.close()
        assert budget.held == 0

    @pytest.mark.parametrize("urgency", [Urgency.ASKED, Urgency.AHEAD])
    async def test_many_that_begin_one_after_the_other_hold_no_more_than_the_budget(
        self, urgency: Urgency
    ) -> None:
        limit, count = 20 * FIRST_PIECE, 50
        budget = Budget(limit)
        sites, bodies = [Site() for _ in range(count)], list[Pieces]()
        for site in sites:
            bodies.append(in_pieces(site, budget, asker=Asker(urgency)))
            await settle(20)
        asked = [sum((w.last or 0) + 1 - w.first for w in site.asked) for site in sites]
        # Where nothing is left, each has one piece beyond it, so that it goes on.
        assert min(asked) == FIRST_PIECE
        beyond = sum(each for each in asked if each == FIRST_PIECE)
        assert sum(asked) <= limit + beyond
        for body in bodies:
            body.close()

    async def test_with_no_budget_at_all_each_goes_on_piece_by_piece(self, site: Site) -> None:
        budget = Budget(0)
        assert await read_all(in_pieces(site, budget)) == CONTENT
        assert {(w.last or 0) + 1 - w.first for w in site.asked[:-1]} == {FIRST_PIECE}

    async def test_what_is_begun_ahead_leaves_some_to_who_comes(self, site: Site) -> None:
        budget = Budget(64 * FIRST_PIECE)
        sites = [Site() for _ in range(8)]
        ahead = [in_pieces(each, budget, asker=Asker(Urgency.AHEAD)) for each in sites]
        await settle()
        assert sum(each.sent for each in sites) <= (48 + 8) * FIRST_PIECE
        body = in_pieces(site, budget)
        await settle()
        assert site.sent >= 5 * FIRST_PIECE
        for each in (*ahead, body):
            each.close()

    async def test_one_blob_holds_no_more_than_the_owner_says(self, site: Site) -> None:
        budget, most = Budget(1000 * FIRST_PIECE), 3 * FIRST_PIECE
        body = in_pieces(site, budget, limits=TransferLimits(window=most))
        given = 0
        while chunk := await body.read():
            given += len(chunk)
            await settle(20)
            assert site.sent - given <= most
        assert given == len(CONTENT)

    async def test_what_is_begun_ahead_stays_within_its_window(
        self, site: Site, budget: Budget
    ) -> None:
        asker, spread = Asker(Urgency.AHEAD), Spread(8, 2 * FIRST_PIECE)
        body = in_pieces(site, budget, asker=asker, spread=spread)
        await settle()
        assert site.sent == spread.window
        assert set(site.urgencies) == {Urgency.AHEAD}
        body.claim()
        assert await read_all(body) == CONTENT
        assert site.urgencies[-1] is Urgency.ASKED


class TestClosing:
    async def test_at_any_moment_leaves_nothing(self, budget: Budget) -> None:
        for turns in range(0, 60, 3):
            site = Site(lanes=3)
            body = in_pieces(site, budget)
            reader = asyncio.get_running_loop().create_task(read_all(body))
            await settle(turns)
            reader.cancel()
            body.close()
            body.close()
            await settle()
            assert left(site, budget) == (0, 0, 0), turns
            # Every lane is free again.
            for _ in range(3):
                async with asyncio.timeout(1):
                    await site.lanes.enter(Asker(Urgency.ASKED))

    async def test_is_no_clean_end(self, site: Site, budget: Budget) -> None:
        body = in_pieces(site, budget)
        await body.read()
        body.close()
        with pytest.raises(BrokenTransfer):
            await body.read()

    async def test_a_reader_that_is_cancelled_may_read_on(self, site: Site, budget: Budget) -> None:
        site.fault = lambda number: (0, "stall") if number == 0 else (None, "")
        body = in_pieces(site, budget)
        reader = asyncio.get_running_loop().create_task(body.read())
        await settle()
        reader.cancel()
        await settle()
        site.open[0].close()
        assert await read_all(body) == CONTENT
        assert left(site, budget) == (0, 0, 0)
