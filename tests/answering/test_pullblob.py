from __future__ import annotations

import asyncio
import random

import pytest

from addon.ahead.lookahead import AheadLimits
from addon.blob import failures
from addon.blob.blobs import BlobLimits
from addon.memory.upstream import Limits
from addon.outbound.received import Answer
from addon.protocol.errors import Refusal, UpstreamFailure
from addon.protocol.reply import BrokenTransfer
from tests.outbounds import answer
from tests.upstreams import MIB, Request, Site, digest_of, read, settle, value

SMALL = b"0123456789" * 100
LARGE = random.Random(1).randbytes(3 * MIB + 17)
ALICE = ("Authorization", "Bearer alice")
AHEAD = AheadLimits(2, 24 * MIB, 60.0, images=10)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.0)


def a_site(limits: Limits | None = None, ahead: AheadLimits | None = None) -> Site:
    site = Site(limits or Limits(largest_blob=MIB), ahead)
    site.push("1", SMALL, LARGE, LARGE[::-1], LARGE[:-1])
    return site


@pytest.fixture
def site() -> Site:
    return a_site()


async def pulled(site: Site, *token: tuple[str, str]) -> tuple[str, str]:
    """A client's token, after it has asked for the manifest."""
    field = token[0] if token else await site.token()
    await site.pull(field)
    site.hub.asked.clear()
    return field


def registry(site: Site, method: str = "GET") -> int:
    return site.hub.count("registry", method, "/blobs/")


