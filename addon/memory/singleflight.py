"""One request for any number of askers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from addon.flows.story import Story, current

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    """A request on its way, and how many wait for it."""

    task: asyncio.Task[T]
    story: Story
    askers: int = 0


class SingleFlight(Generic[T]):
    """Shares what is being asked for; keeps nothing of it once it is there."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def once(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, asked once for all who want the same at the same time.

        An asker that leaves does not end the others' request; the last one does.
        """
        flight = self._flights.get(key) or self._begin(key, ask)
        flight.askers += 1
        current().joins(flight.story)
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.askers -= 1
            if not flight.askers and not flight.task.done():
                # Out of the table at once: who asks now must not be given what was ended.
                self._forget(key, flight)
                flight.task.cancel()

    def _begin(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> _Flight[T]:
        flight = _Flight(asyncio.get_running_loop().create_task(_run(ask)), current())
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._forget(key, flight))
        return flight

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # whoever still waited has seen it


async def _run(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()
