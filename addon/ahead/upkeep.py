"""What is done every few seconds while the mirror runs, whether anybody asks or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from addon.flows.story import UNTOLD, tell

logger = logging.getLogger(__name__)

# Seconds; well below those that a token is refreshed before its end.
EVERY = 5.0


class Upkeep:
    """Calls something again and again, from the first use on until it is closed."""

    def __init__(
        self,
        keep_up: Callable[[], Awaitable[None]],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._keep_up = keep_up
        self._wait = wait
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, if it has not begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """End it."""
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        tell(UNTOLD)  # it outlives the request that it is begun in
        while True:
            await self._wait(EVERY)
            try:
                await self._keep_up()
            except Exception:
                logger.exception("the upkeep failed, and is tried again")
