"""A long line in user space: bytes arrive half a round trip late, each way, bandwidth unlimited.

The kernel's handshake with the relay takes no time, so what a client sends within its first round
trip is held until that is over: a connection then costs what it costs on a real line, and TLS's
handshake its own round trips on top. Slow start and losses are not in it: `line.py` has them.

`python -m tests.bench.relay SECONDS LISTEN=TARGET[/BYTES] …` runs it; each end is HOST:PORT, and
after so many bytes towards the client a connection is cut.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from dataclasses import dataclass
from typing import Self

# Bytes on their way in one direction, after which the sender waits, as for a TCP window: 300 MB/s
# at 200 ms.
WINDOW = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """Where the relay listens, where it leads, and after how many bytes it cuts (0: never)."""

    listen: tuple[str, int]
    target: tuple[str, int]
    cut_after: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """`HOST:PORT=HOST:PORT` or `HOST:PORT=HOST:PORT/BYTES`."""
        listen, _, rest = text.partition("=")
        target, _, cut = rest.partition("/")
        return cls(_address(listen), _address(target), int(cut or 0))

    def __str__(self) -> str:
        ends = "=".join(f"{host}:{port}" for host, port in (self.listen, self.target))
        return f"{ends}/{self.cut_after}" if self.cut_after else ends


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


class Way:
    """One direction of a connection: what came in goes out when it is due, in order."""

    def __init__(self, delay: float, cut_after: int = 0) -> None:
        self.source: asyncio.Transport | None = None
        self._sink: asyncio.Transport | None = None
        self._delay = delay
        self._left = cut_after or None
        self._held_until = 0.0
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._queued = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_paused = False

    def hold(self, until: float) -> None:
        """What is sent before counts as sent then."""
        self._held_until = until

    def lead_to(self, sink: asyncio.Transport) -> None:
        self._sink = sink
        self._deliver()

    def put(self, data: bytes | None) -> None:
        """Bytes, or None for their end."""
        loop = asyncio.get_running_loop()
        due = max(loop.time(), self._held_until) + self._delay
        self._queue.append((due, data))
        self._queued += len(data or b"")
        if self._queued > WINDOW and self.source and not self.source.is_closing():
            self.source.pause_reading()
        if self._timer is None:
            self._deliver()

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        # asyncio ends a transport twice that is closed while it says that it may be written to.
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._queue and self._sink and not self._is_paused:
            due, data = self._queue[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self._deliver)
                return
            self._queue.popleft()
            self._give(data)

    def _give(self, data: bytes | None) -> None:
        assert self._sink is not None
        if self._sink.is_closing():
            return
        if data is None:
            self._sink.close()
            return
        self._queued -= len(data)
        if self.source and self._queued <= WINDOW // 2 and not self.source.is_closing():
            self.source.resume_reading()
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self._sink.write(data)
        if self._left == 0:
            self._cut()

    def _cut(self) -> None:
        self._queue.clear()
        for end in (self._sink, self.source):
            if end:
                end.close()


class End(asyncio.Protocol):
    """One end of a connection: what it receives goes one way, what it sends comes the other."""

    def __init__(self, away: Way, towards: Way) -> None:
        self.away, self.towards = away, towards

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.away.source = transport
        self.towards.lead_to(transport)

    def data_received(self, data: bytes) -> None:
        self.away.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.away.put(None)

    def pause_writing(self) -> None:
        self.towards.pause()

    def resume_writing(self) -> None:
        self.towards.resume()


class Accepted(End):
    """The client's end, which opens the other one."""

    def __init__(self, route: Route, round_trip: float) -> None:
        there, back = Way(round_trip / 2), Way(round_trip / 2, route.cut_after)
        super().__init__(there, back)
        self._route, self._round_trip = route, round_trip
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self.away.hold(loop.time() + self._round_trip)
        self._task = loop.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: End(self.towards, self.away), *self._route.target)
        except OSError:
            self.towards.put(None)


async def serve(routes: list[Route], round_trip: float) -> list[asyncio.Server]:
    """Listen; `round_trip` is in seconds."""
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(
            lambda route=route: Accepted(route, round_trip),  # type: ignore[misc]
            *route.listen,
            backlog=1024,
        )
        for route in routes
    ]


async def _main(words: list[str]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve([Route.parse(word) for word in words[1:]], float(words[0]))
    print("relay: listening", flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
