"""A supervisor whose workers are processes that only wait."""

from __future__ import annotations

import asyncio
import errno
import os
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from addon.workers import restarts, supervisor
from addon.workers.supervised import Supervised
from addon.workers.supervisor import Supervisor

LACK = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def acts(monkeypatch: pytest.MonkeyPatch, starts: Iterator[OSError | None]) -> list[Process]:
    """Let each start fail as it is said; the processes."""
    processes: list[Process] = []

    async def start(each: Supervised, _words: Sequence[str], _more: Mapping[str, str]) -> Process:
        trouble = next(starts)
        if trouble:
            raise trouble
        each.process = await asyncio.create_subprocess_exec("sleep", "60")
        processes.append(each.process)
        each.is_ready = True
        each.changed.set()
        return each.process

    monkeypatch.setattr(Supervised, "start", start)
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "has_terminal", lambda: True)
    return processes


async def until(processes: Sequence[Process], count: int) -> None:
    async with asyncio.timeout(20):
        while len(processes) < count:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.01)


async def test_a_worker_that_cannot_be_started_is_tried_again_and_the_others_serve_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    processes = acts(monkeypatch, iter([None, None, LACK, LACK, None]))
    one = Supervisor([], 2, [], tmp_path, logs_json=False)
    running = asyncio.get_running_loop().create_task(one.run())
    await until(processes, 2)
    processes[1].kill()
    await until(processes, 3)
    assert processes[0].returncode is None
    one._end()
    async with asyncio.timeout(20):
        assert await running == 0
    assert caplog.text.count("worker 1 cannot be started") == 2


async def test_a_first_worker_that_cannot_be_started_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    acts(monkeypatch, iter([LACK]))
    async with asyncio.timeout(20):
        assert await Supervisor([], 2, [], tmp_path, logs_json=False).run() == 1
    assert "worker 0 cannot be started" in caplog.text
