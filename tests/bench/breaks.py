"""1 GiB from far away, over connections that are cut on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from . import ways
from .images import MB
from .large import read_layer
from .runs import Options
from .site import far_hub
from .table import Goal, Result, Row

ONE_STREAM: Final = {"docxy_pieces": "1"}
TIMES: Final = 2


async def rows(options: Options) -> AsyncIterator[Result]:
    """In one stream and in pieces, each beside the same unbroken."""
    if options.quick:
        return
    whole = await _read(options, "pieces=1", 0, ONE_STREAM)
    cut = await _read(options, "pieces=1, cut every 100 MB", 100 * MB, ONE_STREAM)
    yield whole
    yield cut
    breaks = max(1, cut.upstream["cdn"] - whole.upstream["cdn"])
    each = (cut.seconds - whole.seconds) / breaks / options.round_trip
    yield Goal(f"1 GiB, one stream, {breaks} breaks: each costs", each, 1.5, "round trips")
    whole = await _read(options, "pieces", 0, {})
    cut = await _read(options, "pieces, cut every 3 MB", 3 * MB, {})
    yield whole
    yield cut
    ratio = cut.seconds / whole.seconds
    yield Goal("1 GiB, pieces, every connection cut after 3 MB", ratio, 1.15, "x unbroken")


async def _read(options: Options, name: str, cut_after: int, settings: dict[str, str]) -> Row:
    """The faster of some: a break costs less than what chance adds to a gibibyte."""
    taken = []
    async with far_hub(options.round_trip, options.folder, ["big"], cut_after) as site:
        for _ in range(TIMES):
            async with ways.mirror(site, settings) as way:
                taken.append(await read_layer(site, way, "big", name))
    return min(taken, key=lambda row: row.seconds)
