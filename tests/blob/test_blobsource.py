"""Where a blob's parts are asked for, with a fake Hub whose CDN is far."""

from __future__ import annotations

import asyncio

import pytest

from addon.blob.blobsource import BlobSource
from addon.blob.urgency import Asker, Urgency
from addon.protocol.errors import UpstreamFailure, failure
from addon.protocol.ranges import Wanted
from tests.cdn import CDN, TOTAL, URL, Cdn, registry_blob, ways_to
from tests.outbounds import answer
from tests.upstreams import settle

SHORTEST, LONGEST = 3.0, 30.0
PART = Wanted(0, 9)


def source_at(cdn: Cdn) -> BlobSource:
    source = BlobSource(ways_to(cdn), registry_blob())
    source.note(answer(206), TOTAL)
    return source


def slow() -> UpstreamFailure:
    return failure("cdn.example", "time-out", timed_out=True)


class TestPatience:
    async def test_a_part_from_afar_that_does_not_come_is_given_up_sooner_than_a_stall(
        self,
    ) -> None:
        cdn = Cdn()
        await source_at(cdn).open(PART, Asker(Urgency.ASKED))
        assert cdn.within == [SHORTEST]

    async def test_it_grows_with_each_answer_that_does_not_come(self) -> None:
        cdn = Cdn()
        cdn.failures = [slow() for _ in range(5)]
        source = source_at(cdn)
        for _ in range(5):
            with pytest.raises(UpstreamFailure):
                await source.open(PART, Asker(Urgency.ASKED))
        await source.open(PART, Asker(Urgency.ASKED))
        await source.open(PART, Asker(Urgency.ASKED))
        assert cdn.within == [3.0, 6.0, 12.0, 24.0, LONGEST, LONGEST, LONGEST / 2]

    async def test_another_failure_says_nothing_of_it(self) -> None:
        cdn = Cdn()
        cdn.failures = [failure("cdn.example", "refused")]
        source = source_at(cdn)
        with pytest.raises(UpstreamFailure):
            await source.open(PART, Asker(Urgency.ASKED))
        await source.open(PART, Asker(Urgency.ASKED))
        assert cdn.within == [SHORTEST, SHORTEST]

    @pytest.mark.parametrize(
        ("far", "wanted"),
        [
            pytest.param(False, PART, id="a host that is near"),
            pytest.param(True, Wanted(0), id="all to the end"),
            pytest.param(True, None, id="the whole"),
        ],
    )
    async def test_all_else_has_the_time_that_the_owner_gives(
        self, far: bool, wanted: Wanted | None
    ) -> None:
        cdn = Cdn(far=far)
        cdn.failures = [slow()]
        with pytest.raises(UpstreamFailure):
            await source_at(cdn).ask("GET", wanted, Asker(Urgency.ASKED))
        assert cdn.within == [None]


class TestLanes:
    async def test_a_part_holds_one_until_it_is_closed(self) -> None:
        cdn = Cdn()
        source = source_at(cdn)
        bodies = [await source.open(PART, Asker(Urgency.ASKED)) for _ in range(2)]
        third = asyncio.get_running_loop().create_task(source.open(PART, Asker(Urgency.ASKED)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not third.done()
        bodies[0].close()
        (await third).close()
        bodies[1].close()

    async def test_a_stream_that_a_client_has_come_for_holds_none(self) -> None:
        source = source_at(Cdn())
        ahead = [Asker(Urgency.AHEAD) for _ in range(3)]
        bodies = [await source.open(PART, each) for each in ahead[:2]]
        third = asyncio.get_running_loop().create_task(source.open(PART, ahead[2]))
        ahead[0].claim_now()
        bodies.append(await asyncio.wait_for(third, 1))
        for body in bodies:
            body.close()
        # Each place was given back once: there are two again, and no more.
        for _ in range(2):
            bodies.append(await source.open(PART, Asker(Urgency.ASKED)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.open(PART, Asker(Urgency.ASKED)), 0.05)

    async def test_what_is_claimed_while_it_waits_for_one_goes_on_at_once(self) -> None:
        source = source_at(Cdn())
        bodies = [await source.open(PART, Asker(Urgency.AHEAD)) for _ in range(2)]
        asker = Asker(Urgency.AHEAD)
        source.expect(0, TOTAL)
        waiting = asyncio.get_running_loop().create_task(source.open(PART, asker))
        await settle()
        assert not waiting.done()
        asker.claim()
        bodies.append(await asyncio.wait_for(waiting, 1))
        for body in bodies:
            body.close()

    async def test_a_client_does_not_wait_for_a_place_of_who_asks_ahead_for_the_same(self) -> None:
        """Both wait for one redirect, and the one that asks for it has begun ahead."""
        cdn = Cdn()
        ways = ways_to(cdn, is_known=False)
        source = BlobSource(ways, registry_blob())
        lanes = ways.lanes.of("registry-1.docker.io")
        places = [await lanes.enter(Asker(Urgency.AHEAD)) for _ in range(2)]
        loop = asyncio.get_running_loop()
        ahead = loop.create_task(source.locate(Asker(Urgency.AHEAD)))
        await settle()
        assert not cdn.asked
        client = loop.create_task(source.ask("GET", None))
        answer = await asyncio.wait_for(client, 1)
        answer.body.close()
        assert cdn.asked == [URL, CDN]
        assert await ahead == 307
        assert all(places)

    async def test_nor_does_one_that_claims_what_has_joined_it(self) -> None:
        cdn = Cdn()
        ways = ways_to(cdn, is_known=False)
        source = BlobSource(ways, registry_blob())
        lanes = ways.lanes.of("registry-1.docker.io")
        places = [await lanes.enter(Asker(Urgency.AHEAD)) for _ in range(2)]
        loop = asyncio.get_running_loop()
        ahead = loop.create_task(source.locate(Asker(Urgency.AHEAD)))
        begun = Asker(Urgency.AHEAD)
        joins = loop.create_task(source.ask("GET", PART, begun.first))
        await settle()
        assert not cdn.asked
        begun.claim()
        (await asyncio.wait_for(joins, 1)).body.close()
        assert await ahead == 307
        assert all(places)
