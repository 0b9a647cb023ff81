"""A blob's bytes on their way, in one stream or in pieces, whole whatever happens on the way.

A long or lossy line limits each connection, not their sum: slow start gives a connection some ten
packets in its first round trip, and a loss halves what it carries. So a blob comes in pieces by
`Range`, several side by side, and is given on in order. Pieces start small, so that the first
bytes are soon here, and grow, so that a large blob costs few requests. Wherever a stream or a
piece breaks off, it goes on at the byte that it had reached.

A slow client holds little: the pieces on their way lie within a window, which grows only while
the client waits for bytes, and within a budget for the whole mirror.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from addon.budget import Budget
from addon.errors import MirrorError
from addon.patience import Patience
from addon.ranges import LARGEST_PIECE, Wanted
from addon.reply import Body, BrokenTransfer
from addon.story import current
from addon.urgency import Asker, Urgency

logger = logging.getLogger(__name__)

KIB = 1024
FIRST_PIECE = 128 * KIB
FIRST_WINDOW = 32 * FIRST_PIECE
# What is left of a piece is shared with a connection that has become free, if it would take so
# many round trips, and if so many bytes are left to each.
WORTH_SHARING = 4
LEAST_SHARED = 64 * KIB
# Seconds before the second try to go on.
FIRST_PAUSE = 0.1

_CLOSED = "the transfer was closed before its end"


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """The bounds of one transfer: bytes on their way, failures, and times in seconds.

    `tries` are failures in a row without a byte between them, `lag_seconds` what a piece may keep
    waiting for a byte at first, and `stall_seconds` in the end.
    """

    window: int = 32 * 1024 * KIB
    tries: int = 6
    longest_pause: float = 5.0
    lag_seconds: float = 3.0
    stall_seconds: float = 30.0

    def patience(self) -> Patience:
        """How long a piece is waited for."""
        return Patience(self.lag_seconds, self.stall_seconds)


class NoParts(OSError):
    """The source has no parts to give: trying again is of no use."""


class Source(Protocol):
    """Where a blob's bytes are asked for."""

    @property
    def round_trip(self) -> float:
        """Seconds to there and back, as far as they are known."""

    async def open(self, wanted: Wanted, asker: Asker) -> Body:
        """The bytes from `wanted.first` on, to be read to `wanted.last` at most.

        Raises:
            MirrorError: they cannot be had, or are not of the same object.
        """


class Failures:
    """Failures in a row, and the growing pause after each."""

    def __init__(self, limits: TransferLimits) -> None:
        self._limits = limits
        self._count = 0

    def forget(self) -> None:
        """A byte came: it goes on."""
        self._count = 0

    async def note(self, error: Exception) -> None:
        """Wait before the next try.

        Raises:
            BrokenTransfer: there were too many.
        """
        self._count += 1
        if self._count > self._limits.tries:
            raise BrokenTransfer(f"given up after {self._limits.tries} tries: {error}") from error
        if self._count > 1:
            pause = FIRST_PAUSE * 2 ** min(self._count - 2, 30)
            await asyncio.sleep(min(pause, self._limits.longest_pause))


@dataclass(frozen=True, slots=True)
class Begun:
    """A body that is open already, and the last byte that it holds."""

    body: Body
    last: int


