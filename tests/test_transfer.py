from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from addon import transfer
from addon.budget import Budget
from addon.errors import failure
from addon.lanes import Lanes
from addon.ranges import Wanted
from addon.reply import Body, BrokenTransfer
from addon.transfer import (
    FIRST_PIECE,
    Begun,
    NoParts,
    OneStream,
    Pieces,
    Stream,
    TransferLimits,
)
from addon.urgency import Asker, Urgency
from tests.clock import Clock

CHUNK = 64 * 1024
CONTENT = random.Random(7).randbytes(40 * FIRST_PIECE + 12345)
LAST = len(CONTENT) - 1
MAX_FAILURES = 6


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.0)


class Connection:
    """A body on a lane; may break off, end, stall or send more than it was asked for."""

    def __init__(self, site: Site, first: int, last: int, after: int | None, how: str) -> None:
        self._site, self._at, self._last, self._how = site, first, last, how
        self._left = after
        self._cut = asyncio.Event()
        self.is_open = True

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if not self.is_open:
            raise BrokenTransfer("closed")
        if self._left == 0:
            if self._how == "stall":
                await self._cut.wait()
                raise BrokenTransfer("cut")
            if self._how == "wait":
                await self._site.go_on.wait()
                self._left = None
                return await self.read()
            if self._how == "end":
                return b""
            raise BrokenTransfer("reset") if self._how == "reset" else RuntimeError("a slip")
        more = 100 if self._how == "more" else 0
        size = CHUNK if self._left is None else min(CHUNK, self._left)
        chunk = self._site.content[self._at : min(self._at + size, self._last + 1 + more)]
        self._at += len(chunk)
        self._site.sent += len(chunk)
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._cut.set()
            self._site.open.remove(self)
            self._site.lanes.leave()


class Site:
    """Where the bytes are. `faults` says for each request after how many bytes what happens."""

    def __init__(self, content: bytes = CONTENT, lanes: int = 100) -> None:
        self.content = content
        self.lanes = Lanes(lanes)
        self.asked: list[Wanted] = []
        self.urgencies: list[Urgency] = []
        self.open_errors: list[Exception] = []
        self.open: list[Connection] = []
        self.sent = 0
        self.go_on = asyncio.Event()
        self.fault: Callable[[int], tuple[int | None, str]] = lambda _: (None, "")

    async def open_at(self, first: int, last: int, number: int = -1) -> Connection:
        await self.lanes.enter(Asker(Urgency.ASKED))
        after, how = self.fault(number)
        connection = Connection(self, first, last, after, how)
        self.open.append(connection)
        return connection

    async def open_(self, wanted: Wanted, asker: Asker) -> Body:
        number = len(self.asked)
        self.asked.append(wanted)
        self.urgencies.append(asker.urgency)
        await asyncio.sleep(0)
        if self.open_errors:
            raise self.open_errors.pop(0)
        assert wanted.last is not None
        return await self.open_at(wanted.first, wanted.last, number)


class Source:
    """The same as a source of parts."""

    # So long that nothing is worth sharing, but where a test says so.
    round_trip = 1000.0

    def __init__(self, site: Site) -> None:
        self._site = site

    async def open(self, wanted: Wanted, asker: Asker) -> Body:
        return await self._site.open_(wanted, asker)


async def settle(turns: int = 200) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def read_all(body: Stream | Pieces | OneStream) -> bytes:
    content = bytearray()
    while chunk := await body.read():
        content += chunk
    return bytes(content)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def budget() -> Budget:
    return Budget(64 * 1024 * 1024)


def left(site: Site, budget: Budget) -> tuple[int, int, int]:
    """Connections, transfers and tasks that are left."""
    assert budget.running or budget.held == 0
    return len(site.open), budget.running, len(asyncio.all_tasks()) - 1


def stream(site: Site, first: int = 0, last: int = LAST, begun: Begun | None = None) -> Stream:
    return Stream(Source(site), first, last, begun, Asker(Urgency.ASKED))


def pieces(
    site: Site, budget: Budget, first: int = 0, last: int = LAST, begun: Begun | None = None
) -> Pieces:
    return Pieces(Source(site), first, last, begun, 8, budget, Asker(Urgency.ASKED))