class TestSmallOnes:
    async def test_are_fetched_once_for_all(self, site: Site) -> None:
        token = await pulled(site)
        replies = await asyncio.gather(*(site.blob(SMALL, token) for _ in range(50)))
        for reply in [*replies, await site.blob(SMALL, token)]:
            assert (reply.status, reply.length, await read(reply)) == (200, len(SMALL), SMALL)
            assert value(reply, "Docker-Content-Digest") == digest_of(SMALL)
        assert (registry(site), site.hub.count("cdn")) == (1, 1)
        assert site.hub.left_open == 0

    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [
            ("bytes=0-", 0, 999),
            ("bytes=0-0", 0, 0),
            ("bytes=10-19", 10, 19),
            ("bytes=990-5000", 990, 999),
            ("bytes=999-", 999, 999),
        ],
    )
    async def test_are_given_in_parts(self, site: Site, asked: str, first: int, last: int) -> None:
        token = await pulled(site)
        for _ in range(2):
            reply = await site.blob(SMALL, token, ("Range", asked))
            assert (reply.status, reply.length) == (206, last - first + 1)
            assert value(reply, "Content-Range") == f"bytes {first}-{last}/1000"
            assert await read(reply) == SMALL[first : last + 1]
        assert site.hub.count("cdn") == 1

    @pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=-5", "bytes=0-1,5-6", "x=1-2"])
    async def test_other_ranges_are_the_upstreams(self, site: Site, asked: str) -> None:
        token = await pulled(site)
        await read(await site.blob(SMALL, token))
        reply = await site.blob(SMALL, token, ("Range", asked))
        assert site.hub.asked[-1].get("Range") == asked
        await read(reply)

    async def test_head_is_answered_from_what_is_known(self, site: Site) -> None:
        token = await pulled(site)
        reply = await site.blob(SMALL, token)
        tag = value(reply, "ETag")
        await read(reply)
        reply = await site.blob(SMALL, token, method="HEAD")
        assert (reply.status, reply.length, value(reply, "ETag")) == (200, 1000, tag)
        assert site.hub.count("cdn", "HEAD") == 0
        reply.body.close()

    async def test_wrong_content_is_never_given_whole_and_not_kept(self, site: Site) -> None:
        token = await pulled(site)
        site.hub.blobs[digest_of(SMALL)] = b"X" + SMALL[1:]
        for _ in range(2):
            with pytest.raises((BrokenTransfer, UpstreamFailure), match="what came is not"):
                await read(await site.blob(SMALL, token))
        assert site.hub.count("cdn") == 2
        site.hub.blobs[digest_of(SMALL)] = SMALL
        assert await read(await site.blob(SMALL, token)) == SMALL

    @pytest.mark.parametrize("size", [10, 999, 1001, 2000])
    async def test_of_another_size_than_the_manifest_says_come_as_they_are(
        self, site: Site, size: int
    ) -> None:
        token = await pulled(site)
        other = (SMALL * 2)[:size]
        site.hub.blobs[digest_of(SMALL)] = other
        reply = await site.blob(SMALL, token)
        assert (reply.length, await read(reply)) == (size, other)
        assert len(site.upstream.small_blobs) == 0

    async def test_count_from_the_moment_that_a_client_waits_for_them(self, site: Site) -> None:
        """Thrown out just as it has come, it would be given without being counted."""
        token = await pulled(site)
        blobs = site.upstream.small_blobs
        asking = asyncio.get_running_loop().create_task(site.blob(SMALL, token))
        while not asking.done():
            blobs._make_room(blobs.budget)  # others need all of it, whenever they can have it
            await asyncio.sleep(0)
        assert blobs.held > 0
        assert await read(asking.result()) == SMALL
        blobs._make_room(blobs.budget)
        assert blobs.held == 0

    @pytest.mark.parametrize(
        ("role", "given", "status", "asked"),
        [
            pytest.param("registry", 404, 404, (1, 0), id="the registry has none"),
            pytest.param("registry", 429, 429, (1, 0), id="too many requests"),
            pytest.param("registry", 500, 500, (1, 0), id="the registry failed"),
            pytest.param("cdn", 500, 500, (1, 1), id="the CDN failed"),
        ],
    )
    async def test_that_cannot_be_had_are_asked_for_once(
        self, site: Site, role: str, given: int, status: int, asked: tuple[int, int]
    ) -> None:
        token = await pulled(site)
        site.hub.instead[role] = given
        replies = await asyncio.gather(*(site.blob(SMALL, token) for _ in range(5)))
        assert [reply.status for reply in replies] == [status] * 5
        assert [await read(reply) for reply in replies] == [b"page"] * 5
        assert (registry(site), site.hub.count("cdn")) == asked
        assert site.hub.left_open == 0

    @pytest.mark.parametrize("role", ["registry", "cdn"])
    async def test_of_an_upstream_that_does_not_answer_are_asked_for_once(
        self, site: Site, role: str
    ) -> None:
        token = await pulled(site)
        site.hub.down(role)
        with pytest.raises(UpstreamFailure, match="cannot connect: refused"):
            await site.blob(SMALL, token)
        assert site.hub.count(role) == 1

    async def test_that_cannot_be_had_ahead_are_asked_for_once_by_who_waits(self) -> None:
        site = a_site(ahead=AHEAD)
        token = await site.token()
        site.hub.gate = asyncio.Event()
        pull = asyncio.get_running_loop().create_task(site.pull(token))
        site.hub.gate.set()
        await pull
        site.hub.gate.clear()
        await settle()  # it is on its way
        del site.hub.blobs[digest_of(SMALL)]
        asking = asyncio.get_running_loop().create_task(site.blob(SMALL, token))
        await settle()
        site.hub.gate.set()
        assert (await asking).status == 404
        paths = [asked.path for asked in site.hub.asked if asked.role == "registry"]
        assert len([path for path in paths if digest_of(SMALL) in path]) == 1
        site.fetcher.close()

    async def test_a_registry_that_gives_blobs_itself_is_as_good(self, site: Site) -> None:
        token = await pulled(site)
        given = site.hub._registry

        def itself(request: Request) -> Answer:
            return answer(200, content=SMALL) if "/blobs/" in request.path else given(request)

        site.hub._registry = itself  # type: ignore[method-assign, assignment]
        for _ in range(2):
            assert await read(await site.blob(SMALL, token)) == SMALL
        assert registry(site) == 1
        assert site.hub.left_open == 0


