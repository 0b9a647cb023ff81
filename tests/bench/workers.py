"""One process and several, with everything near: what pulls cost, and who gets them.

Each pull comes from an address of its own, as the address decides about the worker. Load, Hub and
mirror share the cores, so it is the CPU seconds that compare; the rate says what is left of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from . import ways
from .cost import settled
from .runs import Options, many, own_address
from .site import Site, far_hub
from .table import Goal, Result, Row

COUNT, AT_ONCE = 200, 50
# Each worker must have no more than so many times its share of the pulls.
LARGEST_SHARE: Final = 1.5
# CPU seconds of a pull must not rise; from run to run they vary by some hundredths.
SAME: Final = 1.0


async def rows(options: Options) -> AsyncIterator[Result]:
    """The same pulls through one process, and through so many workers."""
    count = 20 if options.quick else COUNT
    workers = max(2, options.workers)
    cost: dict[int, float] = {}
    async with far_hub(0.0, options.folder, ["one"]) as site:
        for each in (1, workers):
            site = replace(site, workers=0 if each == 1 else each)
            async with settled(ways.mirror(site)) as way:
                name = "one process" if each == 1 else f"{each} workers"
                first = await _pulls(site, way, f"{name}, just started", count)
                yield first
                again = await _pulls(site, way, f"{name}, warm", count)
                yield again
                cost[each] = (first.cpu_seconds or 0.0) + (again.cpu_seconds or 0.0)
                if each > 1:
                    yield await _spread(way, each)
    ratio = cost[workers] / (cost[1] or 1.0)
    yield Goal(f"CPU for {2 * count} pulls, {workers} workers", ratio, SAME, "x one process")


async def _pulls(site: Site, way: ways.Way, name: str, count: int) -> Row:
    return await many(site, way, "one", name, count, AT_ONCE, source=own_address)


async def _spread(way: ways.Way, workers: int) -> Goal:
    """The most of as many addresses that one worker has."""
    assert way.mirror is not None
    url = urlsplit(way.url)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(COUNT):
            _, writer = await asyncio.open_connection(
                url.hostname, url.port, local_addr=(own_address(number), 0)
            )
            stack.callback(writer.close)
        await asyncio.sleep(1)  # until all are accepted
        found = accepted(way.mirror.children(), url.port or 0)
    most = max(found.values(), default=0)
    counts = ", ".join(str(n) for n in found.values())
    what = f"most of {sum(found.values())} addresses at one of {len(found)} workers ({counts})"
    return Goal(what, most, LARGEST_SHARE * COUNT / workers)


def accepted(pids: Iterable[int], port: int) -> Counter[int]:
    """How many connections to a port on 127.0.0.1 each process holds (proc(5), net/tcp)."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        address, _, number = fields[1].partition(":")
        local = socket.inet_ntoa(struct.pack("=I", int(address, 16)))
        is_established = fields[3] == "01"
        if is_established and local == "127.0.0.1" and int(number, 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    found: Counter[int] = Counter()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found[pid] += os.readlink(descriptor) in inodes
    return found
