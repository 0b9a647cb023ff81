from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from addon.memory.tokens import (
    DEFAULT_LIFETIME,
    GIVEN_ON,
    LAST_RESORT,
    MAX_QUERY,
    SPARE,
    NoToken,
    Scopes,
    Tokens,
    anonymous_scopes,
    pull_scope,
    token_query,
)
from addon.outbound.received import WholeAnswer
from addon.protocol.errors import UpstreamFailure, failure
from tests.clock import Clock

ALPINE = pull_scope("library/alpine")
ME = pull_scope("me/app")
STALE_TIME = 1000.0
# What passes with time.
PASSING = [
    pytest.param(failure("auth.example", "down"), id="down"),
    pytest.param(WholeAnswer(429, (), b""), id="429"),
    pytest.param(WholeAnswer(500, (), b""), id="500"),
    pytest.param(WholeAnswer(503, (), b""), id="503"),
]


def granted(number: int, seconds: Any = 300, **more: object) -> WholeAnswer:
    answer = {"token": f"t{number}", "expires_in": seconds, **more}
    return WholeAnswer(200, (), json.dumps(answer).encode())


class Service:
    """A token service whose tokens are t1, t2, …"""

    def __init__(self) -> None:
        self.asked: list[Scopes] = []
        self.seconds = 300
        self.answers: list[WholeAnswer | Exception] = []
        self.gate: asyncio.Event | None = None

    async def ask(self, scopes: Scopes) -> WholeAnswer:
        self.asked.append(scopes)
        number = len(self.asked)
        if self.gate:
            await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else granted(number, self.seconds)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def tokens(service: Service, clock: Clock) -> Tokens:
    return Tokens(service.ask, 100, clock)


@pytest.fixture
def lasting(service: Service, clock: Clock) -> Tokens:
    """Tokens that are given on for so long."""
    return Tokens(service.ask, 100, clock, STALE_TIME)


