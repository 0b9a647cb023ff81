from __future__ import annotations

import asyncio

import pytest

from addon.blob import failures, stream as stream_module
from addon.blob.budget import Budget
from addon.blob.stream import Stream
from addon.blob.transfer import Begun, NoParts, Part, TransferLimits
from addon.blob.urgency import Asker, Urgency
from addon.protocol.errors import failure
from addon.protocol.ranges import Wanted
from addon.protocol.reply import BrokenTransfer
from tests.clock import Clock
from tests.parts import BREAKS, CHUNK, CONTENT, LAST, WHOLE, Site, Source, left, read_all, settle

MAX_FAILURES = 6


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.0)


@pytest.fixture
def site() -> Site:
    return Site()


def stream(site: Site, part: Part = WHOLE) -> Stream:
    return Stream(Source(site), part, Asker(Urgency.ASKED), TransferLimits())


class TestStream:
    @pytest.mark.parametrize(("first", "last"), [(0, LAST), (5, 5), (777, 99999), (LAST, LAST)])
    async def test_gives_what_was_asked_for(self, site: Site, first: int, last: int) -> None:
        body = stream(site, Part(first, last))
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
        assert await read_all(stream(site, Part(10, 99_999))) == CONTENT[10:100_000]

    async def test_begins_with_what_is_open_already(self, site: Site) -> None:
        begun = Begun(await site.open_at(0, 9999), 9999)
        assert await read_all(stream(site, Part(0, LAST, begun))) == CONTENT
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
        body = Stream(Source(site), WHOLE, Asker(Urgency.ASKED), limits)
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
        monkeypatch.setattr(failures, "FIRST_PAUSE", 1.0)
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


class TestSharing:
    """What the slowest piece has left is shared with a connection that has become free."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr(stream_module, "monotonic", clock)
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
