"""The benchmark's own parts: that the relay delays as a line does, and that the table is right."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bench import ways
from tests.bench.command import run
from tests.bench.inspect import STEP, Load, Look, growth, measure
from tests.bench.large import read_layer
from tests.bench.measures import MIB, Process, count_kinds
from tests.bench.relay import Route, serve
from tests.bench.runs import many, measured, median
from tests.bench.site import far_hub
from tests.bench.table import Goal, Row, as_json, format_goals, format_rows
from tests.bench.workers import accepted
from tests.ports import free_port
from tests.terminal import has_tmux

ROUND_TRIP = 0.04
HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def relayed_echo(cut_after: int = 0) -> AsyncIterator[tuple[str, int]]:
    """What is sent there comes back, over the relay."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    target = server.sockets[0].getsockname()[:2]
    listen = (HOST, free_port(HOST))
    (relay,) = await serve([Route(listen, target, cut_after)], ROUND_TRIP)
    try:
        yield listen
    finally:
        relay.close()
        server.close()


async def test_the_relay_costs_a_round_trip_and_one_more_for_the_handshake() -> None:
    async with relayed_echo() as address:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection(*address)
        for round_trips in (2, 3, 4):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            # At least: a busy machine may add to it.
            assert time.monotonic() - began >= round_trips * ROUND_TRIP
        writer.close()


async def test_an_idle_connection_costs_no_handshake_anymore() -> None:
    async with relayed_echo() as address:
        reader, writer = await asyncio.open_connection(*address)
        await asyncio.sleep(ROUND_TRIP)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()


async def test_much_passes_the_relay_whole_and_in_order() -> None:
    sent = bytes(range(256)) * 65536
    async with relayed_echo() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        writer.close()


async def test_the_relay_ends_what_an_end_has_ended() -> None:
    async with relayed_echo() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read() in (b"last words", b"")
        writer.close()


async def test_the_relay_cuts_after_so_many_bytes() -> None:
    async with relayed_echo(cut_after=1000) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(bytes(5000))
        assert len(await reader.read()) == 1000
        writer.close()


@pytest.mark.parametrize("text", ["127.0.0.2:80=127.0.0.1:8080", "127.0.0.2:80=127.0.0.1:81/3"])
def test_a_route_is_written_as_it_is_read(text: str) -> None:
    assert str(Route.parse(text)) == text


ROW = Row("one", "direct", 0.5, 0.2, 4_000_000, 0.25, 3 * 1024 * 1024, {"token": 1, "cdn": 2})


def test_a_row_is_counted_in_round_trips() -> None:
    assert (ROW.round_trips, ROW.rate) == (2.5, 8.0)
    assert Row("one", "direct", 0.5).round_trips is None
    line = format_rows([ROW])[1]
    assert " ".join(line.split()) == "one direct 500 2.50 8 0.25 3 1 token, 2 cdn"


def test_the_row_in_the_middle_stands_for_all() -> None:
    rows = [Row("one", "direct", seconds) for seconds in (3.0, 1.0, 2.0)]
    assert median(rows) is rows[2]
    assert median(rows[:2]) is rows[1]


@pytest.mark.parametrize(
    ("goal", "is_reached"),
    [
        (Goal("at most", 1.0, 1.0), True),
        (Goal("at most", 1.1, 1.0), False),
        (Goal("at least", 2.0, 2.0, "x", at_least=True), True),
        (Goal("at least", 1.9, 2.0, "x", at_least=True), False),
    ],
)
def test_a_goal_is_reached_or_not(goal: Goal, is_reached: bool) -> None:
    assert goal.is_reached is is_reached
    assert format_goals([goal])[1].split()[-1] == ("yes" if is_reached else "NO")


def test_json_says_the_same() -> None:
    said = as_json([ROW, Goal("what", 1.0, 2.0)])
    assert said["rows"][0]["round_trips"] == 2.5
    assert said["goals"] == [
        {
            "what": "what",
            "reached": 1.0,
            "must": 2.0,
            "unit": "",
            "at_least": False,
            "is_reached": True,
        }
    ]


def test_requests_are_counted_by_kind() -> None:
    seen = [
        {"role": "token", "method": "GET", "target": "/token?x"},
        {"role": "registry", "method": "HEAD", "target": "/v2/library/a/manifests/1"},
        {"role": "registry", "method": "GET", "target": "/v2/library/a/blobs/sha256:0"},
        {"role": "registry", "method": "GET", "target": "/v2/library/a/blobs/sha256:1"},
        {"role": "cdn", "method": "GET", "target": "/x"},
    ]
    assert count_kinds(seen) == {"token": 1, "manifest HEAD": 1, "redirect": 2, "cdn": 1}


def test_rows_that_are_not_there_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--rows", "rounds,rouds"]) == 2
    assert "'rouds'" in capsys.readouterr().err


def test_what_children_cost_counts_and_connections_are_found() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        before = Process(os.getpid()).memory()
        with (
            subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child,
            socket.create_connection((HOST, port)),
            server.accept()[0],
        ):
            assert accepted([os.getpid(), child.pid], port) == {os.getpid(): 1, child.pid: 0}
            assert Process(os.getpid()).memory() > before
            child.communicate(b"\n")


@pytest.mark.parametrize(
    ("memories", "grown"),
    [((10, 50, 60, 60, 60, 60, 60, 61), 0.5), ((10, 20, 30, 40, 50, 60, 70, 80), 20), ((), 0)],
    ids=["level", "growing", "nothing"],
)
def test_memory_that_still_grows_at_the_end_is_seen(
    memories: tuple[int, ...], grown: float
) -> None:
    looks = [Look(n, 0, memory * MIB) for n, memory in enumerate(memories)]
    assert growth(looks) == pytest.approx(grown, abs=1)


@pytest.mark.skipif(not has_tmux(), reason="there is no tmux")
async def test_memory_is_looked_at_while_somebody_looks_inside(tmp_path: Path) -> None:
    load = Load(requests=STEP, blobs=1, size=1_000_000)
    looks = [look async for look in measure(load, tmp_path, console=True)]
    assert [(look.requests, look.blobs) for look in looks] == [(0, 0), (STEP, 0), (STEP, 1)]
    assert all(look.memory > 20 * MIB for look in looks)


async def test_all_ways_pull_whole(tmp_path: Path) -> None:
    async with far_hub(0.01, tmp_path, ["small"]) as site:
        row = await measured(site, ways.direct(site), "small", "direct")
        assert (row.upstream["manifest GET"], row.upstream["cdn"]) == (1, 2)
        async with ways.plain(site) as way:
            assert (await measured(site, way, "small", "plain")).upstream == row.upstream
            assert (await read_layer(site, way, "small", "plain")).size
        async with ways.mirror(site) as way:
            row = await measured(site, way, "small", "mirror", style="containerd")
            assert row.size is not None
            assert row.size > 100_000
            assert (await many(site, way, "small", "", 3, 2)).size == 3 * row.size
            assert way.process is not None
            assert Process(way.process).cpu_seconds() > 0
