"""Processes of a benchmark: the Hub, the relay, each ended with the block that began it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from tests.running import PROJECT

# A line of the Hub's log may hold thousands of requests.
LONGEST_LINE = 64 * 1024 * 1024

T = TypeVar("T")


class Child:
    """A process that answers lines of JSON with lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line that it says."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("a helper of the benchmark has ended")
        return line.decode()

    async def ask(self, **question: object) -> Any:
        """Its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        await self.process.stdin.drain()
        return json.loads(await self.line())


@contextlib.asynccontextmanager
async def running(module: str, *words: str, prefix: Sequence[str] = ()) -> AsyncIterator[Child]:
    """A module of this package as a process; `prefix` stands before Python on its command line."""
    process = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-m",
        f"tests.bench.{module}",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=PROJECT,
        limit=LONGEST_LINE,
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def run_to_end(work: Coroutine[object, object, T]) -> T:
    """Run it; SIGTERM ends it as Ctrl-C does, so that nothing it began is left running."""

    async def run() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return asyncio.run(run())
