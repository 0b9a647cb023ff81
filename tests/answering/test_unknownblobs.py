"""Blobs of which no manifest has passed by, as after a restart in the middle of a pull."""

from __future__ import annotations

import asyncio
import random

import pytest

from addon.memory.upstream import Limits
from addon.protocol.errors import UpstreamFailure
from addon.protocol.reply import BrokenTransfer
from tests.upstreams import MIB, Site, digest_of, read, settle

SMALL = b"0123456789" * 100
LARGE = random.Random(1).randbytes(3 * MIB + 17)


@pytest.fixture
def site() -> Site:
    site = Site(Limits(largest_blob=MIB))
    site.push("1", SMALL, LARGE)
    return site


async def all_of(site: Site, content: bytes, clients: int) -> list[bytes]:
    token = await site.token()
    replies = await asyncio.gather(*(site.blob(content, token) for _ in range(clients)))
    assert [reply.status for reply in replies] == [200] * clients
    assert [reply.length for reply in replies] == [len(content)] * clients
    return await asyncio.gather(*(read(reply) for reply in replies))


async def test_a_small_one_is_fetched_once_for_all_and_kept(site: Site) -> None:
    assert set(await all_of(site, SMALL, 20)) == {SMALL}
    assert (site.hub.count("registry", "GET", "/blobs/"), site.hub.count("cdn")) == (1, 1)
    assert await all_of(site, SMALL, 1) == [SMALL]
    assert site.hub.count("cdn") == 1
    assert site.hub.left_open == 0


async def test_a_large_one_comes_to_each(site: Site) -> None:
    assert await all_of(site, LARGE, 5) == [LARGE] * 5
    assert site.hub.left_open == 0


async def test_a_wrong_one_is_given_whole_to_nobody(site: Site) -> None:
    site.hub.blobs[digest_of(SMALL)] = SMALL[:-1] + b"X"
    token = await site.token()

    async def given() -> bytes:
        return await read(await site.blob(SMALL, token))

    got = await asyncio.gather(*(given() for _ in range(5)), return_exceptions=True)
    assert {type(each) for each in got} <= {BrokenTransfer, UpstreamFailure}
    assert len(site.upstream.small_blobs) == 0


async def test_what_is_said_in_its_place_is_said_to_each(site: Site) -> None:
    token = await site.token()
    site.hub.blobs.clear()
    replies = await asyncio.gather(*(site.blob(SMALL, token) for _ in range(3)))
    assert [reply.status for reply in replies] == [404] * 3
    for reply in replies:
        reply.body.close()
    assert site.hub.left_open == 0


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("turns", range(12))
async def test_one_that_leaves_takes_nothing_from_others_and_leaves_nothing_open(
    site: Site, content: bytes, turns: int
) -> None:
    token = await site.token()
    loop = asyncio.get_running_loop()
    leaving, staying = (loop.create_task(site.blob(content, token)) for _ in range(2))
    await settle(turns)
    leaving.cancel()
    assert await read(await staying) == content
    await asyncio.wait({leaving})
    if not leaving.cancelled():
        leaving.result().body.close()
    await settle()
    assert site.hub.left_open == 0


@pytest.mark.parametrize("turns", range(0, 24, 2))
async def test_one_whose_manifest_comes_meanwhile_leaves_nothing_open(
    site: Site, turns: int
) -> None:
    token = await site.token()
    loop = asyncio.get_running_loop()
    first = loop.create_task(site.blob(SMALL, token))
    await settle(turns)
    await site.pull(token)
    second = await site.blob(SMALL, token)
    assert [await read(second), await read(await first)] == [SMALL] * 2
    await settle()
    assert site.hub.left_open == 0


async def test_nothing_is_kept_where_nothing_may_be() -> None:
    site = Site(Limits(largest_blob=MIB, remember=False))
    site.push("1", SMALL)
    assert await all_of(site, SMALL, 2) == [SMALL] * 2
    assert len(site.upstream.small_blobs) == 0
