from __future__ import annotations

import asyncio

import pytest

from addon.memory.learning import LearntRegistry
from addon.outbound.received import Answer
from addon.protocol.errors import MirrorError, UpstreamFailure
from addon.protocol.registry import Registry, parse_registry
from tests.outbounds import FakeOutbound, answer, closings, fake

OTHER = Registry("https://r.example", official="")
BEARER = ("WWW-Authenticate", 'Bearer realm="https://auth.example/token",service="s"')
KNOWN = Registry("https://r.example", "https://auth.example/token", "s", "", True)
FAILURE = UpstreamFailure(504, "UNAVAILABLE", "upstream r.example: time-out")


def learner(outbound: FakeOutbound, registry: Registry = OTHER) -> LearntRegistry:
    return LearntRegistry(registry, outbound.outbound)


async def test_docker_hub_is_not_asked() -> None:
    hub = parse_registry("", official="library")
    outbound = fake()
    learnt = learner(outbound, hub)
    assert learnt.now == hub
    assert await learnt.known() == hub
    assert outbound.asked == []


async def test_another_registry_is_asked_once() -> None:
    first = answer(401, BEARER)
    outbound = fake(first)
    learnt = learner(outbound)
    assert learnt.now == OTHER
    assert await learnt.known() == KNOWN
    assert await learnt.known() == KNOWN
    assert learnt.now == KNOWN
    (asked,) = outbound.asked
    assert (asked.method, asked.url, asked.redirected) == ("GET", "https://r.example/v2/", False)
    # Nobody's credentials are needed to hear who gives them.
    assert not asked.has_authorization
    assert closings([first]) == [1]


async def test_many_who_wait_ask_once() -> None:
    gate = asyncio.Event()
    outbound = fake(answer(401, BEARER), gate=gate)
    learnt = learner(outbound)
    waiting = [asyncio.ensure_future(learnt.known()) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*waiting) == [KNOWN] * 20
    assert len(outbound.asked) == 1


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([("WWW-Authenticate", 'Basic realm="b"'), BEARER], id="behind another field"),
        pytest.param([("www-authenticate", f'Basic realm="b", {BEARER[1]}')], id="in one field"),
        pytest.param(
            [("WWW-Authenticate", "Bearer"), ("WWW-Authenticate", BEARER[1])],
            id="behind one without a realm",
        ),
    ],
)
async def test_the_bearer_challenge_is_found(fields: list[tuple[str, str]]) -> None:
    assert await learner(fake(answer(401, *fields))).known() == KNOWN


async def test_a_registry_that_asks_for_no_token_is_learnt_as_such() -> None:
    outbound = fake(answer(200))
    learnt = learner(outbound)
    assert await learnt.known() == OTHER
    assert await learnt.known() == OTHER
    assert len(outbound.asked) == 1


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        pytest.param(answer(401), "without a challenge", id="no challenge"),
        pytest.param(
            answer(401, ("WWW-Authenticate", 'Basic realm="b"')), "without a challenge", id="Basic"
        ),
        pytest.param(
            answer(401, ("WWW-Authenticate", "Bearer")), "without a challenge", id="no realm"
        ),
        pytest.param(
            answer(401, ("WWW-Authenticate", 'Bearer realm="')), "without a challenge", id="junk"
        ),
        pytest.param(answer(503, BEARER), "answered 503", id="another status"),
        pytest.param(answer(307, ("Location", "/x")), "answered 307", id="a redirect"),
        pytest.param(
            answer(401, ("WWW-Authenticate", 'Bearer realm="http://a.example/"')),
            "is not https",
            id="a realm in the clear",
        ),
        pytest.param(FAILURE, "time-out", id="no answer"),
    ],
)
async def test_a_failure_is_not_learnt(upstream: Answer | MirrorError, words: str) -> None:
    learnt = learner(fake(upstream, answer(401, BEARER)))
    with pytest.raises(UpstreamFailure, match=words):
        await learnt.known()
    assert await learnt.known() == KNOWN


async def test_many_who_wait_learn_of_one_failure() -> None:
    # One after the other would wait for a time-out of its own: a minute each.
    gate = asyncio.Event()
    outbound = fake(*[FAILURE] * 20, gate=gate)
    learnt = learner(outbound)
    waiting = [asyncio.ensure_future(learnt.known()) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, UpstreamFailure) for outcome in outcomes)
    assert len(outbound.asked) == 1
    # Whoever comes later asks anew.
    with pytest.raises(UpstreamFailure):
        await learnt.known()
    assert len(outbound.asked) == 2


async def test_who_leaves_takes_nobody_along() -> None:
    gate = asyncio.Event()
    outbound = fake(answer(401, BEARER), gate=gate)
    learnt = learner(outbound)
    first, second = (asyncio.ensure_future(learnt.known()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    assert await asyncio.wait_for(second, 5) == KNOWN
