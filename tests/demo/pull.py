"""The demo's pull: an engine's, as `docxy.pull` makes it, and each request's record."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from addon.inspection.engine import Engine
from addon.inspection.loopback import Loopback, OwnPort
from addon.inspection.steps import PullFailed, Step
from addon.protocol.imagename import ImageName
from addon.protocol.platforms import Platform

from .asked import Asked

IMAGE = ImageName("alpine", "latest")
PLATFORM = Platform("linux", "amd64")
AGENT = "docxy-demo"


@contextlib.asynccontextmanager
async def client_of(host: str, port: int) -> AsyncIterator[Loopback]:
    """Everything on one address, as a client sees a mirror."""
    client = Loopback(OwnPort(host, port), AGENT)
    try:
        yield client
    finally:
        await client.close()


async def wait(client: Loopback) -> None:
    """Until the mirror answers: it may listen a little before."""
    try:
        async with client.get("/health", {}) as response:
            async for _ in response.pieces():
                pass
    except OSError as e:
        raise PullFailed(f"GET /health: {e}") from e


async def pull(client: Loopback, told: Callable[[Asked], None]) -> None:
    """Pull the image; `told` hears of each request once it is answered."""
    await Engine(client, lambda step: told(to_asked(step))).pull(IMAGE, PLATFORM)


def to_asked(step: Step) -> Asked:
    times = (step.started, step.ended)
    return Asked(step.kind, "GET", step.target, step.status or None, step.size, *times)
