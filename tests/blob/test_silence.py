from __future__ import annotations

import asyncio

import pytest

from addon.blob.silence import Silence

LONG = 1000.0


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def trying(silence: Silence, who: str) -> asyncio.Task[bool]:
    return asyncio.get_running_loop().create_task(silence.turn(who, silence.heard))


@pytest.fixture
def silence() -> Silence:
    return Silence(LONG)


async def test_one_at_a_time_tries_on(silence: Silence) -> None:
    assert not silence.is_tried
    first, second = trying(silence, "a"), trying(silence, "b")
    await settle()
    assert (first.done(), second.done(), silence.is_tried) == (True, False, True)
    assert await first
    assert await trying(silence, "a"), "it has failed again, and is still the one"
    second.cancel()


async def test_bytes_for_any_let_all_on(silence: Silence) -> None:
    await trying(silence, "a")
    others = [trying(silence, who) for who in "bc"]
    await settle()
    silence.ends()
    assert await asyncio.gather(*others) == [True, True]
    assert not silence.is_tried


async def test_bytes_that_have_come_before_its_turn_are_enough(silence: Silence) -> None:
    heard = silence.heard
    await trying(silence, "a")
    silence.ends()
    await trying(silence, "b")
    assert await silence.turn("c", heard)


async def test_what_one_gives_up_is_given_up_for_all(silence: Silence) -> None:
    await trying(silence, "a")
    other = trying(silence, "b")
    await settle()
    silence.give_up()
    assert await other is False
    assert await trying(silence, "c") is False


async def test_bytes_after_that_are_a_new_beginning(silence: Silence) -> None:
    silence.give_up()
    silence.ends()
    assert await trying(silence, "a")


async def test_one_that_ends_leaves_the_turn_to_the_next(silence: Silence) -> None:
    await trying(silence, "a")
    other = trying(silence, "b")
    await settle()
    silence.leave("nobody")
    await settle()
    assert not other.done()
    silence.leave("a")
    assert await other
    assert silence.is_tried


async def test_nobody_waits_for_ever_for_one_that_hangs() -> None:
    silence = Silence(0.05)
    await trying(silence, "a")
    assert await asyncio.wait_for(trying(silence, "b"), 5)


async def test_one_that_fails_again_does_not_hang() -> None:
    silence = Silence(0.3)
    await trying(silence, "a")
    other = trying(silence, "b")
    for _ in range(4):
        await asyncio.sleep(0.1)
        await trying(silence, "a")
    assert not other.done()
    other.cancel()
