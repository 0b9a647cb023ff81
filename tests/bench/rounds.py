"""Round trips of small pulls, with the Hub far away.

A row is the whole time over the round trip: the fraction is CPU time, as in the figures that must
be reached. "Just started" has waited some round trips for its first client, and its state is that
of an earlier start (so the CDN's name is known); it remembers nothing of the image.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Final

from . import ways
from .runs import Options, many, measured, median
from .site import Site, far_hub
from .table import Goal, Result, Row

SETTLE_SECONDS: Final = 2.0
NOT_IN_MEMORY: Final = {"docxy_memory_blob_size": "0"}
ALWAYS_CHECKED: Final = {"docxy_tag_ttl": "0"}
FORGETFUL: Final = {"docxy_remember": "false"}


async def rows(options: Options) -> AsyncIterator[Result]:
    """One layer and eight, every way."""
    async with far_hub(options.round_trip, options.folder, ["one", "eight", "small"]) as site:
        site = replace(site, workers=options.workers)
        await _learn(site)
        for image in ("one", "eight"):
            async for each in _compared(site, image, options):
                yield each
        async for result in _one(site, options):
            yield result
        async for result in _eight(site, options):
            yield result
        yield await _pulls_of_one_tag(site)


async def _learn(site: Site) -> None:
    async with ways.mirror(site) as way:
        await measured(site, way, "small", "")


async def _compared(site: Site, image: str, options: Options) -> AsyncIterator[Row]:
    yield await _repeated(site, ways.direct(site), image, "direct", options)
    async with ways.plain(site) as way:
        yield await _repeated(site, way, image, "plain mitmdump", options)
    yield await just_started(site, image, "remember=false, just started", options, FORGETFUL)
    yield await again(site, image, "remember=false, again", options, FORGETFUL)


async def _one(site: Site, options: Options) -> AsyncIterator[Result]:
    row = await just_started(site, "one", "just started", options)
    yield row
    yield _goal("one layer, just started", row, 4.7)
    row = await again(site, "one", "warm, tag checked", options, ALWAYS_CHECKED)
    yield row
    yield _goal("one layer, warm, tag checked", row, 1.4)
    row = await again(site, "one", "warm, within the TTL", options)
    yield row
    yield _goal("one layer, warm, within the TTL", row, 0.4)


async def _eight(site: Site, options: Options) -> AsyncIterator[Result]:
    row = await just_started(site, "eight", "just started", options)
    yield row
    yield _goal("8 layers, just started", row, 5.3)
    settings = {**NOT_IN_MEMORY, **ALWAYS_CHECKED}
    row = await again(site, "eight", "checked, not in memory", options, settings)
    yield row
    yield _goal("8 layers, warm, tag checked, layers not in memory", row, 2.0)
    row = await again(site, "eight", "within TTL, not in memory", options, NOT_IN_MEMORY)
    yield row
    yield _goal("8 layers, warm, within the TTL, layers not in memory", row, 1.8)
    yield await again(site, "eight", "within TTL, in memory", options)


async def _pulls_of_one_tag(site: Site) -> Goal:
    async with ways.mirror(site) as way:
        row = await many(site, way, "small", "", count=100, at_once=20)
    gets = row.upstream.get("manifest GET", 0)
    return Goal("manifest GETs for 100 pulls of one tag", gets, 1)


async def just_started(
    site: Site,
    image: str,
    name: str,
    options: Options,
    settings: Mapping[str, str] | None = None,
) -> Row:
    """A mirror for each pull."""
    taken = []
    for number in range(options.repeat):
        async with ways.mirror(site, settings) as way:
            await asyncio.sleep(SETTLE_SECONDS)
            shown = options.timelines and number == 0
            taken.append(await measured(site, way, image, name, timelines=shown))
    return median(taken)


async def again(
    site: Site,
    image: str,
    name: str,
    options: Options,
    settings: Mapping[str, str] | None = None,
) -> Row:
    """A mirror that the image was pulled through already."""
    async with ways.mirror(site, settings) as way:
        await measured(site, way, image, name)
        return await _repeated(site, way, image, name, options)


async def _repeated(site: Site, way: ways.Way, image: str, name: str, options: Options) -> Row:
    taken = [
        await measured(site, way, image, name, timelines=options.timelines and number == 0)
        for number in range(options.repeat)
    ]
    return median(taken)


def _goal(what: str, row: Row, must: float) -> Goal:
    return Goal(what, row.round_trips or 0.0, must, "round trips")