class TestSharing:
    async def test_one_request_serves_all_until_a_minute_before_its_end(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        for _ in range(100):
            assert (await tokens.get(ALPINE)).value == "t1"
        clock.forward(300 - SPARE - 0.5)
        assert (await tokens.get(ALPINE)).value == "t1"
        clock.forward(0.5)
        assert (await tokens.get(ALPINE)).value == "t2"
        assert len(service.asked) == 2

    async def test_concurrent_askers_wait_for_one_request(
        self, tokens: Tokens, service: Service
    ) -> None:
        service.gate = asyncio.Event()
        askers = [asyncio.get_running_loop().create_task(tokens.get(ALPINE)) for _ in range(50)]
        for _ in range(3):
            await asyncio.sleep(0)
        service.gate.set()
        assert {token.value for token in await asyncio.gather(*askers)} == {"t1"}
        assert len(service.asked) == 1

    async def test_scopes_are_told_apart(self, tokens: Tokens) -> None:
        both = ALPINE | ME
        values = [(await tokens.get(scopes)).value for scopes in (ALPINE, ME, both, ALPINE)]
        assert values == ["t1", "t2", "t3", "t1"]

    async def test_the_answer_tells_the_seconds_that_are_left(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        service.answers = [granted(1, 300, access_token="t1", issued_at="2020-01-01T00:00:00Z")]
        await tokens.get(ALPINE)
        clock.forward(100.2)
        answer = json.loads(await tokens.give(ALPINE))
        assert answer["expires_in"] == 199
        assert (answer["token"], answer["access_token"]) == ("t1", "t1")
        assert answer["issued_at"] > "2024"

    async def test_time_that_the_request_took_is_the_tokens(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        service.gate = asyncio.Event()
        asker = asyncio.get_running_loop().create_task(tokens.get(ALPINE))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.forward(30)
        service.gate.set()
        assert (await asker).ends == clock.now + 270

    async def test_they_are_bounded_in_number(self, service: Service, clock: Clock) -> None:
        tokens = Tokens(service.ask, 5, clock)
        for number in range(100):
            await tokens.get(pull_scope(f"a{number}"))
        assert len(tokens) == 5

    async def test_one_that_did_not_open_its_repository_is_asked_for_anew(
        self, tokens: Tokens
    ) -> None:
        for scopes in (ALPINE, ME):
            await tokens.get(scopes)
        tokens.forget("library/alpine")
        values = [(await tokens.get(scopes)).value for scopes in (ALPINE, ME)]
        assert values == ["t3", "t2"]

    async def test_none_is_kept_where_none_may_be(self, service: Service, clock: Clock) -> None:
        tokens = Tokens(service.ask, 0, clock)
        assert [(await tokens.get(ALPINE)).value for _ in range(2)] == ["t1", "t2"]
        assert not tokens.covers("t2", "library/alpine")
        assert len(tokens) == 0


class TestLifetime:
    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            (300, 300.0),
            ("300", 300.0),
            (300.5, 300.5),
            (None, DEFAULT_LIFETIME),
            (0, DEFAULT_LIFETIME),
            (10**9, 86400.0),
            (float("inf"), 86400.0),
        ],
    )
    async def test_is_what_the_service_says(
        self, tokens: Tokens, service: Service, clock: Clock, said: object, seconds: float
    ) -> None:
        service.answers = [granted(1, said)]
        assert (await tokens.get(ALPINE)).ends == clock.now + seconds

    async def test_is_a_minute_where_it_says_nothing(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        service.answers = [WholeAnswer(200, (), b'{"access_token": "x"}')]
        token = await tokens.get(ALPINE)
        assert (token.value, token.ends) == ("x", clock.now + 60)

    async def test_one_too_short_to_be_shared_is_given_to_who_asked(
        self, tokens: Tokens, service: Service
    ) -> None:
        service.seconds = 30
        assert [(await tokens.get(ALPINE)).value for _ in range(3)] == ["t1", "t2", "t3"]


class TestFailures:
    @pytest.mark.parametrize(
        ("status", "content"),
        [
            pytest.param(401, b'{"details": "no"}', id="401"),
            pytest.param(429, b"slow down", id="429"),
            pytest.param(500, b"", id="500"),
            pytest.param(200, b"", id="nothing"),
            pytest.param(200, b"<html>", id="a page"),
            pytest.param(200, b"[]", id="a list"),
            pytest.param(200, b"null", id="null"),
            pytest.param(200, b"{}", id="no token"),
            pytest.param(200, b'{"token": ""}', id="an empty token"),
            pytest.param(200, b'{"token": 5}', id="a number"),
            pytest.param(200, b'{"token": "a\\r\\nX: y"}', id="a second line"),
            pytest.param(200, b'{"token": "a b"}', id="a blank"),
            pytest.param(200, '{"token": "ä"}'.encode(), id="not ASCII"),
            pytest.param(200, b'{"token": "a", "expires_in": NaN}', id="no number of seconds"),
            pytest.param(200, b'{"token": "a", "expires_in": -5}', id="less than no seconds"),
            pytest.param(200, b'{"token": "a", "expires_in": "soon"}', id="a word for seconds"),
            pytest.param(200, b'{"token": "a", "expires_in": [1]}', id="a list of seconds"),
            pytest.param(200, b"[" * 100_000, id="a depth that no parser takes"),
        ],
    )
    async def test_an_answer_without_a_token_is_whoever_asked_its_and_not_kept(
        self, tokens: Tokens, service: Service, status: int, content: bytes
    ) -> None:
        reply = WholeAnswer(status, [("X", "y")], content)
        service.answers = [reply]
        with pytest.raises(NoToken) as raised:
            await tokens.get(ALPINE)
        assert raised.value.reply is reply
        assert raised.value.is_denial == (status == 401)
        assert (await tokens.get(ALPINE)).value == "t2"

    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(failure("auth.example", "down"), id="down"),
            pytest.param(WholeAnswer(429, (), b""), id="429"),
            pytest.param(WholeAnswer(503, (), b""), id="503"),
            pytest.param(WholeAnswer(200, (), b"?"), id="rubbish"),
        ],
    )
    async def test_a_token_that_still_holds_is_given_where_there_is_no_new_one(
        self, tokens: Tokens, service: Service, clock: Clock, error: WholeAnswer | Exception
    ) -> None:
        await tokens.get(ALPINE)
        clock.forward(300 - LAST_RESORT)
        service.answers = [error, error]
        assert (await tokens.get(ALPINE)).value == "t1"
        clock.forward(1)
        with pytest.raises((NoToken, type(failure("", "")))):
            await tokens.get(ALPINE)

    async def test_a_no_is_a_no(self, tokens: Tokens, service: Service, clock: Clock) -> None:
        await tokens.get(ALPINE)
        clock.forward(270)
        service.answers = [WholeAnswer(401, (), b"")]
        with pytest.raises(NoToken):
            await tokens.get(ALPINE)


