"""A place that has a blob; its connections break off, end, stall or send too much, as told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from addon.blob.budget import Budget
from addon.blob.lanes import Lanes
from addon.blob.transfer import Part
from addon.blob.urgency import Asker, Urgency
from addon.blob.window import FIRST_PIECE
from addon.protocol.ranges import Wanted
from addon.protocol.reply import Body, BrokenTransfer

CHUNK = 64 * 1024
CONTENT = random.Random(7).randbytes(40 * FIRST_PIECE + 12345)
LAST = len(CONTENT) - 1
WHOLE = Part(0, LAST)

BREAKS = [
    pytest.param(0, "reset", id="reset at once"),
    pytest.param(1, "reset", id="reset after a byte"),
    pytest.param(CHUNK - 1, "reset", id="reset before a chunk's end"),
    pytest.param(CHUNK, "reset", id="reset at a chunk's end"),
    pytest.param(FIRST_PIECE - 1, "reset", id="reset before a piece's last byte"),
    pytest.param(0, "end", id="an empty body"),
    pytest.param(777, "end", id="a body that ends too early"),
]


class Connection:
    """A body on a lane; may break off, end, stall or send more than it was asked for."""

    def __init__(self, site: Site, first: int, last: int, after: int | None, how: str) -> None:
        self._site, self._at, self._last, self._how = site, first, last, how
        self._left = after
        self._cut = asyncio.Event()
        self.is_open = True

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if not self.is_open:
            raise BrokenTransfer("closed")
        if self._left == 0:
            if self._how == "stall":
                await self._cut.wait()
                raise BrokenTransfer("cut")
            if self._how == "wait":
                await self._site.go_on.wait()
                self._left = None
                return await self.read()
            if self._how == "end":
                return b""
            raise BrokenTransfer("reset") if self._how == "reset" else RuntimeError("a slip")
        more = 100 if self._how == "more" else 0
        size = CHUNK if self._left is None else min(CHUNK, self._left)
        chunk = self._site.content[self._at : min(self._at + size, self._last + 1 + more)]
        self._at += len(chunk)
        self._site.sent += len(chunk)
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._cut.set()
            self._site.open.remove(self)
            self._site.lanes.leave()


class Site:
    """Where the bytes are. `faults` says for each request after how many bytes what happens."""

    def __init__(self, content: bytes = CONTENT, lanes: int = 100) -> None:
        self.content = content
        self.lanes = Lanes(lanes)
        self.asked: list[Wanted] = []
        self.urgencies: list[Urgency] = []
        self.open_errors: list[Exception] = []
        self.open: list[Connection] = []
        self.sent = 0
        self.go_on = asyncio.Event()
        self.fault: Callable[[int], tuple[int | None, str]] = lambda _: (None, "")

    async def open_at(self, first: int, last: int, number: int = -1) -> Connection:
        await self.lanes.enter(Asker(Urgency.ASKED))
        after, how = self.fault(number)
        connection = Connection(self, first, last, after, how)
        self.open.append(connection)
        return connection

    async def open_(self, wanted: Wanted, asker: Asker) -> Body:
        number = len(self.asked)
        self.asked.append(wanted)
        self.urgencies.append(asker.urgency)
        await asyncio.sleep(0)
        if self.open_errors:
            raise self.open_errors.pop(0)
        assert wanted.last is not None
        return await self.open_at(wanted.first, wanted.last, number)


class Source:
    """The same as a source of parts."""

    # So long that nothing is worth sharing, but where a test says so.
    round_trip = 1000.0

    def __init__(self, site: Site) -> None:
        self._site = site

    async def open(self, wanted: Wanted, asker: Asker) -> Body:
        return await self._site.open_(wanted, asker)


async def settle(turns: int = 200) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def read_all(body: Body) -> bytes:
    content = bytearray()
    while chunk := await body.read():
        content += chunk
    return bytes(content)


def left(site: Site, budget: Budget) -> tuple[int, int, int]:
    """Connections, transfers and tasks that are left."""
    assert budget.running or budget.held == 0
    return len(site.open), budget.running, len(asyncio.all_tasks()) - 1