BREAKS = [
    pytest.param(0, "reset", id="reset at once"),
    pytest.param(1, "reset", id="reset after a byte"),
    pytest.param(CHUNK - 1, "reset", id="reset before a chunk's end"),
    pytest.param(CHUNK, "reset", id="reset at a chunk's end"),
    pytest.param(FIRST_PIECE - 1, "reset", id="reset before a piece's last byte"),
    pytest.param(0, "end", id="an empty body"),
    pytest.param(777, "end", id="a body that ends too early"),
]


class TestStream:
    @pytest.mark.parametrize(("first", "last"), [(0, LAST), (5, 5), (777, 99999), (LAST, LAST)])
    async def test_gives_what_was_asked_for(self, site: Site, first: int, last: int) -> None:
        body = stream(site, first, last)
        assert await read_all(body) == CONTENT[first : last + 1]
        assert await body.read() == b""
        assert site.asked == [Wanted(first, last)]
        assert not site.open

    @pytest.mark.parametrize(("after", "how"), BREAKS)
    async def test_goes_on_at_the_byte_where_it_broke_off(
        self, site: Site, after: int, how: str
    ) -> None:
        site.fault = lambda number: (after, how) if number == 0 else (None, "")
        assert await read_all(stream(site)) == CONTENT
        assert site.asked == [Wanted(0, LAST), Wanted(after, LAST)]
        assert not site.open

    async def test_goes_on_as_long_as_bytes_come_between_breaks(self, site: Site) -> None:
        site.fault = lambda _: (100_000, "reset")
        assert await read_all(stream(site)) == CONTENT
        assert len(site.asked) > 5 * MAX_FAILURES

    async def test_gives_up_after_failures_without_a_byte_between_them(self, site: Site) -> None:
        site.fault = lambda number: (1000, "reset") if number == 0 else (0, "reset")
        body = stream(site)
        assert await body.read() == CONTENT[:1000]
        with pytest.raises(BrokenTransfer, match="given up"):
            await body.read()
        assert len(site.asked) == 1 + MAX_FAILURES
        assert not site.open

    async def test_asks_again_where_an_upstream_cannot_be_asked(self, site: Site) -> None:
        site.open_errors = [failure("cdn", "it answered 503 to a part of a blob"), OSError("x")]
        assert await read_all(stream(site)) == CONTENT

    async def test_does_not_ask_again_for_parts_where_there_are_none(self, site: Site) -> None:
        site.open_errors = [NoParts("it answered 200")]
        with pytest.raises(NoParts):
            await stream(site).read()
        assert len(site.asked) == 1

    async def test_takes_no_more_than_was_asked_for(self, site: Site) -> None:
        site.fault = lambda _: (None, "more")
        assert await read_all(stream(site, 10, 99_999)) == CONTENT[10:100_000]

    async def test_begins_with_what_is_open_already(self, site: Site) -> None:
        begun = Begun(await site.open_at(0, 9999), 9999)
        assert await read_all(stream(site, begun=begun)) == CONTENT
        assert site.asked == [Wanted(10_000, LAST)]

    async def test_interrupted_goes_on_over_another_connection(self, site: Site) -> None:
        site.fault = lambda number: (1000, "stall") if number == 0 else (None, "")
        body = stream(site)
        await body.read()
        reader = asyncio.get_running_loop().create_task(read_all(body))
        await settle()
        assert not reader.done()
        body.interrupt()
        assert await reader == CONTENT[1000:]

    @pytest.mark.parametrize("tries", [0, 2])
    async def test_gives_up_after_as_many_failures_as_the_owner_says(
        self, site: Site, tries: int
    ) -> None:
        site.fault = lambda _: (0, "reset")
        limits = TransferLimits(tries=tries)
        body = Stream(Source(site), 0, LAST, None, Asker(Urgency.ASKED), limits=limits)
        with pytest.raises(BrokenTransfer, match=f"given up after {tries} tries"):
            await body.read()
        assert len(site.asked) == 1 + tries

    @pytest.mark.parametrize("turns", range(1, 8))
    async def test_that_is_closed_asks_for_nothing_more(self, site: Site, turns: int) -> None:
        site.fault = lambda _: (1000, "stall")
        body = stream(site)
        reader = asyncio.get_running_loop().create_task(read_all(body))
        await settle(turns)
        body.close()
        with pytest.raises(BrokenTransfer, match="closed before its end"):
            await reader
        assert len(site.asked) == 1
        assert not site.open
        with pytest.raises(BrokenTransfer, match="closed before its end"):
            await body.read()

    async def test_that_is_closed_while_it_pauses_asks_for_nothing_more(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transfer, "FIRST_PAUSE", 1.0)
        site.fault = lambda _: (0, "reset")
        body = stream(site)
        given_up: list[float] = []
        sleep = asyncio.sleep

        async def close(seconds: float) -> None:
            if seconds:
                given_up.append(seconds)
                body.close()
            await sleep(0)

        monkeypatch.setattr(asyncio, "sleep", close)
        with pytest.raises(BrokenTransfer, match="closed before its end"):
            await read_all(body)
        assert (len(site.asked), given_up) == (2, [1.0])

    async def test_may_be_interrupted_and_closed_when_nothing_is_open(self, site: Site) -> None:
        body = stream(site)
        body.interrupt()
        body.close()
        body.close()
        assert left(site, Budget(1)) == (0, 0, 0)


