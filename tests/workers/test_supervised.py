"""What a supervisor knows of one worker, by what it says."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from addon.service.notify import ALIVE, READY, Notifier
from addon.workers.supervised import Supervised
from addon.workers.worker import Worker


@pytest_asyncio.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervised]:
    lifeline, held = os.pipe()
    one = Supervised(Worker(0, 2, {}, lifeline), str(tmp_path / "notify"), patience=60.0)
    yield one
    one.send(signal.SIGKILL)
    if one.process:
        await one.process.wait()
    for descriptor in (lifeline, held):
        os.close(descriptor)
    one.ear.close()


def say(one: Supervised, word: str) -> list[str]:
    Notifier({"NOTIFY_SOCKET": one.ear.getsockname()}).tell(word)
    return one.hear()


def is_ready(one: Supervised) -> bool:
    return one.is_ready


def is_silent(one: Supervised) -> bool:
    return one.is_silent


async def test_it_serves_from_the_moment_it_says_so(supervised: Supervised) -> None:
    assert say(supervised, ALIVE) == [ALIVE]
    assert not is_ready(supervised)
    assert supervised.end() == 0.0
    assert say(supervised, READY) == [READY]
    assert is_ready(supervised)
    assert supervised.changed.is_set()
    await asyncio.sleep(0.01)
    assert say(supervised, READY) == [READY]  # after a reload
    assert supervised.end() >= 0.01
    assert not is_ready(supervised)
    assert supervised.hear() == []


async def test_one_that_serves_and_says_nothing_is_silent_and_one_that_starts_is_not(
    supervised: Supervised,
) -> None:
    assert not is_silent(supervised)  # there is none
    await supervised.start(["--version"], {})
    supervised.send(signal.SIGSTOP)  # so that it does not end
    supervised.patience = 0.01
    await asyncio.sleep(0.05)
    assert not is_silent(supervised)
    say(supervised, READY)
    assert is_ready(supervised)
    await asyncio.sleep(0.05)
    assert is_silent(supervised)
    supervised.patience = 60.0
    assert not is_silent(supervised)


async def test_a_worker_is_a_process_of_the_mirrors_with_what_it_is_told(
    supervised: Supervised,
) -> None:
    process = await supervised.start(["--version"], {"A": "b"})
    told = await asyncio.to_thread(Path(f"/proc/{process.pid}/environ").read_bytes)
    assert {b"A=b", b"DOCXY_WORKERS=2", b"WATCHDOG_USEC=60000000"} <= set(told.split(b"\0"))
    async with asyncio.timeout(30):
        assert await process.wait() == 0
    assert not supervised.runs


def test_a_place_needs_a_path_that_a_socket_can_have(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        Supervised(Worker(0, 1, {}, 0), str(tmp_path / ("a" * 200)), 1.0)
