from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest

from addon.ahead.lookahead import AheadLimits
from addon.memory.upstream import Limits
from addon.outbound.received import Answer
from addon.protocol.errors import UpstreamFailure, failure
from addon.protocol.routes import Manifest
from tests.outbounds import NotedBody
from tests.upstreams import IMAGE, REALM, Site, digest_of, read, settle, value

ALICE = ("Authorization", "Bearer alice")
BOB = ("Authorization", "Bearer bob")


@pytest.fixture
def site() -> Site:
    site = Site()
    site.push("1", b"config", b"layer")
    return site


def gets(site: Site) -> int:
    return site.hub.count("registry", "GET", "/manifests/")


def heads(site: Site) -> int:
    return site.hub.count("registry", "HEAD", "/manifests/")


def change(given: Answer) -> Answer:
    """Another manifest, framed as it should be."""
    assert isinstance(given.body, NotedBody)
    given.body.content = given.body.content.replace(b"schema", b"SCHEMA")
    return given


def break_off(given: Answer) -> Answer:
    """The first bytes of a manifest that has neither length nor chunks."""
    assert isinstance(given.body, NotedBody)
    given.body.content = given.body.content[:20]
    return replace(given, length=None, closes_to_end=True)


class TestTags:
    async def test_within_its_time_a_tag_is_given_from_memory(self, site: Site) -> None:
        token = await site.token()
        for _ in range(100):
            reply = await site.pull(token)
            assert (reply.status, await read(reply)) == (200, site.hub.tags["1"])
            assert value(reply, "Content-Type") == IMAGE
            assert value(reply, "Docker-Content-Digest") == digest_of(site.hub.tags["1"])
        site.clock.forward(29)
        await site.pull(token)
        assert (gets(site), heads(site)) == (1, 0)
        assert site.hub.left_open == 0

    async def test_then_it_is_checked_by_head_which_is_free(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        for _ in range(5):
            site.clock.forward(30)
            assert await read(await site.pull(token)) == site.hub.tags["1"]
            await site.pull(token)
        assert (gets(site), heads(site)) == (1, 5)
        assert site.hub.left_open == 0

    async def test_a_tag_that_has_moved_is_asked_for_anew(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        moved = site.push("1", b"config", b"another layer")
        site.clock.forward(30)
        assert await read(await site.pull(token)) == moved
        assert (gets(site), heads(site)) == (2, 1)

    async def test_what_is_accepted_makes_it_another_answer(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        route = Manifest("a", "1")
        await site.ask(route, ("Accept", "application/other"), token)
        await site.ask(route, ("Accept", f"application/other, {IMAGE};q=0.5"), token)
        assert gets(site) == 3
        await site.ask(route, ("Accept", IMAGE), ("Accept", "application/other"), token)
        assert gets(site) == 3

    async def test_more_types_than_any_engine_names_are_not_remembered(self, site: Site) -> None:
        token = await site.token()
        for types in (", ".join(f"a/{n}" for n in range(1000)), "a/" + "x" * 5000):
            for _ in range(2):
                await site.ask(Manifest("a", "1"), ("Accept", types), token)
        assert gets(site) == 4

    async def test_many_at_once_make_one_request(self, site: Site) -> None:
        token = await site.token()
        replies = await asyncio.gather(*(site.pull(token) for _ in range(50)))
        assert {await read(reply) for reply in replies} == {site.hub.tags["1"]}
        assert gets(site) == 1

    async def test_many_checks_at_once_make_one_request(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        site.clock.forward(31)
        await asyncio.gather(*(site.pull(token) for _ in range(50)))
        assert (gets(site), heads(site)) == (1, 1)

    async def test_a_client_that_leaves_does_not_end_the_others_request(self, site: Site) -> None:
        token = await site.token()
        site.hub.gate = asyncio.Event()
        loop = asyncio.get_running_loop()
        leaving, staying = (loop.create_task(site.pull(token)) for _ in range(2))
        await settle()
        leaving.cancel()
        site.hub.gate.set()
        assert await read(await staying) == site.hub.tags["1"]
        assert site.hub.left_open == 0


class TestDigests:
    async def test_what_is_kept_is_given_for_good_while_access_holds(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        digest = digest_of(site.hub.tags["1"])
        site.clock.forward(200)
        assert await read(await site.pull(token, tag=digest)) == site.hub.tags["1"]
        assert (gets(site), heads(site)) == (1, 0)

    async def test_after_that_the_registry_is_asked_by_head(self, site: Site) -> None:
        digest = digest_of(site.hub.tags["1"])
        await site.pull(await site.token(), tag=digest)
        site.clock.forward(301)
        assert await read(await site.pull(await site.token(), tag=digest)) == site.hub.tags["1"]
        assert (gets(site), heads(site)) == (1, 1)

    @pytest.mark.parametrize("by", ["tag", "digest"])
    async def test_wrong_content_is_kept_for_nobody(self, site: Site, by: str) -> None:
        token = await site.token()
        right = site.hub.tags["1"]
        asked = "1" if by == "tag" else digest_of(right)
        site.hub.manifest = change
        if by == "tag":
            assert await read(await site.pull(token, tag=asked)) != right
        else:
            with pytest.raises(UpstreamFailure, match=f"what came is not {asked}"):
                await site.pull(token, tag=asked)
        site.hub.manifest = lambda given: given
        assert await read(await site.pull(token, tag=asked)) == right
        assert gets(site) == 2
        assert len(site.upstream.manifests) == 1

    @pytest.mark.parametrize("wrong", ["broken off", "changed"])
    @pytest.mark.parametrize("says_digest", [True, False])
    @pytest.mark.parametrize("way", ["remembered", "not remembered", "with a condition"])
    async def test_wrong_content_is_given_to_nobody_who_named_its_digest(
        self, wrong: str, says_digest: bool, way: str
    ) -> None:
        site = Site(Limits(remember=way != "not remembered"))
        site.hub.says_digest = says_digest
        digest = digest_of(site.push("1", b"config"))
        site.hub.manifest = break_off if wrong == "broken off" else change
        condition = [("If-Modified-Since", "x")] if way == "with a condition" else []
        with pytest.raises(UpstreamFailure) as failed:
            await site.pull(await site.token(), *condition, tag=digest)
        assert failed.value.status == 502
        assert site.hub.left_open == 0

    @pytest.mark.parametrize("remember", [True, False])
    async def test_a_digest_that_nobody_here_can_check_is_the_clients_to_check(
        self, remember: bool
    ) -> None:
        site = Site(Limits(remember=remember))
        site.push("blake3:abc", b"config")
        reply = await site.pull(await site.token(), tag="blake3:abc")
        assert await read(reply) == site.hub.tags["blake3:abc"]

    async def test_without_a_memory_the_right_content_is_given_as_it_is(self) -> None:
        site = Site(Limits(remember=False))
        digest = digest_of(site.push("1", b"config"))
        token = await site.token()
        reply = await site.pull(token, tag=digest)
        assert await read(reply) == site.hub.tags["1"]
        assert value(reply, "ratelimit-remaining") == "5;w=1"
        assert (await site.pull(token, method="HEAD", tag=digest)).status == 200

    async def test_a_registry_that_does_not_say_the_digest_is_believed_its_content(
        self, site: Site
    ) -> None:
        site.hub.says_digest = False
        token = await site.token()
        reply = await site.pull(token)
        assert value(reply, "Docker-Content-Digest") == digest_of(site.hub.tags["1"])
        await site.pull(token)
        assert gets(site) == 1


class TestHead:
    async def test_is_answered_from_what_is_known(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        reply = await site.pull(token, method="HEAD")
        assert (reply.status, reply.length) == (200, len(site.hub.tags["1"]))
        assert value(reply, "Docker-Content-Digest") == digest_of(site.hub.tags["1"])
        assert (gets(site), heads(site)) == (1, 0)

    async def test_of_what_is_not_known_is_asked_by_head(self, site: Site) -> None:
        token = await site.token()
        reply = await site.pull(token, method="HEAD")
        assert reply.status == 200
        assert (gets(site), heads(site)) == (0, 1)

    async def test_checks_a_tag_for_those_that_come_after(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        site.clock.forward(31)
        reply = await site.pull(token, method="HEAD")
        reply.body.close()
        await site.pull(token)
        assert (gets(site), heads(site)) == (1, 1)

    async def test_never_begins_anything(self) -> None:
        site = Site(ahead=AheadLimits(4, 10**6, 60.0, images=10))
        site.push("1", b"config", b"layer")
        token = await site.token()
        (await site.pull(token, method="HEAD")).body.close()
        await settle()
        assert site.hub.count("registry", "", "/blobs/") == 0


class TestConditions:
    @pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', "{}", '"x", "{}"', "*"])
    async def test_what_the_client_has_is_not_sent_again(self, site: Site, form: str) -> None:
        token = await site.token()
        tag = form.format(digest_of(site.hub.tags["1"]))
        for _ in range(2):
            reply = await site.pull(token, ("If-None-Match", tag))
            assert (reply.status, await read(reply)) == (304, b"")
        assert gets(site) == 1

    async def test_another_tag_gets_the_manifest(self, site: Site) -> None:
        token = await site.token()
        reply = await site.pull(token, ("If-None-Match", '"sha256:other"'))
        assert reply.status == 200

    async def test_one_clients_condition_is_not_in_anothers_request(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token, ("If-None-Match", '"x"'), ("Range", "bytes=0-"))
        assert site.hub.asked[-1].get("If-None-Match") == ""
        assert site.hub.asked[-1].get("Range") == ""

    @pytest.mark.parametrize(
        "field",
        [("If-Match", '"x"'), ("Range", "bytes=0-5"), ("If-Modified-Since", "x")],
    )
    async def test_others_are_the_registrys(self, site: Site, field: tuple[str, str]) -> None:
        token = await site.token()
        for number in range(2):
            await site.pull(token, field)
            assert gets(site) == number + 1
            assert site.hub.asked[-1].get(field[0]) == field[1]

    async def test_without_a_memory_they_all_are(self) -> None:
        site = Site(Limits(remember=False))
        site.push("1", b"config")
        token = await site.token()
        await site.pull(token, ("If-None-Match", '"x"'), ("Range", "bytes=0-"))
        assert site.hub.asked[-1].get("If-None-Match") == '"x"'
        assert site.hub.asked[-1].get("Range") == "bytes=0-"


class TestDown:
    @pytest.mark.parametrize("instead", [failure("r.example", "refused"), 429, 500, 502, 503, 504])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("by", ["tag", "digest"])
    async def test_a_copy_that_is_kept_is_given_with_a_warning_and_its_age(
        self,
        site: Site,
        instead: int | UpstreamFailure,
        method: str,
        by: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        tag = "1" if by == "tag" else digest_of(site.hub.tags["1"])
        await site.pull(await site.token(), tag=tag)
        site.clock.forward(400)
        token = await site.token()
        site.hub.instead["registry"] = instead
        reply = await site.pull(token, tag=tag, method=method)
        assert (reply.status, reply.length) == (200, len(site.hub.tags["1"]))
        assert value(reply, "Warning").startswith('299 - "')
        assert value(reply, "Age") == "400"
        assert "is served as it was 400 s ago" in caplog.text
        del site.hub.instead["registry"]
        reply = await site.pull(token, tag=tag, method=method)
        assert value(reply, "Warning") == ""

    async def test_a_tag_that_has_moved_while_its_manifest_cannot_be_had_is_stale_too(
        self, site: Site
    ) -> None:
        token = await site.token()
        old = site.hub.tags["1"]
        await site.pull(token)
        site.push("1", b"config", b"another layer")
        site.clock.forward(31)
        registry = site.hub._registry

        def limited(request: object) -> object:
            given = registry(request)  # type: ignore[arg-type]
            if request.method == "GET":  # type: ignore[attr-defined]
                return type(given)(429, (), given.length, False, given.body)
            return given

        site.hub._registry = limited  # type: ignore[method-assign, assignment]
        reply = await site.pull(token)
        assert (reply.status, await read(reply)) == (200, old)
        assert value(reply, "Warning")

    async def test_nothing_older_than_the_owner_says_is_given(self) -> None:
        site = Site(Limits(stale_time=100))
        site.push("1", b"config")
        digest = digest_of(site.hub.tags["1"])
        token = await site.token()
        await site.pull(token)
        await site.pull(token, tag=digest)
        site.clock.forward(100)
        site.hub.down()
        for tag in ("1", digest):
            for method in ("GET", "HEAD"):
                if tag == "1" or method == "GET":
                    site.upstream.access._granted.clear()
                with pytest.raises(UpstreamFailure):
                    await site.pull(token, tag=tag, method=method)

    async def test_what_is_not_kept_is_a_failure(self, site: Site) -> None:
        token = await site.token()
        site.hub.down()
        for method in ("GET", "HEAD"):
            with pytest.raises(UpstreamFailure):
                await site.pull(token, method=method)

    async def test_too_many_requests_pass_where_nothing_is_kept(self, site: Site) -> None:
        token = await site.token()
        site.hub.instead["registry"] = 429
        reply = await site.pull(token)
        assert (reply.status, await read(reply)) == (429, b"page")

    async def test_even_where_the_token_service_is_down_and_clients_have_no_token(self) -> None:
        site = Site(Limits(challenges_clients=False))
        manifest = site.push("1", b"config")
        await site.pull()
        site.clock.forward(400)
        site.hub.down()
        reply = await site.pull()
        assert (await read(reply), value(reply, "Age")) == (manifest, "400")

    async def test_even_where_clients_show_tokens_that_have_ended(self, site: Site) -> None:
        first = await site.token()
        await site.pull(first)
        site.hub.down()
        for age in (400, 3599):
            site.clock.forward(age - (site.clock.now - 1_000_000))
            for token in (first, await site.token()):
                reply = await site.pull(token)
                assert (await read(reply), value(reply, "Age")) == (site.hub.tags["1"], str(age))
        site.clock.forward(1)
        with pytest.raises(UpstreamFailure):
            await site.pull(first)

    async def test_a_token_that_has_ended_opens_nothing_that_was_made_private(
        self, site: Site
    ) -> None:
        token = await site.token()
        await site.pull(token)
        site.clock.forward(301)
        site.hub.private = True
        for _ in range(2):
            reply = await site.pull(token)
            assert reply.status == 401
            assert f'realm="{REALM}"' in value(reply, "WWW-Authenticate")
        site.hub.down()
        with pytest.raises(UpstreamFailure):
            await site.pull(token)


class TestWhoMayHaveIt:
    async def test_nothing_of_a_users_token_crosses_to_another(self, site: Site) -> None:
        site.hub.private = True
        site.hub.users = {"alice", "bob"}
        everyone = await site.token()
        assert (await site.pull(ALICE)).status == 200
        assert (await site.pull(ALICE)).status == 200
        assert gets(site) == 1
        assert (await site.pull(BOB)).status == 200
        assert gets(site) == 2
        assert (await site.pull(everyone)).status == 401
        assert (await site.pull(("Authorization", "Bearer mallory"))).status == 401
        assert (await site.pull(ALICE)).status == 200
        assert gets(site) == 4

    async def test_nor_the_other_way_round(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        assert (await site.pull(ALICE)).status == 401
        site.hub.users = {"alice"}
        await site.pull(ALICE)
        assert gets(site) == 3

    async def test_our_token_of_another_scope_is_somebody_elses(self, site: Site) -> None:
        await site.pull(await site.token())
        other = await site.token("library/b")
        await site.pull(other)
        assert gets(site) == 2

    async def test_a_user_is_given_nothing_while_the_registry_is_down(self, site: Site) -> None:
        site.hub.users = {"alice"}
        await site.pull(ALICE)
        site.clock.forward(31)
        site.hub.down()
        with pytest.raises(UpstreamFailure):
            await site.pull(ALICE)

    @pytest.mark.parametrize("status", [401, 403, 404])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_a_no_drops_all_of_the_repository(
        self, site: Site, status: int, method: str
    ) -> None:
        token = await site.token()
        digest = digest_of(site.hub.tags["1"])
        await site.pull(token)
        await read(await site.blob(b"layer", token))
        site.hub.instead["registry"] = status
        site.clock.forward(31)
        assert (await site.pull(token, method=method)).status == status
        assert (await site.pull(token, tag=digest)).status == status
        assert (await site.blob(b"layer", token)).status == status
        assert (len(site.upstream.manifests), len(site.upstream.small_blobs)) == (0, 0)
        assert len(site.upstream.blobs.ways.redirects) == 0
        # And when the registry is down after that, nothing is given that it refused.
        site.hub.down()
        with pytest.raises(UpstreamFailure):
            await site.pull(token)

    async def test_a_no_to_one_user_is_not_a_no_to_others(self, site: Site) -> None:
        token = await site.token()
        await site.pull(token)
        await site.pull(("Authorization", "Bearer expired"))
        await site.pull(token)
        assert gets(site) == 2

    async def test_a_repository_made_private_is_nobodys_after_the_time_to_recheck(
        self, site: Site
    ) -> None:
        token = await site.token()
        digest = digest_of(site.hub.tags["1"])
        await site.pull(token)
        site.hub.private = True
        for _ in range(10):
            site.clock.forward(29)
            assert (await site.pull(token, tag=digest)).status == 200
        site.clock.forward(10)
        token = await site.token()
        assert (await site.pull(token, tag=digest)).status == 401
        assert (await site.pull(token)).status == 401

    async def test_a_token_that_says_that_it_has_ended_is_given_nothing_from_memory(
        self, site: Site
    ) -> None:
        claims = json.dumps({"exp": site.clock.now + 60}).encode()
        token = f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.x"
        site.hub.users = {token}
        field = ("Authorization", f"Bearer {token}")
        digest = digest_of(site.hub.tags["1"])
        await site.pull(field)
        site.clock.forward(59)
        await site.pull(field, tag=digest)
        assert gets(site) == 1
        site.clock.forward(1)
        site.hub.users.clear()
        assert (await site.pull(field, tag=digest)).status == 401
        assert len(site.upstream.manifests) == 0

    async def test_what_was_kept_for_a_token_is_dropped_when_it_is_used_no_more(
        self, site: Site
    ) -> None:
        site.hub.users = {"alice"}
        everyone = await site.token()
        await site.pull(ALICE)
        await site.pull(everyone)
        site.clock.forward(300)
        await site.upstream.keep_up()
        assert len(site.upstream.manifests) == 1
        assert site.upstream.access.of(digest_of(b"")) == []


class TestOff:
    async def test_nothing_is_remembered_where_nothing_may_be(self) -> None:
        site = Site(Limits(remember=False), AheadLimits(4, 10**6, 60.0, images=10))
        site.push("1", b"config", b"layer")
        for number in range(1, 4):
            token = await site.token()
            await read(await site.pull(token))
            await read(await site.blob(b"layer", token))
            assert site.hub.count("token") == number
            assert gets(site) == number
            assert site.hub.count("registry", "GET", "/blobs/") == number
            assert site.hub.count("cdn") == number
        assert len(site.upstream.manifests) == len(site.upstream.small_blobs) == 0
        assert len(site.upstream.blobs.ways.redirects) == len(site.upstream.tokens) == 0

    async def test_only_a_client_makes_the_mirror_send_a_get(self) -> None:
        site = Site(ahead=AheadLimits(4, 10**6, 60.0, images=10))
        site.push("1", b"config", b"layer")
        token = await site.token()
        await site.pull(token)
        for _ in range(9):
            site.clock.forward(31)
            await site.pull(token)
            await settle()
        assert gets(site) == 1
        site.fetcher.close()

    async def test_a_manifest_larger_than_any_is_a_failure(self, site: Site) -> None:
        site.hub.tags["1"] = bytes(5 * 1024 * 1024)
        with pytest.raises(UpstreamFailure, match="larger"):
            await site.pull(await site.token())
        assert site.hub.left_open == 0