class TestOneStream:
    async def test_is_counted_while_it_is_open(self, site: Site, budget: Budget) -> None:
        body = OneStream(stream(site), budget, Asker(Urgency.NOW))
        assert budget.running == 1
        await body.read()
        for _ in range(2):
            body.close()
        assert left(site, budget) == (0, 0, 0)

    async def test_closed_is_no_clean_end_and_asks_nobody(self, site: Site, budget: Budget) -> None:
        body = OneStream(stream(site), budget, Asker(Urgency.NOW))
        await body.read()
        body.close()
        with pytest.raises(BrokenTransfer):
            await body.read()
        assert len(site.asked) == 1

    async def test_claimed_is_urgent(self, site: Site, budget: Budget) -> None:
        asker = Asker(Urgency.AHEAD)
        body = OneStream(Stream(Source(site), 0, LAST, None, asker), budget, asker)
        body.claim()
        await body.read()
        assert site.urgencies == [Urgency.NOW]
        body.close()


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
        body = pieces(site, budget, first, last)
        assert await read_all(body) == CONTENT[first : last + 1]
        assert await body.read() == b""
        covered = sorted((w.first, w.last) for w in site.asked)
        ends = [first, *(end + 1 for _, end in covered if end is not None)]
        assert [begin for begin, _ in covered] == ends[:-1]
        assert left(site, budget) == (0, 0, 0)

    async def test_are_fetched_side_by_side_and_few(self, site: Site, budget: Budget) -> None:
        body = pieces(site, budget)
        await settle(3)
        assert len(site.open) == 8
        await read_all(body)
        assert len(site.asked) <= 21

    async def test_begin_with_what_is_open_already(self, site: Site, budget: Budget) -> None:
        begun = Begun(await site.open_at(0, FIRST_PIECE - 1), FIRST_PIECE - 1)
        assert await read_all(pieces(site, budget, begun=begun)) == CONTENT
        assert min(wanted.first for wanted in site.asked) == FIRST_PIECE

    @pytest.mark.parametrize(("after", "how"), BREAKS)
    @pytest.mark.parametrize("which", [0, 1, 7, 12])
    async def test_survive_one_that_breaks(
        self, site: Site, budget: Budget, which: int, after: int, how: str
    ) -> None:
        site.fault = lambda number: (after, how) if number == which else (None, "")
        assert await read_all(pieces(site, budget)) == CONTENT
        assert left(site, budget) == (0, 0, 0)

    async def test_survive_that_all_break_again_and_again(self, site: Site, budget: Budget) -> None:
        chance = random.Random(3)
        site.fault = lambda _: (chance.choice([0, 1, 50_000, 100_000]), "reset")
        assert await read_all(pieces(site, budget)) == CONTENT

    @pytest.mark.parametrize("size", [1, 7, FIRST_PIECE, FIRST_PIECE + 1])
    async def test_a_break_at_any_byte_is_survived(self, budget: Budget, size: int) -> None:
        content = CONTENT[:size]
        for after in {0, 1, size // 2, size - 1}:
            site = Site(content)
            site.fault = lambda number, after=after: (  # type: ignore[misc]
                (after, "reset") if number == 0 else (None, "")
            )
            assert await read_all(pieces(site, budget, 0, size - 1)) == content

    async def test_give_what_came_and_then_say_that_the_rest_cannot_be_had(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (0, "reset") if site.asked[number].first else (None, "")
        body = pieces(site, budget)
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
        body = pieces(site, budget)
        await settle()
        # Eight, two of which are asked for again, and two beside them; then all stall.
        assert len(site.asked) == 12
        assert len({wanted.first for wanted in site.asked}) == 10
        body.close()

    async def test_no_others_are_begun_for_what_nobody_has_asked_for_yet(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (0, "reset") if number < 2 else (0, "stall")
        body = Pieces(Source(site), 0, LAST, None, 8, budget, Asker(Urgency.AHEAD))
        await settle()
        assert len({wanted.first for wanted in site.asked}) == 8
        body.close()

    async def test_a_slip_of_the_mirrors_own_leaves_no_gap(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (1000, "slip") if number == 1 else (None, "")
        body = pieces(site, budget)
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
        assert await read_all(pieces(site, budget)) == CONTENT

    async def test_one_that_lags_is_asked_for_again_though_others_go_on(
        self, site: Site, budget: Budget
    ) -> None:
        site.fault = lambda number: (1000, "stall") if number == 0 else (None, "")
        asker, limits = Asker(Urgency.ASKED), TransferLimits(lag_seconds=0.02)
        body = Pieces(Source(site), 0, LAST, None, 8, budget, asker, limits=limits)
        assert await read_all(body) == CONTENT
        # Its rest, or half of it where another has taken over the other half.
        assert 1000 in [wanted.first for wanted in site.asked[1:]]
        assert left(site, budget) == (0, 0, 0)

    async def test_the_lag_is_that_of_the_piece_that_is_waited_for(
        self, site: Site, budget: Budget
    ) -> None:
        """Others that trickle must not put it off for ever."""
        site.fault = lambda number: (0, "stall") if number == 0 else (None, "")
        asker, limits = Asker(Urgency.ASKED), TransferLimits(lag_seconds=0.05)
        body = Pieces(Source(site), 0, LAST, None, 8, budget, asker, limits=limits)

        async def trickle() -> None:
            while True:
                await asyncio.sleep(0.005)
                body._changed.set()

        trickling = asyncio.get_running_loop().create_task(trickle())
        async with asyncio.timeout(5):
            assert await read_all(body) == CONTENT
        trickling.cancel()

    async def test_wait_for_lanes_without_a_failure(self, budget: Budget) -> None:
        site = Site(lanes=1)
        assert await read_all(pieces(site, budget)) == CONTENT
        assert left(site, budget) == (0, 0, 0)


class TestSharing:
    """What the slowest piece has left is shared with a connection that has become free."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr(transfer, "monotonic", clock)
        return clock

    async def begun(self, site: Site, clock: Clock, chunks: int, seconds: float) -> Stream:
        """A stream that has read so many chunks in so many seconds."""
        body = stream(site)
        for _ in range(chunks):
            await body.read()
        clock.now += seconds
        return body

    async def test_both_have_done_at_the_same_time_and_no_byte_is_missing(
        self, site: Site, clock: Clock
    ) -> None:
        body = await self.begun(site, clock, 1, 1.0)
        seconds = body.seconds_left
        assert seconds == pytest.approx((len(CONTENT) - CHUNK) / CHUNK)
        shared = body.share(round_trip=0.2)
        assert shared is not None
        assert shared.last == LAST
        # The other one begins a round trip later.
        each = (seconds - 0.2) / 2
        assert body.seconds_left == pytest.approx(each + 0.2, abs=0.1)
        assert CONTENT[:CHUNK] + await read_all(body) == CONTENT[: shared.first]
        assert not site.open

    @pytest.mark.parametrize(
        ("chunks", "seconds"),
        [
            pytest.param(0, 1.0, id="nothing has come"),
            pytest.param(1, 0.001, id="it has soon done"),
            pytest.param(len(CONTENT) // CHUNK - 1, 1000.0, id="little is left"),
        ],
    )
    async def test_where_it_is_not_worth_a_request_nothing_is(
        self, site: Site, clock: Clock, chunks: int, seconds: float
    ) -> None:
        body = await self.begun(site, clock, chunks, seconds)
        assert body.share(round_trip=0.2) is None
        body.close()

    async def test_a_blob_comes_whole_whoever_fetches_what_of_it(
        self, site: Site, budget: Budget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transfer, "WORTH_SHARING", 0)
        # The first piece breaks off late: the others have ended by then.
        site.fault = lambda number: (CHUNK, "wait") if number == 0 else (None, "")
        asker = Asker(Urgency.ASKED)
        body = Pieces(Source(site), 0, LAST, None, 8, budget, asker, 2 * len(CONTENT))
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
        monkeypatch.setattr(transfer, "WORTH_SHARING", 0)
        site.fault = lambda number: (CHUNK, "wait") if number == 0 else (None, "")
        asker = Asker(Urgency.ASKED)
        room = len(CONTENT)
        body = Pieces(Source(site), 0, LAST, None, 2, budget, asker, room, lambda: 6)
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
        body = pieces(site, budget, last=LAST)
        body._window = 10 * len(CONTENT)
        body._fill()
        await settle()
        assert max(wanted.last or 0 for wanted in site.asked) == LAST
        body.close()


class TestWindow:
    @pytest.mark.parametrize("limit", [FIRST_PIECE, 4 * FIRST_PIECE, 10 * FIRST_PIECE])
    async def test_a_client_that_reads_nothing_holds_no_more_than_its_share(
        self, site: Site, limit: int
    ) -> None:
        budget = Budget(limit)
        body = pieces(site, budget)
        await settle()
        assert 0 < site.sent <= limit
        body.close()

    @pytest.mark.parametrize("limit", [FIRST_PIECE, 4 * FIRST_PIECE])
    async def test_nor_one_that_reads_slowly(self, site: Site, limit: int) -> None:
        budget = Budget(limit)
        body = pieces(site, budget)
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
        bodies = [pieces(site, budget) for site in sites]
        # Those that began first took more; what they begin from now on is their part.
        for _ in range(40):
            for body in bodies:
                await body.read()
                await settle(20)
        held = [site.sent - body._given for site, body in zip(sites, bodies, strict=True)]
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
            source = Source(site)
            bodies.append(Pieces(source, 0, LAST, None, 8, budget, Asker(urgency)))
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
        assert await read_all(pieces(site, budget)) == CONTENT
        assert {(w.last or 0) + 1 - w.first for w in site.asked[:-1]} == {FIRST_PIECE}

    async def test_what_is_begun_ahead_leaves_some_to_who_comes(self, site: Site) -> None:
        budget = Budget(64 * FIRST_PIECE)
        sites = [Site() for _ in range(8)]
        ahead = [
            Pieces(Source(each), 0, LAST, None, 8, budget, Asker(Urgency.AHEAD)) for each in sites
        ]
        await settle()
        assert sum(each.sent for each in sites) <= (48 + 8) * FIRST_PIECE
        body = pieces(site, budget)
        await settle()
        assert site.sent >= 5 * FIRST_PIECE
        for each in (*ahead, body):
            each.close()

    async def test_one_blob_holds_no_more_than_the_owner_says(self, site: Site) -> None:
        budget, most = Budget(1000 * FIRST_PIECE), 3 * FIRST_PIECE
        asker, limits = Asker(Urgency.ASKED), TransferLimits(window=most)
        body = Pieces(Source(site), 0, LAST, None, 8, budget, asker, limits=limits)
        given = 0
        while chunk := await body.read():
            given += len(chunk)
            await settle(20)
            assert site.sent - given <= most
        assert given == len(CONTENT)

    async def test_what_is_begun_ahead_stays_within_its_window(
        self, site: Site, budget: Budget
    ) -> None:
        window = 2 * FIRST_PIECE
        body = Pieces(Source(site), 0, LAST, None, 8, budget, Asker(Urgency.AHEAD), window)
        await settle()
        assert site.sent == window
        assert set(site.urgencies) == {Urgency.AHEAD}
        body.claim()
        assert await read_all(body) == CONTENT
        assert site.urgencies[-1] is Urgency.ASKED


class TestClosing:
    async def test_at_any_moment_leaves_nothing(self, budget: Budget) -> None:
        for turns in range(0, 60, 3):
            site = Site(lanes=3)
            body = pieces(site, budget)
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
        body = pieces(site, budget)
        await body.read()
        body.close()
        with pytest.raises(BrokenTransfer):
            await body.read()

    async def test_a_reader_that_is_cancelled_may_read_on(self, site: Site, budget: Budget) -> None:
        site.fault = lambda number: (0, "stall") if number == 0 else (None, "")
        body = pieces(site, budget)
        reader = asyncio.get_running_loop().create_task(body.read())
        await settle()
        reader.cancel()
        await settle()
        site.open[0].close()
        assert await read_all(body) == CONTENT
        assert left(site, budget) == (0, 0, 0)
