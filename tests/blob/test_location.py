from __future__ import annotations

import asyncio

import pytest

from addon.blob.location import Location
from addon.blob.urgency import Asker, Urgency
from addon.protocol.errors import UpstreamFailure
from tests.cdn import CDN, URL, Cdn, registry_blob, ways_to
from tests.outbounds import closings, redirect
from tests.upstreams import settle


def location_at(cdn: Cdn, *, is_known: bool = False) -> Location:
    ways = ways_to(cdn, is_known=is_known)
    return Location(ways, registry_blob(), ways.redirects)


def asker() -> Asker:
    return Asker(Urgency.ASKED)


async def test_what_the_registry_names_is_remembered_for_that_method() -> None:
    cdn = Cdn()
    location = location_at(cdn)
    assert location.host == "registry-1.docker.io"
    assert await location.ask("GET", [], asker()) is None
    assert (location.known("GET"), location.known("HEAD")) == (CDN, None)
    assert location.host == "cdn.example"
    location.forget("GET")
    assert location.known("GET") is None
    assert closings(cdn.answers) == [1]


async def test_an_answer_that_names_nothing_is_given_to_who_asked() -> None:
    cdn = Cdn()
    cdn.status = 200
    location = location_at(cdn)
    answer = await location.ask("GET", [], asker())
    assert answer is not None
    assert answer.status == 200
    assert location.known("GET") is None
    answer.body.close()
    assert closings(cdn.answers) == [1]


async def test_it_is_given_to_one_of_those_that_ask_at_the_same_time() -> None:
    cdn = Cdn()
    cdn.status = 404
    location = location_at(cdn)
    answers = await asyncio.gather(*(location.ask("GET", [], asker()) for _ in range(3)))
    assert [answer and answer.status for answer in answers] == [404, None, None]
    assert cdn.asked == [URL]


async def test_it_is_closed_where_who_asked_first_has_left() -> None:
    cdn = Cdn()
    cdn.status = 200
    ways = ways_to(cdn, is_known=False)
    location = Location(ways, registry_blob(), ways.redirects)
    lanes = ways.lanes.of(location.host)
    places = [await lanes.enter(asker()) for _ in range(2)]
    loop = asyncio.get_running_loop()
    leaving, staying = (loop.create_task(location.ask("GET", [], asker())) for _ in range(2))
    await settle()
    leaving.cancel()
    await settle()
    assert cdn.asked == []
    for place in places:
        assert place
        place.leave()
    assert await staying is None
    assert closings(cdn.answers) == [1]


@pytest.mark.parametrize("target", ["ftp://cdn.example/x", "https://"])
async def test_a_redirect_that_leads_nowhere_is_not_remembered(target: str) -> None:
    cdn = Cdn()
    location = location_at(cdn)
    cdn.redirect = redirect(target)
    with pytest.raises(UpstreamFailure):
        await location.ask("GET", [], asker())
    assert location.known("GET") is None
    assert closings(cdn.answers) == [1]


class TestStatus:
    @pytest.mark.parametrize("status", [200, 307, 404, 503])
    async def test_is_what_the_registry_says(self, status: int) -> None:
        cdn = Cdn()
        cdn.status = status
        assert await location_at(cdn).status(asker()) == status
        assert (cdn.asked, closings(cdn.answers)) == ([URL], [1])

    async def test_is_not_asked_for_where_an_address_holds(self) -> None:
        cdn = Cdn()
        assert await location_at(cdn, is_known=True).status(asker()) == 307
        assert cdn.asked == []

    async def test_each_asks_for_itself_where_nothing_is_named(self) -> None:
        """What one client is told is not said of another."""
        cdn = Cdn()
        cdn.status = 404
        location = location_at(cdn)
        assert await asyncio.gather(*(location.status(asker()) for _ in range(2))) == [404, 404]
        assert closings(cdn.answers) == [1] * len(cdn.asked)