class TestGivingOn:
    """What a client is given while the service gives no token."""

    @pytest.mark.parametrize("error", PASSING)
    @pytest.mark.parametrize(
        "seconds",
        [
            pytest.param(301 - LAST_RESORT, id="before its end, but not long enough"),
            pytest.param(300, id="at its end"),
            pytest.param(299 + STALE_TIME, id="at last"),
        ],
    )
    async def test_it_is_the_last_one_for_as_long_as_docker_takes_any_token(
        self,
        lasting: Tokens,
        service: Service,
        clock: Clock,
        error: WholeAnswer | Exception,
        seconds: float,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        await lasting.give(ALPINE)
        clock.forward(seconds)
        service.answers = [error]
        answer = json.loads(await lasting.give(ALPINE))
        assert (answer["token"], answer["expires_in"]) == ("t1", GIVEN_ON)
        assert GIVEN_ON >= 60
        assert len(caplog.messages) == 1
        assert "given on" in caplog.text
        assert "t1" not in caplog.text
        # It is for clients alone, and the service is asked each time.
        service.answers = [error]
        with pytest.raises((NoToken, UpstreamFailure)):
            await lasting.get(ALPINE)
        assert json.loads(await lasting.give(ALPINE))["token"] == "t4"

    @pytest.mark.parametrize("error", PASSING)
    async def test_it_ends_with_the_time_of_stale_copies(
        self, lasting: Tokens, service: Service, clock: Clock, error: WholeAnswer | Exception
    ) -> None:
        await lasting.give(ALPINE)
        clock.forward(300 + STALE_TIME)
        service.answers = [error]
        with pytest.raises((NoToken, UpstreamFailure)):
            await lasting.give(ALPINE)

    @pytest.mark.parametrize("error", PASSING)
    @pytest.mark.parametrize("seconds", [301 - LAST_RESORT, 300, 301])
    async def test_it_is_off_without_that_time(
        self,
        tokens: Tokens,
        service: Service,
        clock: Clock,
        error: WholeAnswer | Exception,
        seconds: float,
    ) -> None:
        await tokens.give(ALPINE)
        clock.forward(seconds)
        service.answers = [error]
        with pytest.raises((NoToken, UpstreamFailure)):
            await tokens.give(ALPINE)

    @pytest.mark.parametrize("error", PASSING)
    async def test_other_scopes_are_not_enough(
        self, lasting: Tokens, service: Service, clock: Clock, error: WholeAnswer | Exception
    ) -> None:
        await lasting.give(ALPINE | ME)
        clock.forward(300)
        service.answers = [error]
        with pytest.raises((NoToken, UpstreamFailure)):
            await lasting.give(ALPINE)

    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    async def test_what_the_service_says_of_the_request_is_told(
        self, lasting: Tokens, service: Service, clock: Clock, status: int
    ) -> None:
        await lasting.give(ALPINE)
        clock.forward(300)
        service.answers = [WholeAnswer(status, (), b"")]
        with pytest.raises(NoToken):
            await lasting.give(ALPINE)

    @pytest.mark.parametrize("status", [401, 403, 404])
    async def test_a_no_stays_one_when_the_service_is_down_next(
        self, lasting: Tokens, service: Service, clock: Clock, status: int
    ) -> None:
        await lasting.give(ALPINE)
        clock.forward(270)
        service.answers = [WholeAnswer(status, (), b""), failure("auth.example", "down")]
        with pytest.raises(NoToken):
            await lasting.give(ALPINE)
        with pytest.raises(UpstreamFailure):
            await lasting.give(ALPINE)

    async def test_one_that_did_not_open_its_repository_is_not_given(
        self, lasting: Tokens, service: Service, clock: Clock
    ) -> None:
        await lasting.give(ALPINE)
        lasting.forget("library/alpine")
        service.answers = [failure("auth.example", "down")]
        with pytest.raises(UpstreamFailure):
            await lasting.give(ALPINE)

    async def test_none_is_where_none_may_be_kept(self, service: Service, clock: Clock) -> None:
        tokens = Tokens(service.ask, 0, clock, STALE_TIME)
        await tokens.give(ALPINE)
        service.answers = [failure("auth.example", "down")]
        with pytest.raises(UpstreamFailure):
            await tokens.give(ALPINE)


class TestRefreshing:
    async def test_what_is_in_use_is_asked_for_anew_before_it_is_needed(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        await tokens.get(ALPINE)
        await tokens.get(ME)
        clock.forward(179)
        await tokens.get(ALPINE)
        await tokens.refresh()
        assert len(service.asked) == 2
        clock.forward(1)
        await tokens.refresh()
        assert service.asked[2:] == [ALPINE]
        assert (await tokens.get(ALPINE)).value == "t3"

    async def test_a_client_that_shows_its_token_uses_it(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        await tokens.get(ALPINE)
        clock.forward(170)
        assert tokens.covers("t1", "library/alpine")
        clock.forward(20)
        await tokens.refresh()
        assert len(service.asked) == 2

    async def test_what_is_not_in_use_is_let_go(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        await tokens.get(ALPINE)
        for _ in range(100):
            clock.forward(15)
            await tokens.refresh()
        assert len(service.asked) == 1

    async def test_a_refresh_is_no_use(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        await tokens.get(ALPINE)
        clock.forward(119)
        await tokens.get(ALPINE)
        for _ in range(100):
            clock.forward(15)
            await tokens.refresh()
        assert len(service.asked) == 2

    @pytest.mark.parametrize("seconds", [30, 60, 61, 100])
    async def test_short_ones_are_not_asked_for_all_the_time(
        self, tokens: Tokens, service: Service, clock: Clock, seconds: int
    ) -> None:
        service.seconds = seconds
        await tokens.get(ALPINE)
        for _ in range(5):
            await tokens.refresh()
        assert len(service.asked) == 1

    async def test_a_failure_keeps_the_old_one_and_does_not_stop_the_others(
        self, tokens: Tokens, service: Service, clock: Clock
    ) -> None:
        await tokens.get(ALPINE)
        await tokens.get(ME)
        clock.forward(185)
        for scopes in (ALPINE, ME):
            await tokens.get(scopes)
        service.answers = [failure("auth.example", "down")]
        await tokens.refresh()
        values = [(await tokens.get(scopes)).value for scopes in (ALPINE, ME)]
        assert sorted(values)[0] in ("t1", "t2")
        assert sorted(values)[1] == "t4"


class TestCovering:
    async def test_is_for_the_repositories_of_its_scopes_until_its_very_end(
        self, tokens: Tokens, clock: Clock
    ) -> None:
        await tokens.get(ALPINE | ME)
        assert tokens.covers("t1", "library/alpine")
        assert tokens.covers("t1", "me/app")
        assert not tokens.covers("t1", "me/other")
        assert not tokens.covers("t2", "library/alpine")
        clock.forward(299)
        assert tokens.covers("t1", "me/app")
        clock.forward(1)
        assert not tokens.covers("t1", "me/app")

    @pytest.mark.parametrize(
        ("seconds", "is_covered"),
        [
            (0, False),
            (299, False),
            (300, True),
            (299 + STALE_TIME, True),
            (300 + STALE_TIME, False),
        ],
    )
    async def test_has_been_from_its_end_for_as_long_as_copies_may_be_stale(
        self, lasting: Tokens, clock: Clock, seconds: float, is_covered: bool
    ) -> None:
        await lasting.get(ALPINE)
        clock.forward(seconds)
        assert lasting.covered("t1", "library/alpine") is is_covered
        assert not lasting.covered("t1", "me/app")
        assert not lasting.covered("t2", "library/alpine")
        assert lasting.covers("t1", "library/alpine") is (seconds < 300)

    async def test_has_never_been_without_that_time(self, tokens: Tokens, clock: Clock) -> None:
        await tokens.get(ALPINE)
        for _ in range(400):
            clock.forward(1)
            assert not tokens.covered("t1", "library/alpine")

    async def test_has_been_for_no_more_tokens_than_are_kept(
        self, service: Service, clock: Clock
    ) -> None:
        tokens = Tokens(service.ask, 5, clock, STALE_TIME)
        for number in range(100):
            await tokens.get(pull_scope(f"a{number}"))
        clock.forward(300)
        covered = [tokens.covered(f"t{n + 1}", f"a{n}") for n in range(100)]
        assert covered == [False] * 80 + [True] * 20

    async def test_one_that_was_replaced_still_holds(self, tokens: Tokens, clock: Clock) -> None:
        await tokens.get(ME)
        clock.forward(250)
        await tokens.get(ME)
        assert tokens.covers("t1", "me/app")
        assert tokens.covers("t2", "me/app")

    @pytest.mark.parametrize(
        "scope",
        [
            "repository:me/app:push",
            "repository:me/app:",
            "repository:me/app",
            "repository:me/app2:pull",
            "repository:x/me/app:pull",
            "repository(plugin):me/app:pull",
            "registry:me/app:pull",
            "me/app:pull",
            "",
        ],
    )
    async def test_other_scopes_do_not(self, tokens: Tokens, scope: str) -> None:
        await tokens.get(frozenset({scope}))
        assert not tokens.covers("t1", "me/app")

    async def test_a_scope_may_have_more_actions(self, tokens: Tokens) -> None:
        await tokens.get(frozenset({"repository:me/app:push,pull"}))
        assert tokens.covers("t1", "me/app")

    async def test_any_text_may_be_shown(self, tokens: Tokens) -> None:
        assert not tokens.covers("ä€\udcff", "me/app")


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "scopes"),
        [
            ("service=s&scope=repository:a:pull", {"repository:a:pull"}),
            ("scope=repository%3Aa%3Apull&service=s", {"repository:a:pull"}),
            ("service=s&scope=x:a:pull&scope=x:b:pull", {"x:a:pull", "x:b:pull"}),
            ("service=s&scope=x:b:pull+x:a:pull", {"x:a:pull", "x:b:pull"}),
            ("service=s&client_id=docker&scope=x", {"x"}),
            ("service=s", set()),
            ("service=s&scope=", set()),
        ],
    )
    def test_that_ask_for_everyone(self, query: str, scopes: set[str]) -> None:
        assert anonymous_scopes(query, "s") == frozenset(scopes)

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "scope=x",
            "service=other&scope=x",
            "service=s&service=s&scope=x",
            "service=s&service=other",
            "service=s&scope=x&account=alice",
            "service=s&scope=x&offline_token=true",
            "service=s&scope=x&anything=",
            "service=s&scope=x&Scope=y",
            "service=s&scope=" + "x" * MAX_QUERY,
        ],
    )
    def test_that_ask_for_more_or_for_another_are_nobodys_but_the_askers(self, query: str) -> None:
        assert anonymous_scopes(query, "s") is None

    @pytest.mark.parametrize(
        "scopes",
        [
            frozenset[str](),
            ALPINE | ME,
            frozenset({"repository(plugin):a/b:pull,push"}),
            frozenset({"a&b=c%d#é"}),
        ],
    )
    def test_are_read_back(self, scopes: Scopes) -> None:
        assert anonymous_scopes(token_query("a service", scopes), "a service") == scopes

    def test_look_as_engines_write_them(self) -> None:
        expected = "service=registry.docker.io&scope=repository:library/alpine:pull"
        assert token_query("registry.docker.io", ALPINE) == expected
