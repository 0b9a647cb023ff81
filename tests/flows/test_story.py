"""The story itself, and that of each kind of pull in front of a Hub in memory."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable

import pytest

from addon.ahead.lookahead import AheadLimits
from addon.blob import failures
from addon.flows.story import (
    MAX_JOINED,
    UNTOLD,
    Source,
    Story,
    current,
    meant_as,
    new_story,
    purpose,
    tell,
    tell_ahead,
)
from addon.memory.upstream import Limits
from addon.outbound.received import Answer
from addon.protocol.errors import UpstreamFailure
from addon.protocol.reply import BrokenTransfer, Reply
from addon.protocol.routes import Blob, Manifest
from tests.outbounds import NotedBody, answer
from tests.upstreams import MIB, Request, Site, digest_of, read, settle

SMALL = b"0123456789" * 100
LARGE = random.Random(1).randbytes(3 * MIB + 17)
AHEAD = AheadLimits(2, 24 * MIB, 60.0, images=10)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.0)


def a_site(ahead: AheadLimits | None = None, **limits: float) -> Site:
    site = Site(Limits(largest_blob=MIB, **limits), ahead)  # type: ignore[arg-type]
    site.push("1", SMALL, LARGE)
    return site


def test_what_an_upstream_says_of_its_limit_is_kept_harmless_and_short() -> None:
    said = {"ratelimit-remaining": "\x9b31m" + "9" * 50_000, "ratelimit-limit": "100"}
    story = new_story()
    story.limited(lambda name: said.get(name))
    assert story.remaining.startswith("\\x9b31m999")
    assert len(story.remaining) < 100
    story.limited(lambda _: None)
    assert (story.remaining[:4], story.limit) == ("\\x9b", "100")


async def lived(ask: Callable[[], Awaitable[Reply]]) -> Story:
    """The story of one request, whose answer is read to its end."""
    story = new_story()

    async def live() -> None:
        tell(story)
        await read(await ask())

    await asyncio.get_running_loop().create_task(live())
    return story


class TestManifests:
    async def test_first_from_the_network_then_from_memory(self) -> None:
        site = a_site()
        token = await site.token()
        first = await lived(lambda: site.pull(token))
        assert (first.came_from, first.requests, first.remaining) == (Source.NETWORK, 1, "5;w=1")
        assert (first.route, first.name) == (Manifest("a", "1"), "library/a")
        again = await lived(lambda: site.pull(token))
        assert (again.came_from, again.requests) == (Source.MEMORY, 0)

    async def test_checked_once_it_may_be_old(self) -> None:
        site = a_site()
        token = await site.token()
        await lived(lambda: site.pull(token))
        site.clock.now += 31
        checked = await lived(lambda: site.pull(token))
        assert (checked.came_from, checked.requests) == (Source.CHECKED, 1)

    async def test_a_stale_copy_for_all_who_wait(self) -> None:
        site = a_site()
        token = await site.token()
        await lived(lambda: site.pull(token))
        site.clock.now += 40
        site.hub.down("registry")
        stories = await asyncio.gather(*(lived(lambda: site.pull(token)) for _ in range(3)))
        assert [story.came_from for story in stories] == [Source.STALE] * 3
        assert [story.age for story in stories] == [40.0] * 3

    async def test_who_waits_for_anothers_request_says_so(self) -> None:
        site = a_site()
        token = await site.token()
        first, *others = await asyncio.gather(*(lived(lambda: site.pull(token)) for _ in range(3)))
        assert (first.requests, first.joined) == (1, ())
        assert [(story.requests, story.joined) for story in others] == [(0, (first.id,))] * 2


class TestTokens:
    async def test_first_from_the_network_then_from_memory(self) -> None:
        site = a_site()

        async def story() -> Story:
            told = new_story()

            async def live() -> None:
                tell(told)
                await site.token()

            await asyncio.get_running_loop().create_task(live())
            return told

        assert [(await story()).came_from for _ in range(2)] == [Source.NETWORK, Source.MEMORY]


class TestBlobs:
    @pytest.mark.parametrize("far", [False, True])
    async def test_from_the_network(self, far: bool) -> None:
        site = a_site()
        site.hub.far = far
        token = await site.token()
        await lived(lambda: site.pull(token))
        story = await lived(lambda: site.blob(LARGE, token))
        assert (story.came_from, story.resumed) == (Source.NETWORK, 0)
        assert story.requests >= 2
        assert story.route == Blob("a", digest_of(LARGE))

    async def test_a_small_one_from_memory_the_second_time(self) -> None:
        site = a_site()
        token = await site.token()
        await lived(lambda: site.pull(token))
        stories = [await lived(lambda: site.blob(SMALL, token)) for _ in range(2)]
        assert [story.came_from for story in stories] == [Source.NETWORK, Source.MEMORY]

    async def test_who_comes_while_a_small_one_is_on_its_way_waits_for_it(self) -> None:
        site = a_site()
        token = await site.token()
        await lived(lambda: site.pull(token))
        first, second = await asyncio.gather(
            *(lived(lambda: site.blob(SMALL, token)) for _ in range(2))
        )
        assert (first.joined, second.joined) == ((), (first.id,))

    @pytest.mark.parametrize("content", [SMALL, LARGE])
    @pytest.mark.parametrize("far", [False, True])
    async def test_begun_ahead_because_of_the_manifest(self, content: bytes, far: bool) -> None:
        site = a_site(AHEAD)
        site.hub.far = far
        token = await site.token()
        manifest = await lived(lambda: site.pull(token))
        await settle()
        story = await lived(lambda: site.blob(content, token))
        assert story.came_from == Source.AHEAD
        assert story.ahead
        assert (story.ahead.begun_by, story.ahead.claimed_by) == (manifest.id, story.id)
        assert manifest.requests == 1, "what is begun ahead is no part of the manifest's own story"
        again = await lived(lambda: site.blob(content, token))
        assert again.came_from == (Source.MEMORY if content == SMALL else Source.NETWORK)

    @pytest.mark.parametrize("ahead", [None, AHEAD])
    @pytest.mark.parametrize("far", [False, True])
    async def test_resumed_is_counted_for_the_client(
        self, ahead: AheadLimits | None, far: bool
    ) -> None:
        site = a_site(ahead)
        site.hub.far = far
        token = await site.token()
        broken: list[str] = []

        def breaks_once(asked: Request, content: bytes) -> Answer | None:
            if broken or len(content) != len(LARGE):
                return None
            broken.append(asked.path)
            first, _, last = asked.get("Range").removeprefix("bytes=").partition("-")
            start = int(first or 0)
            end = int(last) if last else len(content) - 1
            said = ("Content-Range", f"bytes {start}-{end}/{len(content)}")
            whole = answer(206 if first else 200, said, content=content[start : end + 1])
            return Answer(whole.status, whole.fields, end + 1 - start, False, Breaking(b""))

        site.hub.cdn = breaks_once
        await lived(lambda: site.pull(token))
        await settle()
        story = await lived(lambda: site.blob(LARGE, token))
        assert story.resumed + (story.ahead.resumed if story.ahead else 0) == 1

    async def test_from_memory_while_the_registry_is_down(self) -> None:
        site = a_site()
        token = await site.token()
        await lived(lambda: site.pull(token))
        await lived(lambda: site.blob(SMALL, token))
        site.clock.now += 301
        token = await site.token()
        site.hub.down("registry")
        story = await lived(lambda: site.blob(SMALL, token))
        assert story.age >= 301


class Breaking(NotedBody):
    """A body that breaks off at once."""

    async def read(self) -> bytes:
        raise BrokenTransfer("it broke off")


async def test_a_failure_leaves_a_story_as_well() -> None:
    site = a_site()
    token = await site.token()
    site.hub.down("registry")
    story = new_story()

    async def live() -> None:
        tell(story)
        with pytest.raises(UpstreamFailure):
            await site.pull(token)

    await asyncio.get_running_loop().create_task(live())
    assert (story.requests, story.came_from) == (1, Source.NETWORK)


def test_ids_are_told_apart() -> None:
    assert len({new_story().id for _ in range(100)}) == 100


def test_times_that_overlap_count_once() -> None:
    story = Story("1")
    story.waits(1.0, 3.0)
    story.waits(2.0, 4.0)
    story.waits(1.0, 2.0)
    story.waits(6.0, 6.5)
    assert story.waited == 3.5
    story.head = 7.0
    story.waits(8.0, 9.0)
    assert story.waited == 3.5, "the client has its head"


def test_notes_without_a_story_pile_up_nowhere() -> None:
    assert contextvars.Context().run(current) is UNTOLD
    for number in range(100):
        UNTOLD.joins(Story(str(number)))
    assert len(UNTOLD.joined) <= MAX_JOINED
    assert UNTOLD.cause == ""


def test_nobody_joins_himself_or_nobody() -> None:
    story = Story("1")
    story.joins(story)
    story.joins(UNTOLD)
    assert story.joined == ()


async def test_what_is_begun_inherits_the_story_and_keeps_its_own_changes() -> None:
    story = new_story()
    tell(story)

    async def ahead() -> Story:
        tell_ahead()
        return current()

    child = await asyncio.get_running_loop().create_task(ahead())
    assert (child.is_ahead, child.begun_by, child.cause) == (True, story.id, story.id)
    assert current() is story


def test_a_purpose_holds_within_its_block() -> None:
    assert purpose() == "request"
    with meant_as("token"), meant_as("challenge"):
        assert purpose() == "challenge"
    assert purpose() == "request"
