from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from addon.answering.readers import Visit, anonymous, reader_of
from addon.memory.sharing import EVERYONE, Reader, audience_of
from addon.memory.upstream import Limits
from addon.outbound.received import Answer
from addon.protocol.asked import Asked
from addon.protocol.errors import Refusal, UpstreamFailure, failure
from addon.protocol.reply import Reply
from tests.outbounds import answer
from tests.upstreams import REALM, Request, Site, value

NAME = "library/a"


def site(*, login: bool = True) -> Site:
    return Site(Limits(challenges_clients=login))


async def reader(site: Site, *authorization: str, name: str = NAME) -> Any:
    fields = [("Authorization", text) for text in authorization]
    return await reader_of(site.upstream, Asked("GET", fields, REALM), name)


async def test_who_shows_a_token_of_ours_is_everyone() -> None:
    mirror = site()
    token = (await mirror.token())[1]
    assert await reader(mirror, token) == Reader(EVERYONE, token)
    assert await reader(mirror, token.replace("Bearer", "bEARER")) == Reader(
        EVERYONE, token.replace("Bearer", "bEARER")
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text + "x", id="another token"),
        pytest.param(lambda text: text.replace("Bearer", "Basic"), id="another scheme"),
        pytest.param(lambda text: text.replace(" ", "  "), id="two blanks"),
        pytest.param(lambda text: text.partition(" ")[2], id="no scheme"),
        pytest.param(lambda text: "Bearer ", id="nothing"),
    ],
)
async def test_who_shows_anything_else_is_nobody_but_itself(change: Any) -> None:
    mirror = site()
    text = change((await mirror.token())[1])
    assert await reader(mirror, text) == Reader(audience_of(text), text)


async def test_a_token_of_ours_for_another_repository_is_not_everyones() -> None:
    mirror = site()
    token = (await mirror.token("library/b"))[1]
    assert (await reader(mirror, token)).audience == audience_of(token)
    assert (await reader(mirror, token, name="library/b")).audience == EVERYONE


async def test_a_token_that_says_that_it_has_ended_loses_what_was_kept_for_it() -> None:
    mirror = site()
    for seconds, is_kept in ((10, True), (0, False), (-10, False)):
        claims = json.dumps({"exp": mirror.clock.now + seconds}).encode()
        text = f"Bearer e30.{base64.urlsafe_b64encode(claims).decode()}.x"
        mirror.upstream.access.grant(audience_of(text), NAME)
        await reader(mirror, text)
        assert mirror.upstream.access.holds(audience_of(text), NAME) is is_kept


async def test_who_shows_nothing_is_challenged_by_the_mirror_itself() -> None:
    mirror = site()
    reply = await reader(mirror)
    assert isinstance(reply, Reply)
    assert reply.status == 401
    assert f'realm="{REALM}"' in value(reply, "WWW-Authenticate")
    assert f'scope="repository:{NAME}:pull"' in value(reply, "WWW-Authenticate")
    assert mirror.hub.asked == []


async def test_what_is_replayed_is_asked_for_everyone_since_nobody_is_there_to_log_in() -> None:
    mirror = site()
    asked = Asked("GET", (), REALM, is_replayed=True)
    assert await reader_of(mirror.upstream, asked, NAME) == Reader(EVERYONE, "Bearer anonymous0")
    mirror.hub.instead["token"] = 401
    other = await reader_of(mirror.upstream, asked, "library/private")
    assert isinstance(other, Reply)
    assert other.status == 401


@pytest.mark.parametrize("login", [True, False])
class TestTokensOfOursThatHaveEnded:
    """As where no token is needed, since everyone could have a new one for the asking."""

    async def test_stand_for_one_that_the_mirror_takes_for_all(self, login: bool) -> None:
        mirror = site(login=login)
        token = (await mirror.token())[1]
        for seconds in (300, 250):
            mirror.clock.forward(seconds)
            found = await asyncio.gather(*(reader(mirror, token) for _ in range(20)))
            assert len(set(found)) == 1
            assert found[0].audience == EVERYONE
        assert found[0] == Reader(EVERYONE, "Bearer anonymous2")
        assert mirror.hub.count("token") == 3

    @pytest.mark.parametrize(
        ("instead", "status"),
        [
            pytest.param(failure("auth.docker.io", "refused"), 502, id="down"),
            pytest.param(failure("auth.docker.io", "slow", timed_out=True), 504, id="slow"),
            pytest.param(429, 429, id="too many requests"),
            pytest.param(503, 502, id="an error"),
        ],
    )
    async def test_are_good_for_what_is_kept_while_there_is_no_new_one(
        self, login: bool, instead: UpstreamFailure | int, status: int
    ) -> None:
        mirror = site(login=login)
        token = (await mirror.token())[1]
        mirror.clock.forward(300)
        mirror.hub.instead["token"] = instead
        found = await reader(mirror, token)
        assert (found.audience, found.authorization) == (EVERYONE, "")
        with pytest.raises(UpstreamFailure) as raised:
            _ = found.fields
        assert raised.value.status == status

    @pytest.mark.parametrize("status", [401, 403, 404])
    async def test_open_nothing_that_the_service_denies(self, login: bool, status: int) -> None:
        mirror = site(login=login)
        token = (await mirror.token())[1]
        mirror.clock.forward(300)
        mirror.hub.instead["token"] = status
        if not login:
            with pytest.raises(Refusal, match="docxy_login=none"):
                await reader(mirror, token)
            return
        reply = await reader(mirror, token)
        assert isinstance(reply, Reply)
        assert reply.status == 401
        assert f'realm="{REALM}"' in value(reply, "WWW-Authenticate")
        assert f'scope="repository:{NAME}:pull"' in value(reply, "WWW-Authenticate")

    async def test_are_somebody_elses_for_other_repositories(self, login: bool) -> None:
        mirror = site(login=login)
        token = (await mirror.token("library/b"))[1]
        mirror.clock.forward(300)
        assert await reader(mirror, token) == Reader(audience_of(token), token)

    @pytest.mark.parametrize(
        ("limits", "seconds"),
        [
            pytest.param({}, 3900, id="too long ago"),
            pytest.param({"stale_time": 0}, 300, id="no stale copies"),
            pytest.param({"remember": False}, 300, id="no memory"),
        ],
    )
    async def test_are_somebody_elses_where_nothing_may_be_given(
        self, login: bool, limits: dict[str, Any], seconds: float
    ) -> None:
        mirror = Site(Limits(challenges_clients=login, **limits))
        token = (await mirror.token())[1]
        mirror.clock.forward(seconds)
        assert await reader(mirror, token) == Reader(audience_of(token), token)


