from __future__ import annotations

import pytest

from addon.answering.upstreamblobs import NoBlob, OtherSize, UpstreamBlobs
from addon.blob.urgency import Asker, Urgency
from addon.memory.sharing import EVERYONE, BlobKey, Reader
from addon.memory.smallblob import SmallBlobBody
from addon.memory.upstream import Limits
from addon.protocol.ranges import Wanted
from tests.upstreams import MIB, Site, digest_of, settle

SMALL = b"0123456789" * 100
KEY = BlobKey(EVERYONE, "library/a", digest_of(SMALL))
PART = Wanted(5, 9)


@pytest.fixture
def site() -> Site:
    site = Site(Limits(largest_blob=MIB))
    site.push("1", SMALL)
    return site


async def reader(site: Site) -> Reader:
    return Reader(EVERYONE, (await site.token())[1])


async def test_each_part_has_a_range_of_its_own(site: Site) -> None:
    fields = [("Range", "bytes=0-1"), ("Accept", "a/b")]
    source = UpstreamBlobs(site.upstream).source(await reader(site), KEY, fields)
    answer = await source.ask("GET", PART)
    answer.body.close()
    asked = site.hub.asked[-1]
    assert [v for n, v in asked.fields if n == "Range"] == [PART.field[1]]
    assert asked.get("Accept") == "a/b"


@pytest.mark.parametrize("remember", [True, False])
async def test_where_nothing_may_be_remembered_no_address_is(remember: bool) -> None:
    site = Site(Limits(remember=remember))
    site.push("1", SMALL)
    source = UpstreamBlobs(site.upstream).source(await reader(site), KEY)
    assert await source.locate() == 307
    assert bool(site.upstream.blobs.ways.redirects.get(KEY, "GET")) == remember


class TestSmallOnes:
    async def test_are_fetched_once_for_all_who_ask(self, site: Site) -> None:
        blobs, anyone = UpstreamBlobs(site.upstream), await reader(site)
        asked = [blobs.small(anyone, KEY, len(SMALL), Asker(Urgency.ASKED)) for _ in range(3)]
        assert len(set(asked)) == 1
        body = SmallBlobBody(asked[0], 0, len(SMALL) - 1)
        content = b""
        while chunk := await body.read():
            content += chunk
        assert (content, site.hub.count("cdn")) == (SMALL, 1)

    async def test_of_another_size_are_told_apart(self, site: Site) -> None:
        blob = UpstreamBlobs(site.upstream).small(
            await reader(site), KEY, len(SMALL) + 1, Asker(Urgency.ASKED)
        )
        with pytest.raises(OtherSize, match="it has 1000 bytes, not 1001"):
            await blob.head()
        await settle()
        assert site.hub.left_open == 0

    async def test_all_who_wait_hear_what_the_registry_says_instead(self, site: Site) -> None:
        site.hub.instead["registry"] = 404
        blob = UpstreamBlobs(site.upstream).small(
            await reader(site), KEY, len(SMALL), Asker(Urgency.ASKED)
        )
        for _ in range(2):
            with pytest.raises(NoBlob, match="it answered 404 to a blob") as raised:
                await blob.head()
            answer = raised.value.answer
            assert (answer.status, await answer.body.read()) == (404, b"page")
