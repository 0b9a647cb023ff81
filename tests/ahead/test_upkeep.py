from __future__ import annotations

import asyncio

import pytest

from addon.ahead.upkeep import EVERY, Upkeep


class Time:
    def __init__(self) -> None:
        self.waited: list[float] = []
        self.next = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        await self.next.wait()
        self.next.clear()

    async def pass_(self) -> None:
        self.next.set()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_is_done_again_and_again_whatever_happens(caplog: pytest.LogCaptureFixture) -> None:
    done = 0

    async def keep_up() -> None:
        nonlocal done
        done += 1
        if done == 1:
            raise RuntimeError("a slip")

    time = Time()
    upkeep = Upkeep(keep_up, time.wait)
    await time.pass_()
    assert done == 0  # nobody has begun it
    upkeep.begin()
    upkeep.begin()
    time.next.clear()
    for _ in range(3):
        await asyncio.sleep(0)
        await time.pass_()
    assert done == 3
    assert set(time.waited) == {EVERY}
    assert "a slip" in caplog.text
    upkeep.close()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


async def test_that_never_began_may_be_closed() -> None:
    async def keep_up() -> None:
        raise AssertionError

    Upkeep(keep_up).close()