class TestWithoutALogin:
    async def test_who_shows_nothing_is_everyone_with_a_token_of_the_mirrors(self) -> None:
        mirror = site(login=False)
        found = [await reader(mirror) for _ in range(10)]
        assert found == [Reader(EVERYONE, "Bearer anonymous0")] * 10
        assert mirror.hub.count("token") == 1

    async def test_who_has_no_token_because_the_service_is_down_may_have_what_is_kept(self) -> None:
        mirror = site(login=False)
        mirror.hub.down("token")
        found = await reader(mirror)
        assert found.audience == EVERYONE
        with pytest.raises(UpstreamFailure, match="refused"):
            _ = found.fields

    @pytest.mark.parametrize("status", [401, 403, 404])
    async def test_a_no_of_the_service_is_told(self, status: int) -> None:
        mirror = site(login=False)
        mirror.hub.instead["token"] = status
        with pytest.raises(Refusal, match="docxy_login=none"):
            await reader(mirror)

    @pytest.mark.parametrize(
        ("given", "status"),
        [
            pytest.param(answer(429), 429, id="too many requests"),
            pytest.param(answer(500), 502, id="an error"),
            pytest.param(answer(200, content=b"<html>"), 502, id="rubbish"),
            pytest.param(answer(200, content=bytes(100_000)), 502, id="more than a token"),
        ],
    )
    async def test_a_failure_of_the_service_says_nothing_of_the_image(
        self, given: Answer, status: int
    ) -> None:
        mirror = site(login=False)

        def answered(_request: Request) -> Answer:
            return given

        mirror.hub._answer = answered  # type: ignore[method-assign, assignment]
        with pytest.raises(UpstreamFailure, match=r"auth\.docker\.io") as raised:
            await anonymous(mirror.upstream, NAME)
        assert raised.value.status == status


class TestVisit:
    async def test_of_everyone_shows_a_new_token_once_the_last_has_ended(self) -> None:
        mirror = site()
        token = (await mirror.token())[1]
        visit = Visit(mirror.upstream, Reader(EVERYONE, token), NAME)
        assert not await visit.renew()
        mirror.clock.forward(301)
        assert await visit.renew()
        shown = dict(visit.fields)["Authorization"]
        assert shown not in ("", token)
        assert mirror.hub.count("token") == 2

    async def test_with_a_clients_own_credentials_shows_nothing_else(self) -> None:
        mirror = site()
        visit = Visit(mirror.upstream, Reader(audience_of("Bearer own"), "Bearer own"), NAME)
        assert not await visit.renew()
        assert visit.fields == [("Authorization", "Bearer own")]
        assert mirror.hub.count("token") == 0

    async def test_where_none_is_needed_shows_none(self) -> None:
        visit = Visit(site().upstream, Reader(EVERYONE), NAME)
        assert not await visit.renew()
        assert visit.fields == []

    @pytest.mark.parametrize("given", [403, 503, failure("auth.example", "cannot connect")])
    async def test_goes_on_as_it_was_where_there_is_no_new_token(self, given: Any) -> None:
        mirror = site()
        token = (await mirror.token())[1]
        visit = Visit(mirror.upstream, Reader(EVERYONE, token), NAME)
        mirror.clock.forward(301)
        mirror.hub.instead["token"] = given
        assert not await visit.renew()
        assert visit.fields == [("Authorization", token)]

    async def test_a_no_to_a_new_token_is_the_repositorys(self) -> None:
        mirror = site()
        token = (await mirror.token())[1]
        visit = Visit(mirror.upstream, Reader(EVERYONE, token), NAME)
        mirror.upstream.access.grant(EVERYONE, NAME)
        mirror.clock.forward(301)
        mirror.upstream.access.grant(EVERYONE, NAME)
        visit.hear(401)
        assert mirror.upstream.access.holds(EVERYONE, NAME)
        await visit.renew()
        visit.hear(401)
        assert not mirror.upstream.access.holds(EVERYONE, NAME)
