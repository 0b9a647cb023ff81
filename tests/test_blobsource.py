"""Where a blob's parts are asked for, with a fake Hub whose CDN is far."""

from __future__ import annotations

import asyncio
import gc
from typing import cast

import pytest

from addon.blobsource import BlobKey, BlobSource, Ways
from addon.errors import UpstreamFailure, failure
from addon.headers import Fields
from addon.outbound import Outbound
from addon.ranges import Wanted
from addon.received import Answer
from addon.redirects import Redirects
from addon.registry import parse_registry
from addon.transfer import TransferLimits
from addon.urgency import Asker, Urgency
from tests.clock import Clock
from tests.outbounds import answer, closings, redirect
from tests.upstreams import HostsAt, settle

REGISTRY = parse_registry("", official="library")
KEY = BlobKey("", "library/a", "sha256:" + "0" * 64)
URL = f"{REGISTRY.url}/v2/library/a/blobs/{KEY.digest}"
CDN = "https://cdn.example/data"
TOTAL = 100
SHORTEST, LONGEST = 3.0, 30.0
PART = Wanted(0, 9)


class Anybody:
    """Shows nothing, and has nothing new."""

    fields: Fields = ()

    async def renew(self) -> bool:
        return False

    def hear(self, status: int) -> None:
        pass


class Cdn:
    """Stands for the outbound client; notes what each request may take."""

    max_redirects = 5

    def __init__(self, *, far: bool = True, token: str = "") -> None:
        self.token = token
        self.asked: list[str] = []
        self.shown: list[str] = []
        self.answers: list[Answer] = []
        self.hosts = HostsAt(far)
        self.within: list[float | None] = []
        self.failures: list[UpstreamFailure] = []

    async def request(
        self,
        method: str,
        url: str,
        fields: Fields,
        *,
        redirected: bool = False,
        answer_within: float | None = None,
    ) -> Answer:
        self.asked.append(url)
        if url == URL:
            self.shown += [value for _, value in fields]
            is_let_in = not self.token or self.shown[-1:] == [self.token]
            self.answers.append(redirect(CDN) if is_let_in else answer(401))
            return self.answers[-1]
        assert url == CDN
        self.within.append(answer_within)
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        wanted = dict(fields).get("Range", f"bytes=0-{TOTAL - 1}").removeprefix("bytes=")
        first, last = (int(each) for each in wanted.split("-"))
        said = ("Content-Range", f"bytes {first}-{last}/{TOTAL}")
        return answer(206, said, content=bytes(last + 1 - first))

    @property
    def destinations(self) -> Cdn:
        return self

    def note(self, registry: str, url: str) -> None:
        assert (registry, url) == (REGISTRY.url, CDN)


def ways_to(cdn: Cdn) -> Ways:
    redirects = Redirects(10, Clock())
    redirects.keep(KEY, "GET", CDN)
    return Ways(cast("Outbound", cdn), redirects, 2, TransferLimits())


def source_at(cdn: Cdn) -> BlobSource:
    source = BlobSource(ways_to(cdn), REGISTRY, KEY, URL, [], Anybody())
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
    async def test_of_a_host_are_the_same_while_somebody_holds_one(self) -> None:
        ways = ways_to(Cdn())
        lanes = ways.lanes("cdn.example")
        assert ways.lanes("cdn.example") is lanes
        assert ways.lanes("other.example") is not lanes

    async def test_of_a_host_that_nobody_uses_are_forgotten(self) -> None:
        ways = ways_to(Cdn())
        for number in range(10):
            await ways.lanes(f"{number}.example").enter(Asker(Urgency.ASKED))
        gc.collect()
        assert len(ways._lanes) == 0

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
        ways = ways_to(cdn)
        ways.redirects.forget(KEY, "GET")
        source = BlobSource(ways, REGISTRY, KEY, URL, [], Anybody())
        lanes = ways.lanes("registry-1.docker.io")
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
        ways = ways_to(cdn)
        ways.redirects.forget(KEY, "GET")
        source = BlobSource(ways, REGISTRY, KEY, URL, [], Anybody())
        lanes = ways.lanes("registry-1.docker.io")
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


class Member:
    """Shows one token after the other."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)
        self.heard: list[int] = []

    @property
    def fields(self) -> Fields:
        return [("Authorization", self._tokens[0])]

    async def renew(self) -> bool:
        if len(self._tokens) > 1:
            del self._tokens[0]
            return True
        return False

    def hear(self, status: int) -> None:
        self.heard.append(status)


class TestCredentials:
    @pytest.mark.parametrize(
        ("tokens", "shown", "heard"),
        [
            pytest.param(["good"], ["good"], [307], id="one that is taken"),
            pytest.param(["old", "good"], ["old", "good"], [307], id="a new one once it is not"),
            pytest.param(["old"], ["old"], [401], id="there is no new one"),
            pytest.param(["old", "older", "good"], ["old", "older"], [401], id="once, not again"),
        ],
    )
    async def test_are_renewed_where_the_registry_takes_them_no_longer(
        self, tokens: list[str], shown: list[str], heard: list[int]
    ) -> None:
        cdn, member = Cdn(token="good"), Member(*tokens)
        ways = ways_to(cdn)
        ways.redirects.forget(KEY, "GET")
        source = BlobSource(ways, REGISTRY, KEY, URL, [], member)
        await source.locate()
        assert (cdn.shown, member.heard) == (shown, heard)
        assert closings(cdn.answers) == [1] * len(shown)