class Stream:
    """One stream from a byte to a byte, which goes on where it broke off."""

    def __init__(
        self,
        source: Source,
        first: int,
        last: int,
        begun: Begun | None,
        asker: Asker,
        broke: Callable[[], None] = lambda: None,
        limits: TransferLimits | None = None,
    ) -> None:
        """Ask `source` for what `begun` does not hold; `broke` is told when a byte is missing."""
        self.at = first
        self.is_broken = False
        self._broke = broke
        self._asker = asker
        self._last = last
        self._source = source
        self._begun = begun
        self._opened_at = (first, monotonic())
        self._failures = Failures(limits or TransferLimits())
        self._is_closed = False

    async def read(self) -> bytes:
        """The next bytes, `b""` after the last.

        Raises:
            BrokenTransfer: they could not be had in the end.
        """
        while self.at <= self._last:
            if self._is_closed:
                raise BrokenTransfer(_CLOSED)
            try:
                chunk = await self._read()
            except NoParts:
                raise
            except (OSError, MirrorError) as e:
                if self._is_closed:
                    raise BrokenTransfer(_CLOSED) from e
                self._drop()
                logger.info("A blob goes on at byte %d: %s", self.at, e)
                self.is_broken = True
                current().resumed += 1
                self._broke()
                await self._failures.note(e)
                continue
            self._failures.forget()
            self.is_broken = False
            self._advance(len(chunk))
            return chunk
        return b""

    async def _read(self) -> bytes:
        if self._begun is None:
            body = await self._source.open(Wanted(self.at, self._last), self._asker)
            if self._is_closed:
                body.close()
                raise BrokenTransfer(_CLOSED)
            self._begun = Begun(body, self._last)
            self._opened_at = (self.at, monotonic())
        chunk = await self._begun.body.read()
        if self._begun is None:
            raise BrokenTransfer(_CLOSED)
        if not chunk:
            raise BrokenTransfer("the body ended too early")
        return chunk[: self._begun.last + 1 - self.at]

    def _advance(self, length: int) -> None:
        self.at += length
        if self._begun and self.at > self._begun.last:
            self._drop()

    @property
    def seconds_left(self) -> float:
        """What the rest takes, as fast as it comes; 0 where nothing comes."""
        first, opened = self._opened_at
        if self._begun is None or self.at == first:
            return 0.0
        return (self._last + 1 - self.at) * (monotonic() - opened) / (self.at - first)

    def share(self, round_trip: float) -> Wanted | None:
        """The part that somebody else is to fetch, so that both have done at the same time."""
        left, seconds = self._last + 1 - self.at, self.seconds_left
        if self._begun is None or left < 2 * LEAST_SHARED or seconds < WORTH_SHARING * round_trip:
            return None
        # While the other one asks, this one goes on.
        ahead = int(left * round_trip / seconds)
        kept = min((left + ahead) // 2, left - LEAST_SHARED)
        shared = Wanted(self.at + kept, self._last)
        self._last = shared.first - 1
        self._begun = Begun(self._begun.body, min(self._begun.last, self._last))
        return shared

    def interrupt(self) -> None:
        """Break the connection off; whoever reads goes on over another one."""
        if self._begun:
            self._begun.body.close()

    def close(self) -> None:
        """End it: nothing is asked for any more."""
        self._is_closed = True
        self._drop()

    def _drop(self) -> None:
        """End the connection, or give it back where it is read to its end."""
        if self._begun:
            self._begun.body.close()
            self._begun = None


class Piece:
    """A part that is fetched beside others: what has come of it waits for its turn."""

    def __init__(self, stream: Stream, wake: Callable[[], None], ended: Callable[[], None]) -> None:
        """Fetch it: `wake` is told of each byte and of the end, `ended` of the end alone."""
        self.stream = stream
        self.chunks: deque[bytes] = deque()
        self.is_done = False
        self.error: OSError | None = None
        self._wake = wake
        self._ended = ended
        self._task = asyncio.get_running_loop().create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            while chunk := await self.stream.read():
                self.chunks.append(chunk)
                self._wake()
        except OSError as e:
            self.error = e
        except Exception as e:
            # Whatever it was, the next piece's bytes must not follow what came of this one.
            logger.exception("a piece could not be fetched")
            self.error = BrokenTransfer(f"a piece could not be fetched: {type(e).__name__}")
        finally:
            self.stream.close()
            self.is_done = True
            self._wake()
            self._ended()

    def close(self) -> None:
        """End it."""
        self._task.cancel()
        self.stream.close()
        self.chunks.clear()


class Pieces:
    """A blob from a byte to a byte, in pieces side by side, given on in order."""

    def __init__(
        self,
        source: Source,
        first: int,
        last: int,
        begun: Begun | None,
        side_by_side: int,
        budget: Budget,
        asker: Asker,
        window: int = FIRST_WINDOW,
        most: Callable[[], int] = lambda: 1,
        limits: TransferLimits | None = None,
    ) -> None:
        """Begin; so many bytes as the window holds may be here before anybody reads.

        `most` tells how many pieces the host has room for now that others may have ended.
        """
        self._source = source
        self._last = last
        self._side_by_side = side_by_side
        self._most = most
        self._budget = budget
        self._asker = asker
        self._limits = limits or TransferLimits()
        self._patience = self._limits.patience()
        self._changed = asyncio.Event()
        self._pieces: deque[Piece] = deque()
        self._next = first
        self._given = first
        self._window = min(window, self._limits.window)
        self._length = last + 1 - first
        self._is_open = True
        budget.enter()
        if begun:
            self._start(begun.last + 1 - first, begun)
        self._fill()

    async def read(self) -> bytes:
        """The next bytes in order, `b""` after the last.

        Raises:
            OSError: a piece could not be had in the end.
        """
        while self._pieces:
            piece = self._pieces[0]
            if piece.chunks:
                chunk = piece.chunks.popleft()
                self._given += len(chunk)
                self._budget.give(len(chunk))
                self._fill()
                return chunk
            if piece.error:
                raise piece.error
            if piece.is_done:
                self._patience.was_right()
                self._pieces.popleft()
                self._fill()
                continue
            await self._wait(piece)
        if self._given <= self._last:
            raise BrokenTransfer(_CLOSED)
        self.close()
        return b""

    @property
    def is_ready(self) -> bool:
        """Whether the next bytes are here."""
        return bool(self._pieces and self._pieces[0].chunks)

    def claim(self) -> None:
        """A client waits for it now."""
        self._asker.claim()
        self._fill()

    def close(self) -> None:
        """End all pieces."""
        if not self._is_open:
            return
        self._is_open = False
        self._budget.leave()
        self._budget.give(self._next - self._given)
        for piece in self._pieces:
            piece.close()
        self._pieces.clear()

    async def _wait(self, piece: Piece) -> None:
        at = piece.stream.at
        try:
            async with asyncio.timeout(self._patience.seconds):
                # The others' bytes do not make up for those that the client waits for.
                while not (piece.chunks or piece.is_done):
                    # The client is faster than the line: more may be on its way.
                    self._window = min(self._window * 2, self._limits.window)
                    self._fill()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            if piece.stream.at == at and not piece.is_done:
                logger.info("A piece lags at byte %d and is asked for again", at)
                current().lagged += 1
                self._patience.was_in_vain()
                piece.stream.interrupt()

    def _fill(self) -> None:
        """Begin what the window has room for."""
        running = [piece for piece in self._pieces if not piece.is_done]
        broken = 0
        if self._asker.urgency is not Urgency.AHEAD:
            # Of those that broke off nothing comes: others are begun beside them.
            broken = min(sum(piece.stream.is_broken for piece in running), self._side_by_side)
        room = self._side_by_side + broken - len(running)
        while self._is_open and self._next <= self._last and room > 0:
            held = self._next - self._given
            beyond = broken * LARGEST_PIECE
            window = self._budget.share(held, self._window, beyond, self._asker.urgency)
            length = min(self._piece_length(window), self._last + 1 - self._next)
            # Where there is no room at all, it goes on with one piece of the smallest size.
            if held and held + length > window:
                return
            self._start(length)
            room -= 1

    def _share(self) -> None:
        """Let connections that have become free carry half of what the slowest pieces have left."""
        if self._next <= self._last or not self._is_open:
            return
        running = [piece for piece in self._pieces if not piece.is_done]
        for _ in range(max(self._side_by_side, self._most()) - len(running)):
            slowest = max(running, key=lambda piece: piece.stream.seconds_left, default=None)
            shared = slowest.stream.share(self._source.round_trip) if slowest else None
            if slowest is None or shared is None or shared.last is None:
                return
            piece = self._piece(shared.first, shared.last)
            self._pieces.insert(self._pieces.index(slowest) + 1, piece)

    def _piece_length(self, window: int) -> int:
        """As many pieces as lanes, of the blob or of the window if that is smaller."""
        part = -(-min(self._length, window) // self._side_by_side)
        return min(max(part, FIRST_PIECE), LARGEST_PIECE)

    def _start(self, length: int, begun: Begun | None = None) -> None:
        self._pieces.append(self._piece(self._next, self._next + length - 1, begun))
        self._next += length
        self._budget.take(length)

    def _piece(self, first: int, last: int, begun: Begun | None = None) -> Piece:
        asker, limits = self._asker, self._limits
        stream = Stream(self._source, first, last, begun, asker, self._fill, limits)
        return Piece(stream, self._changed.set, self._ended)

    def _ended(self) -> None:
        self._fill()
        self._share()


class OneStream:
    """A blob in one stream, counted in the budget as every transfer is."""

    def __init__(self, stream: Stream, budget: Budget, asker: Asker) -> None:
        self._stream = stream
        self._asker = asker
        self._budget = budget
        self._is_open = True
        budget.enter()

    async def read(self) -> bytes:
        """The next bytes.

        Raises:
            BrokenTransfer: they could not be had in the end.
        """
        if not self._is_open:
            raise BrokenTransfer(_CLOSED)
        return await self._stream.read()

    def claim(self) -> None:
        """A client waits for it now."""
        self._asker.claim_now()

    def close(self) -> None:
        """End it."""
        self._stream.close()
        if self._is_open:
            self._is_open = False
            self._budget.leave()
