"""Pulls that are measured: one, several one after the other, many at once."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .engine import Style, pull
from .measures import Process, count_kinds
from .site import Site
from .table import Row
from .timeline import timeline
from .ways import Way

# Until what a pull has begun for nobody is over, or shows in the Hub's log.
AFTERWARDS_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; the round trip in seconds."""

    folder: Path
    round_trip: float = 0.2
    repeat: int = 3
    quick: bool = False
    timelines: bool = False
    workers: int = 0
    """Of the mirror; 0: it is one process, without a supervisor."""


async def measured(
    site: Site,
    way: Way,
    image: str,
    name: str,
    *,
    style: Style = "docker",
    round_trip: float | None = None,
    timelines: bool = False,
) -> Row:
    """One pull."""
    await site.log()
    process = Process(way.process) if way.process else None
    tls = site.client_tls()
    cpu = begin(process)
    began = time.monotonic()
    steps = await pull(way.url, image, tls, style)
    seconds = time.monotonic() - began
    await asyncio.sleep(AFTERWARDS_SECONDS)
    seen = await site.log()
    unit = site.round_trip if round_trip is None else round_trip
    if timelines:
        print(f"\n{image}, {name}: {seconds * 1000:.0f} ms")
        print("\n".join(timeline(steps, seen, began, unit)), flush=True)
    row = Row(image, name, seconds, unit, sum(step.size for step in steps))
    return end(replace(row, upstream=count_kinds(seen)), process, cpu)


async def many(
    site: Site,
    way: Way,
    image: str,
    name: str,
    count: int,
    at_once: int,
    source: Callable[[int], str] = lambda _: "",
) -> Row:
    """So many pulls by so many clients, each over connections of its own, from its address."""
    await site.log()
    process = Process(way.process) if way.process else None
    tls = site.client_tls()
    cpu = begin(process)
    began = time.monotonic()
    places = asyncio.Semaphore(at_once)
    sizes: list[int] = []

    async def one(number: int) -> None:
        async with places:
            steps = await pull(way.url, image, tls, source=source(number))
            sizes.append(sum(step.size for step in steps))

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
    seconds = time.monotonic() - began
    what = f"{count} x {image}, {at_once} at once"
    row = Row(what, name, seconds, site.round_trip, sum(sizes))
    return end(replace(row, upstream=count_kinds(await site.log())), process, cpu)


def own_address(number: int) -> str:
    """The loopback address of one of many clients."""
    return f"127.1.{number // 200 + 1}.{number % 200 + 1}"


def median(rows: Sequence[Row]) -> Row:
    """The row in the middle, by time."""
    middle = statistics.median_low([row.seconds for row in rows])
    return next(row for row in rows if row.seconds == middle)


def begin(process: Process | None) -> float:
    """Its CPU seconds so far; its peak counts from now on."""
    if process is None:
        return 0.0
    process.forget_peak()
    return process.cpu_seconds()


def end(row: Row, process: Process | None, cpu: float) -> Row:
    """The row with what the process spent since `begin`."""
    if process is None:
        return row
    spent = process.cpu_seconds() - cpu
    return replace(row, cpu_seconds=spent, peak=process.memory("VmHWM"))
