"""A Hub in a thread of its own: for tests that block their event loop, or have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from .hub import Hub

T = TypeVar("T")

_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Background:
    """Settings, faults, images and the log may be used from any thread.

    What touches sockets goes through here: `run(hub.cdn.listen())`, `call(hub.cdn.refuse)`, and so
    `mute`, `use_certificate` and `drop_connections`.
    """

    hub: Hub
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(_SECONDS)

    def call(self, function: Callable[[], T]) -> T:
        async def called() -> T:
            return function()

        return self.run(called())


@contextmanager
def in_background(hub: Hub) -> Iterator[Background]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="test Hub", daemon=True)
    thread.start()
    background = Background(hub, loop)
    try:
        background.run(hub.start())
        yield background
    finally:
        background.run(hub.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_SECONDS)
        loop.close()
