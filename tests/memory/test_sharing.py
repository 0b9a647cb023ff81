from __future__ import annotations

import base64
import json
import math

import pytest

from addon.memory.sharing import EVERYONE, Access, Reader, audience_of, end_of, token_of
from addon.protocol.errors import UpstreamFailure, failure
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock) -> Access:
    return Access(300, 100, clock)


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.signature"


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        ("Bearer abc.d", "abc.d"),
        ("bEARER abc", "abc"),
        ("Bearer ", ""),
        ("Bearer", ""),
        ("Basic eDp5", ""),
        ("abc", ""),
        ("", ""),
    ],
)
def test_a_token_is_what_a_bearer_shows(authorization: str, token: str) -> None:
    assert token_of(authorization) == token


class TestAudiences:
    def test_are_one_for_each_secret_and_never_everyone(self) -> None:
        secrets = ["Bearer a", "Bearer b", "bearer a", "Basic a", "", " "]
        audiences = {audience_of(secret) for secret in secrets}
        assert len(audiences) == len(secrets)
        assert EVERYONE not in audiences

    def test_show_no_secret(self) -> None:
        assert "hunter2" not in audience_of("Basic hunter2")


class TestReader:
    def test_shows_its_proof(self) -> None:
        assert Reader("x", "Bearer a").fields == [("Authorization", "Bearer a")]
        assert Reader(EVERYONE).fields == []

    def test_without_the_proof_that_is_needed_cannot_ask(self) -> None:
        with pytest.raises(UpstreamFailure, match="down"):
            _ = Reader(EVERYONE, failure=failure("auth.example", "down")).fields


class TestAccess:
    def test_holds_for_a_time_after_the_last_yes(self, access: Access, clock: Clock) -> None:
        assert not access.holds(EVERYONE, "a")
        access.grant(EVERYONE, "a")
        clock.forward(299)
        assert access.holds(EVERYONE, "a")
        clock.forward(1)
        assert not access.holds(EVERYONE, "a")
        access.grant(EVERYONE, "a")
        assert access.holds(EVERYONE, "a")

    def test_is_for_one_audience_and_repository(self, access: Access) -> None:
        access.grant("x", "a")
        assert not access.holds("x", "b")
        assert not access.holds("y", "a")
        assert not access.holds(EVERYONE, "a")
        assert access.of("x") == ["a"]

    def test_ends_with_a_no(self, access: Access) -> None:
        access.grant(EVERYONE, "a")
        access.revoke(EVERYONE, "a")
        access.revoke(EVERYONE, "never granted")
        assert not access.holds(EVERYONE, "a")
        assert access.age(EVERYONE, "a") == math.inf

    def test_tells_how_long_ago_the_last_yes_was(self, access: Access, clock: Clock) -> None:
        access.grant(EVERYONE, "a")
        clock.forward(1000)
        assert access.age(EVERYONE, "a") == 1000

    @pytest.mark.parametrize("seconds", [0, 0.0])
    def test_never_holds_where_it_is_always_checked(self, clock: Clock, seconds: float) -> None:
        access = Access(seconds, 10, clock)
        access.grant(EVERYONE, "a")
        assert not access.holds(EVERYONE, "a")

    def test_that_has_ended_is_told_for_single_tokens(self, access: Access, clock: Clock) -> None:
        access.grant(EVERYONE, "a")
        access.grant("x", "a")
        clock.forward(10)
        access.grant("y", "a")
        clock.forward(290)
        assert access.ended() == [("x", "a")]

    def test_is_bounded(self, clock: Clock) -> None:
        access = Access(300, 3, clock)
        for number in range(10):
            access.grant(EVERYONE, str(number))
        assert [access.holds(EVERYONE, str(n)) for n in range(10)] == [False] * 7 + [True] * 3


class TestEnds:
    def test_a_token_may_say_when_it_ends(self) -> None:
        assert end_of(jwt({"exp": 1700000000, "aud": "x"})) == 1700000000

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param("", id="nothing"),
            pytest.param("opaque", id="no JWT"),
            pytest.param("a.b.c", id="no base64"),
            pytest.param("a.€.c", id="not ASCII"),
            pytest.param(jwt({"iat": 5}), id="no end"),
            pytest.param(jwt([]), id="no claims"),
            pytest.param(jwt({"exp": "soon"}), id="a word"),
            pytest.param(jwt({"exp": None}), id="null"),
            pytest.param(jwt({"exp": 10**400}), id="too large for a number"),
            pytest.param("a." + base64.b64encode(b"[" * 100_000).decode() + ".c", id="deep"),
            pytest.param("dXNlcjpwYXNzd29yZA==", id="a password"),
        ],
    )
    def test_one_that_does_not_say_ends_never(self, token: str) -> None:
        assert end_of(token) == math.inf
