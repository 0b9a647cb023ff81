"""One request for any number of askers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares what is being asked for; keeps nothing of it once it is there."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}
        self._waiting: dict[Hashable, int] = {}

    async def once(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, asked once for all who want the same at the same time.

        An asker that leaves does not end the others' request; the last one does.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(_run(ask))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            return await asyncio.shield(task)
        finally:
            left = self._waiting[key] = self._waiting[key] - 1
            if not left:
                del self._waiting[key]
                if not task.done():
                    # Out of the table at once: who asks now must not be given what was ended.
                    del self._tasks[key]
                    task.cancel()

    def _forget(self, key: Hashable, done: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is done:
            del self._tasks[key]
        if not done.cancelled():
            done.exception()  # whoever still waited has seen it


async def _run(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()
