"""CPU and memory, with everything near.

Every way has some seconds to itself before it is measured: loading a program is no pull's cost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from . import ways
from .large import read_layer
from .measures import MIB
from .rounds import SETTLE_SECONDS
from .runs import Options, many, measured
from .site import Site, far_hub
from .table import Goal, Result, Row

PEAK_MIB: Final = 200
COUNT, AT_ONCE = 200, 50
FORGETFUL: Final = {"docxy_remember": "false"}


async def rows(options: Options) -> AsyncIterator[Result]:
    """Every image, every way, in one run."""
    images = ["one", "eight"] if options.quick else ["one", "eight", "big"]
    peak = 0
    async with far_hub(0.0, options.folder, images) as site:
        for image in images:
            async for each in _compared(site, image):
                peak = max(peak, _peak_of(each))
                yield each
        if not options.quick:
            async for each in _many(site):
                peak = max(peak, _peak_of(each))
                yield each
    yield Goal("peak memory of the mirror in any row", peak / MIB, PEAK_MIB, "MiB")


@contextlib.asynccontextmanager
async def settled(
    way: contextlib.AbstractAsyncContextManager[ways.Way],
) -> AsyncIterator[ways.Way]:
    """A way that has been started a while ago."""
    async with way as started:
        await asyncio.sleep(SETTLE_SECONDS)
        yield started


def _peak_of(each: Result) -> int:
    is_mirror = isinstance(each, Row) and each.way != "plain mitmdump"
    return each.peak or 0 if is_mirror and isinstance(each, Row) else 0


async def _compared(site: Site, image: str) -> AsyncIterator[Result]:
    yield await _once(site, ways.direct(site), image, "direct")
    async with settled(ways.plain(site)) as way:
        plain = await _once(site, way, image, "plain mitmdump")
        yield plain
    async with settled(ways.mirror(site)) as way:
        started = await _once(site, way, image, "just started")
        yield started
        yield await _once(site, way, image, "warm")
    async with settled(ways.mirror(site, FORGETFUL)) as way:
        yield await _once(site, way, image, "remember=false, just started")
        yield await _once(site, way, image, "remember=false, again")
    if image == "big":
        yield _goal("CPU for 1 GiB, TLS on both sides", started, plain, 0.62)


async def _once(site: Site, way: ways.Way, image: str, name: str) -> Row:
    if image == "big":
        return await read_layer(site, way, image, name)
    return await measured(site, way, image, name)


async def _many(site: Site) -> AsyncIterator[Result]:
    yield await many(site, ways.direct(site), "one", "direct", COUNT, AT_ONCE)
    async with settled(ways.plain(site)) as way:
        plain = await many(site, way, "one", "plain mitmdump", COUNT, AT_ONCE)
    yield plain
    async with settled(ways.mirror(site)) as way:
        started = await many(site, way, "one", "just started", COUNT, AT_ONCE)
        yield started
        yield await many(site, way, "one", "warm", COUNT, AT_ONCE)
    async with settled(ways.mirror(site, FORGETFUL)) as way:
        yield await many(site, way, "one", "remember=false", COUNT, AT_ONCE)
    yield _goal(f"CPU for {COUNT} pulls, {AT_ONCE} at once, TLS", started, plain, 0.5)


def _goal(what: str, row: Row, plain: Row, must: float) -> Goal:
    ratio = (row.cpu_seconds or 0.0) / (plain.cpu_seconds or 1.0)
    return Goal(what, ratio, must, "x plain mitmdump")
