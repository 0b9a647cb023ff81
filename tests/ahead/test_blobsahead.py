from __future__ import annotations

import asyncio
import random

import pytest

from addon.ahead.blobsahead import BegunBlob, BlobsAhead
from addon.ahead.lookahead import AheadLimits
from addon.answering.upstreamblobs import UpstreamBlobs
from addon.blob.urgency import Asker, Urgency
from addon.blob.window import FIRST_PIECE
from addon.memory.sharing import EVERYONE, Reader
from addon.memory.upstream import Limits
from addon.protocol.descriptors import Descriptor
from tests.upstreams import MIB, Site, digest_of, read, settle

SMALL = b"0123456789" * 100
LARGE = random.Random(1).randbytes(3 * MIB + 17)
ALICE = ("Authorization", "Bearer alice")
AHEAD = AheadLimits(2, 24 * MIB, 60.0, images=10)


def a_site(limits: Limits | None = None, ahead: AheadLimits | None = None) -> Site:
    site = Site(limits or Limits(largest_blob=MIB), ahead)
    site.push("1", SMALL, LARGE, LARGE[::-1], LARGE[:-1])
    return site


def blobs_ahead(site: Site, limits: AheadLimits = AHEAD) -> BlobsAhead:
    return BlobsAhead(site.upstream, UpstreamBlobs(site.upstream), limits)


def named(content: bytes) -> Descriptor:
    return Descriptor(digest_of(content), len(content))


@pytest.mark.parametrize(
    ("size", "limits", "cost"),
    [
        pytest.param(1000, AHEAD, 1000, id="a small one, as it is kept"),
        pytest.param(2 * MIB, AHEAD, 2 * MIB, id="all of a large one"),
        pytest.param(100 * MIB, AHEAD, 12 * MIB, id="the window of a larger one"),
        pytest.param(
            100 * MIB, AheadLimits(8, MIB, 60.0, images=1), FIRST_PIECE, id="one piece at least"
        ),
    ],
)
def test_what_a_blob_costs_ahead(size: int, limits: AheadLimits, cost: int) -> None:
    site = Site(Limits(largest_blob=MIB))
    blob = Descriptor("sha256:" + "0" * 64, size)
    assert blobs_ahead(site, limits).cost(blob) == cost


class TestBegin:
    async def begin(self, site: Site, content: bytes) -> object:
        reader = Reader(EVERYONE, (await site.token())[1])
        asker = Asker(Urgency.AHEAD)
        return await blobs_ahead(site).begin(reader, "library/a", named(content), 2, asker)

    async def test_a_large_one_waits_for_its_client(self) -> None:
        site = a_site()
        begun = await self.begin(site, LARGE)
        assert isinstance(begun, BegunBlob)
        begun.close()
        await settle()
        assert (site.hub.left_open, site.upstream.blobs.budget.running) == (0, 0)

    async def test_a_small_one_is_kept(self) -> None:
        site = a_site()
        assert await self.begin(site, SMALL) is None
        await settle()
        assert (len(site.upstream.small_blobs), site.hub.left_open) == (1, 0)

    async def test_what_cannot_be_had_leaves_nothing(self) -> None:
        site = a_site()
        site.hub.instead["cdn"] = 500
        assert await self.begin(site, LARGE) is None
        await settle()
        assert site.hub.left_open == 0


async def test_where_a_blob_is_need_not_be_asked_for_what_is_kept() -> None:
    site = a_site()
    reader = Reader(EVERYONE, (await site.token())[1])
    ahead = blobs_ahead(site)
    await ahead.resolve(reader, "library/a", named(SMALL))
    assert registry(site) == 1
    await ahead.begin(reader, "library/a", named(SMALL), 2, Asker(Urgency.AHEAD))
    await settle()
    site.clock.forward(10_000)  # where it was is forgotten
    await ahead.resolve(reader, "library/a", named(SMALL))
    assert registry(site) == 1


def registry(site: Site) -> int:
    return site.hub.count("registry", "GET", "/blobs/")


class TestPulls:
    """What a client is given of it."""

    async def test_what_was_begun_is_given_and_the_next_begun(self) -> None:
        site = a_site(ahead=AHEAD)
        token = await site.token()
        await site.pull(token)
        await settle()
        # The small one and two of the large ones.
        assert site.hub.count("cdn") == 3
        for content in (SMALL, LARGE, LARGE[::-1], LARGE[:-1]):
            assert await read(await site.blob(content, token)) == content
        assert registry(site) == 4
        assert site.hub.count("cdn") == 4
        site.fetcher.close()
        await settle()
        assert site.hub.left_open == 0

    @pytest.mark.parametrize("far", [False, True])
    async def test_what_nobody_claims_leaves_nothing(self, far: bool) -> None:
        site = a_site(ahead=AheadLimits(2, 24 * MIB, 0.0, images=10))
        site.hub.far = far
        await site.pull(await site.token())
        await settle()
        await asyncio.sleep(0.01)
        await settle()
        assert (len(site.fetcher._blobs.ahead), site.hub.left_open) == (0, 0)
        assert site.upstream.blobs.budget.running == 0

    async def test_redirects_of_the_others_are_resolved(self) -> None:
        site = a_site(ahead=AHEAD)
        await site.pull(await site.token())
        await settle()
        assert registry(site) == 4

    async def test_a_part_is_fetched_as_it_is_asked_for(self) -> None:
        site = a_site(ahead=AHEAD)
        token = await site.token()
        await site.pull(token)
        await settle()
        reply = await site.blob(LARGE, token, ("Range", "bytes=5-9"))
        assert await read(reply) == LARGE[5:10]
        site.fetcher.close()
        await settle()
        assert site.hub.left_open == 0

    async def test_a_user_gets_it_too_and_nobody_else_his(self) -> None:
        site = a_site(ahead=AHEAD)
        site.hub.users, site.hub.private = {"alice"}, True
        await site.pull(ALICE)
        await settle()
        count = site.hub.count("cdn")
        everyone = await site.token()
        for content in (SMALL, LARGE):
            assert (await site.blob(content, everyone)).status == 401
            assert await read(await site.blob(content, ALICE)) == content
        await settle()
        assert site.hub.count("cdn") == count + 1  # the next of the window

    async def test_it_is_off_where_it_is_turned_off(self) -> None:
        site = a_site(ahead=AheadLimits(6, 24 * MIB, 60.0, images=0))
        await site.pull(await site.token())
        await settle()
        assert registry(site) == site.hub.count("cdn") == 0

    async def test_it_is_off_where_nothing_of_it_could_be_given(self) -> None:
        site = a_site(Limits(recheck_time=0), AHEAD)
        await site.pull(await site.token())
        await settle()
        assert registry(site) == site.hub.count("cdn") == 0