class TestLargeOnes:
    @pytest.mark.parametrize("far", [False, True])
    async def test_come_whole(self, site: Site, far: bool) -> None:
        site.hub.far = far
        token = await pulled(site)
        for _ in range(2):
            reply = await site.blob(LARGE, token)
            assert (reply.status, reply.length, await read(reply)) == (200, len(LARGE), LARGE)
        assert registry(site) == 1
        assert (site.hub.count("cdn") > 2) == far
        assert site.hub.left_open == 0
        assert site.upstream.blobs.budget.running == 0

    @pytest.mark.parametrize("far", [False, True])
    @pytest.mark.parametrize("known", [False, True])
    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [
            ("bytes=0-0", 0, 0),
            ("bytes=0-", 0, len(LARGE) - 1),
            ("bytes=5-300000", 5, 300_000),
            ("bytes=1000000-", 1_000_000, len(LARGE) - 1),
            ("bytes=3000000-99999999", 3_000_000, len(LARGE) - 1),
        ],
    )
    async def test_parts_are_those_that_were_asked_for(
        self, site: Site, far: bool, known: bool, asked: str, first: int, last: int
    ) -> None:
        site.hub.far = far
        token = await pulled(site) if known else await site.token()
        reply = await site.blob(LARGE, token, ("Range", asked))
        assert (reply.status, reply.length) == (206, last - first + 1)
        assert value(reply, "Content-Range") == f"bytes {first}-{last}/{len(LARGE)}"
        assert await read(reply) == LARGE[first : last + 1]
        assert site.hub.left_open == 0

    @pytest.mark.parametrize("far", [False, True])
    @pytest.mark.parametrize("known", [False, True])
    async def test_no_ranges_upstream_means_one_stream(
        self, site: Site, far: bool, known: bool
    ) -> None:
        site.hub.far = far
        site.hub.cdn = lambda _request, content: answer(200, content=content)
        token = await pulled(site) if known else await site.token()
        reply = await site.blob(LARGE, token)
        assert (reply.status, await read(reply)) == (200, LARGE)
        await settle()
        assert site.hub.left_open == 0
        reply = await site.blob(LARGE, token, ("Range", "bytes=5-9"))
        assert (reply.status, await read(reply)) == (200, LARGE)

    @pytest.mark.parametrize("said", ["bytes 0-131071/*", "bytes 5-131071/3145745", ""])
    @pytest.mark.parametrize("known", [False, True])
    async def test_an_upstream_whose_parts_cannot_be_used_is_asked_as_the_client_asked(
        self, site: Site, known: bool, said: str
    ) -> None:
        site.hub.far = True

        def parts(request: Request, content: bytes) -> Answer:
            if not request.get("Range"):
                return answer(200, content=content)
            field = [("Content-Range", said)] if said else []
            return answer(206, *field, content=content[:131072])

        site.hub.cdn = parts
        token = await pulled(site) if known else await site.token()
        reply = await site.blob(LARGE, token)
        assert (reply.status, reply.length) == (200, len(LARGE))
        assert await read(reply) == LARGE
        assert site.hub.left_open == 0

    async def test_a_part_that_nobody_asked_for_is_no_answer(self, site: Site) -> None:
        site.hub.far = True
        site.hub.cdn = lambda _request, content: answer(206, content=content[:9])
        with pytest.raises(UpstreamFailure, match="a part that nobody asked for"):
            await site.blob(LARGE, await site.token())
        assert site.hub.left_open == 0

    @pytest.mark.parametrize("far", [False, True])
    @pytest.mark.parametrize("known", [False, True])
    async def test_no_ranges_upstream_gives_no_more_than_the_first_part(
        self, site: Site, far: bool, known: bool
    ) -> None:
        site.hub.far = far
        site.hub.cdn = lambda _request, content: answer(200, content=content)
        token = await pulled(site) if known else await site.token()
        reply = await site.blob(LARGE, token, ("Range", "bytes=0-9"))
        assert (reply.status, reply.length, await read(reply)) == (206, 10, LARGE[:10])
        assert site.hub.left_open == 0

    @pytest.mark.parametrize("far", [False, True])
    async def test_an_upstream_that_sends_more_than_it_was_asked_for_is_cut(
        self, site: Site, far: bool
    ) -> None:
        site.hub.far = far

        def more(request: Request, content: bytes) -> Answer:
            wanted = request.get("Range").removeprefix("bytes=")
            first = int(wanted.partition("-")[0] or 0)
            said = f"bytes {first}-{len(content) - 2}/{len(content)}"
            return answer(206, ("Content-Range", said), content=content[first:-1])

        site.hub.cdn = more
        reply = await site.blob(LARGE, await site.token(), ("Range", "bytes=7-2000000"))
        assert await read(reply) == LARGE[7:2_000_001]

    @pytest.mark.parametrize("far", [False, True])
    async def test_an_empty_blob_is_empty(self, site: Site, far: bool) -> None:
        site.hub.far = far
        site.hub.blobs[digest_of(b"")] = b""
        reply = await site.blob(b"", await site.token())
        assert (reply.status, reply.length, await read(reply)) == (200, 0, b"")
        assert site.hub.left_open == 0

    async def test_one_smaller_than_its_manifest_says_comes_as_it_is(self, site: Site) -> None:
        site.hub.far = True
        token = await pulled(site)
        other = LARGE[: 2 * MIB]
        site.hub.blobs[digest_of(LARGE)] = other
        reply = await site.blob(LARGE, token)
        assert (reply.length, await read(reply)) == (len(other), other)
        assert site.hub.left_open == 0

    async def test_a_part_of_another_object_is_never_taken(self, site: Site) -> None:
        site.hub.far = True
        token = await pulled(site)

        def changing(request: Request, content: bytes) -> Answer | None:
            if not request.get("Range").startswith("bytes=0-"):
                return None
            return answer(
                206,
                ("ETag", '"other"'),
                ("Content-Range", f"bytes 0-9/{len(content)}"),
                content=bytes(10),
            )

        site.hub.cdn = changing
        with pytest.raises((BrokenTransfer, UpstreamFailure)):
            await read(await site.blob(LARGE, token))

    async def test_a_client_that_leaves_leaves_nothing(self, site: Site) -> None:
        site.hub.far = True
        token = await pulled(site)
        for turns in range(0, 40, 2):
            asker = asyncio.get_running_loop().create_task(site.blob(LARGE, token))
            await settle(turns)
            asker.cancel()
            await asyncio.gather(asker, return_exceptions=True)
            if not asker.cancelled():
                asker.result().body.close()
            await settle()
            assert site.hub.left_open == 0, turns
            assert site.upstream.blobs.budget.running == 0
        assert len(asyncio.all_tasks()) == 2  # this one and the upkeep
        assert await read(await site.blob(LARGE, token)) == LARGE


class TestRedirects:
    async def test_one_is_used_for_its_lifetime(self, site: Site) -> None:
        token = await site.token()
        site.upstream.access.grant("", "library/a")
        for _ in range(3):
            await read(await site.blob(LARGE, token))
            site.clock.forward(50)
        assert registry(site) == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    async def test_one_that_the_cdn_refuses_is_asked_for_anew_unnoticed(
        self, site: Site, status: int
    ) -> None:
        token = await site.token()
        await read(await site.blob(LARGE, token))
        refused = list[str]()

        def refuse(request: Request, _content: bytes) -> Answer | None:
            refused.append(request.path)
            return answer(status, content=b"page") if len(refused) == 1 else None

        site.hub.cdn = refuse
        assert await read(await site.blob(LARGE, token)) == LARGE
        assert registry(site) == 2
        assert site.upstream.access.holds("", "library/a")

    async def test_one_that_ends_after_the_mirrors_token_is_asked_for_with_a_new_one(
        self, site: Site
    ) -> None:
        site.hub.far = True
        token = await pulled(site)
        first_addresses = set[str]()

        def hours_later(request: Request, _content: bytes) -> Answer | None:
            if site.clock.now < began + 1300:
                first_addresses.add(request.path)
                if len(site.hub.asked) > 3:
                    site.clock.forward(1300)
                return None
            is_over = request.path in first_addresses
            return answer(403, content=b"page") if is_over else None

        began = site.clock.now
        site.hub.cdn = hours_later
        assert await read(await site.blob(LARGE, token)) == LARGE
        assert site.hub.count("token") == 1
        shown = {a.get("Authorization") for a in site.hub.asked if a.role == "registry"}
        assert len(shown) == 2
        assert site.upstream.access.holds("", "library/a")

    async def test_one_that_ends_after_a_clients_own_token_breaks_off(self, site: Site) -> None:
        """Nobody's credentials but its own are shown for a client."""
        site.hub.far = True
        site.hub.users = {"alice"}
        await pulled(site, ALICE)
        asked = list[str]()

        def hours_later(request: Request, _content: bytes) -> Answer | None:
            asked.append(request.path)
            if len(asked) == 3:
                site.hub.users.clear()
            return answer(403, content=b"page") if len(asked) >= 3 else None

        site.hub.cdn = hours_later
        reply = await site.blob(LARGE, ALICE)
        with pytest.raises((BrokenTransfer, UpstreamFailure)):
            await read(reply)
        shown = {a.get("Authorization") for a in site.hub.asked if a.role == "registry"}
        assert shown == {ALICE[1]}
        assert site.hub.count("token") == 0

    async def test_one_that_ends_after_the_token_costs_nobody_else_what_is_remembered(
        self, site: Site
    ) -> None:
        site.hub.far = True
        token = await pulled(site)
        await read(await site.blob(SMALL, token))
        asked = list[str]()

        def hours_later(request: Request, _content: bytes) -> Answer | None:
            asked.append(request.path)
            if len(asked) == 3:
                site.clock.forward(1300)
            return answer(403, content=b"page") if len(asked) >= 3 else None

        site.hub.cdn = hours_later
        reply = await site.blob(LARGE, token)
        with pytest.raises((BrokenTransfer, UpstreamFailure)):
            await read(reply)
        # The registry was asked again, and said no to the token.
        assert registry(site) > 2
        assert len(site.upstream.manifests) == len(site.upstream.small_blobs) == 1

    async def test_the_cdns_no_is_not_the_registrys(self, site: Site) -> None:
        token = await pulled(site)
        site.hub.cdn = lambda _request, _content: answer(403, content=b"page")
        reply = await site.blob(LARGE, token)
        assert reply.status == 403
        await read(reply)
        assert len(site.upstream.manifests) == 1

    async def test_are_kept_by_method(self, site: Site) -> None:
        token = await site.token()
        for _ in range(2):
            (await site.blob(LARGE, token, method="HEAD")).body.close()
            await read(await site.blob(LARGE, token))
        assert (registry(site), registry(site, "HEAD")) == (1, 1)

    async def test_credentials_never_reach_the_cdn(self, site: Site) -> None:
        site.hub.users = {"alice"}
        await read(await site.blob(LARGE, ALICE))
        cdn = [request for request in site.hub.asked if request.role == "cdn"]
        assert cdn
        assert all(not request.get("Authorization") for request in cdn)

    async def test_many_at_once_ask_the_registry_once(self, site: Site) -> None:
        token = await site.token()
        replies = await asyncio.gather(*(site.blob(LARGE, token) for _ in range(20)))
        for reply in replies:
            assert await read(reply) == LARGE
        assert registry(site) == 1


class TestConditions:
    @pytest.mark.parametrize(
        "field", [("If-None-Match", '"x"'), ("If-Range", '"x"'), ("If-Modified-Since", "x")]
    )
    async def test_are_the_upstreams(self, site: Site, field: tuple[str, str]) -> None:
        token = await pulled(site)
        await read(await site.blob(SMALL, token))
        await read(await site.blob(SMALL, token, field))
        assert site.hub.asked[-1].role == "cdn"
        assert site.hub.asked[-1].get(field[0]) == field[1]


class TestWhoMayHaveIt:
    async def test_the_registry_is_asked_once_access_has_lapsed(self, site: Site) -> None:
        token = await pulled(site)
        await read(await site.blob(SMALL, token))
        site.clock.forward(301)
        token = await site.token()
        for _ in range(3):
            assert await read(await site.blob(SMALL, token)) == SMALL
        assert (registry(site), site.hub.count("cdn")) == (2, 1)

    async def test_a_repository_made_private_is_nobodys_however_often_it_was_asked_for(
        self, site: Site
    ) -> None:
        """What comes from memory, or by a redirect that is kept, is no yes of the registry's."""
        token = await pulled(site)
        for content in (SMALL, LARGE):
            await read(await site.blob(content, token))
        site.hub.private = True
        for _ in range(11):
            site.clock.forward(27)
            for content in (SMALL, LARGE):
                assert await read(await site.blob(content, token)) == content
        site.clock.forward(27)
        token = await site.token()
        for content in (SMALL, LARGE):
            reply = await site.blob(content, token)
            assert reply.status == 401
            assert (await read(reply)) != content
        assert (await site.blob(SMALL, token, method="HEAD")).status == 401
        assert len(site.upstream.small_blobs) == 0

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        ("token_service", "kept"),
        [
            pytest.param(503, 1, id="there is no new one: others keep what is here"),
            pytest.param(None, 0, id="nor to a new one: nobody keeps it"),
        ],
    )
    async def test_a_no_to_a_token_at_its_end_is_told(
        self, method: str, token_service: int | None, kept: int
    ) -> None:
        site = a_site(Limits(largest_blob=MIB, recheck_time=100))
        token = await pulled(site)
        await read(await site.blob(SMALL, token))
        site.clock.forward(299)
        site.hub.private = True
        if token_service:
            site.hub.instead["token"] = token_service
        for _ in range(2):
            reply = await site.blob(SMALL, token, method=method)
            assert reply.status == 401
            assert await read(reply) != SMALL
        assert len(site.upstream.small_blobs) == len(site.upstream.manifests) == kept

    @pytest.mark.parametrize("status", [500, 503, 429])
    async def test_a_registry_that_says_nothing_is_no_yes(self, status: int) -> None:
        site = a_site(Limits(largest_blob=MIB, stale_time=0))
        token = await pulled(site)
        await read(await site.blob(SMALL, token))
        site.clock.forward(301)
        token = await site.token()
        site.hub.instead["registry"] = status
        with pytest.raises(UpstreamFailure):
            await site.blob(SMALL, token)

    async def test_what_is_kept_is_given_while_the_registry_is_down_for_so_long(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        token = await pulled(site)
        await read(await site.blob(SMALL, token))
        site.clock.forward(301)
        token = await site.token()
        site.hub.down()
        assert await read(await site.blob(SMALL, token)) == SMALL
        assert "from memory" in caplog.text
        site.hub.instead.clear()
        site.clock.forward(3600)
        token = await site.token()
        site.hub.down()
        with pytest.raises(UpstreamFailure):
            await site.blob(SMALL, token)

    async def test_nothing_crosses_between_tokens(self, site: Site) -> None:
        site.hub.users = {"alice"}
        site.hub.private = True
        await pulled(site, ALICE)
        everyone = await site.token()
        other = ("Authorization", "Bearer mallory")
        for content in (SMALL, LARGE):
            assert await read(await site.blob(content, ALICE)) == content
            for field in (everyone, other):
                reply = await site.blob(content, field)
                assert reply.status == 401
                assert await read(reply) != content
            assert await read(await site.blob(content, ALICE)) == content

    async def test_a_token_of_another_scope_is_somebody_elses(self, site: Site) -> None:
        token = await pulled(site)
        await read(await site.blob(SMALL, token))
        other = await site.token("library/b")
        await read(await site.blob(SMALL, other))
        assert registry(site) == 2


class TestWithoutALogin:
    async def test_clients_need_no_token(self) -> None:
        site = a_site(Limits(challenges_clients=False))
        assert (await site.pull()).status == 200
        assert await read(await site.blob(LARGE)) == LARGE
        assert site.hub.count("token") == 1

    async def test_a_private_image_is_refused_with_the_reason(self) -> None:
        site = a_site(Limits(challenges_clients=False))
        site.hub.private = True
        for method in ("GET", "HEAD"):
            with pytest.raises(Refusal, match="docxy_login=none"):
                await site.blob(LARGE, method=method)
            with pytest.raises(Refusal, match="docxy_login=none"):
                await site.pull(method=method)
        assert site.hub.left_open == 0

    async def test_what_a_client_shows_all_the_same_is_passed_on(self) -> None:
        site = a_site(Limits(challenges_clients=False))
        site.hub.private, site.hub.users = True, {"alice"}
        assert await read(await site.blob(LARGE, ALICE)) == LARGE


class TestBounds:
    async def test_pieces_at_a_host_are(self) -> None:
        site = Site(blobs=BlobLimits(16, 3, 64 * MIB))
        site.push("1", LARGE)
        site.hub.far = True
        most = 0
        real = site.hub.request

        async def counted(*arguments: object, **more: object) -> Answer:
            nonlocal most
            given = await real(*arguments, **more)  # type: ignore[arg-type]
            opened = sum(1 for b in site.hub.bodies if not b.closings and len(b.content) > 100)
            most = max(most, opened)
            return given

        site.hub.request = counted  # type: ignore[method-assign]
        token = await site.token()
        replies = await asyncio.gather(*(site.blob(LARGE, token) for _ in range(4)))
        contents = await asyncio.gather(*(read(reply) for reply in replies))
        assert set(contents) == {LARGE}
        # Three, and one for each client, who need wait for nobody.
        assert most <= 3 + 4

    async def test_slow_clients_keep_nobody_waiting(self) -> None:
        site = Site(Limits(largest_blob=0), blobs=BlobLimits(16, 3, 64 * MIB))
        site.push("1", LARGE)
        token = await site.token()
        async with asyncio.timeout(5):
            slow = [await site.blob(LARGE, token) for _ in range(50)]
            assert await read(await site.blob(LARGE, token)) == LARGE
        for reply in slow:
            reply.body.close()
        assert site.hub.left_open == 0
