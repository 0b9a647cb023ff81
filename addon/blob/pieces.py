"""A blob in pieces side by side, given on in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from addon.blob.budget import Budget
from addon.blob.piece import Piece
from addon.blob.silence import Silence
from addon.blob.stream import Stream
from addon.blob.transfer import CLOSED, Part, Source, TransferLimits
from addon.blob.urgency import Asker, Urgency
from addon.blob.window import Spread, Window
from addon.flows.story import current
from addon.protocol.reply import BrokenTransfer

logger = logging.getLogger(__name__)


class Pieces:
    """A transfer in pieces, counted in the budget as every transfer is."""

    def __init__(
        self,
        source: Source,
        part: Part,
        asker: Asker,
        spread: Spread,
        budget: Budget,
        limits: TransferLimits,
        most: Callable[[], int] = lambda: 1,
    ) -> None:
        """Begin; so many bytes as `spread` says may be here before anybody reads.

        `most` tells how many pieces the host has room for now that others may have ended.
        """
        self._source = source
        self._asker = asker
        self._side_by_side = spread.pieces
        self._most = most
        self._limits = limits
        self._patience = limits.patience()
        self._window = Window(part, spread, limits.window, budget)
        self._silence = Silence(limits.stall_seconds)
        self._changed = asyncio.Event()
        self._pieces: deque[Piece] = deque()
        self._is_open = True
        if part.begun:
            length = part.begun.last + 1 - part.first
            self._window.take(length)
            self._pieces.append(self._piece(Part(part.first, part.begun.last, part.begun)))
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
                self._window.give(len(chunk))
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
        if not self._window.is_given:
            raise BrokenTransfer(CLOSED)
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
        self._window.close()
        for piece in self._pieces:
            piece.close()
        self._pieces.clear()

    async def _wait(self, piece: Piece) -> None:
        at = piece.stream.at
        try:
            async with asyncio.timeout(self._patience.seconds):
                # The others' bytes do not make up for those that the client waits for.
                while not (piece.chunks or piece.is_done):
                    self._window.grow()
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
        if self._asker.urgency is not Urgency.AHEAD and not self._silence.is_tried:
            # Of those that broke off nothing comes: others are begun beside them.
            broken = min(sum(piece.stream.is_broken for piece in running), self._side_by_side)
        for _ in range(self._side_by_side + broken - len(running)):
            length = self._window.room(broken, self._asker.urgency) if self._is_open else 0
            if not length:
                return
            first = self._window.take(length)
            self._pieces.append(self._piece(Part(first, first + length - 1)))

    def _share(self) -> None:
        """Let connections that have become free carry half of what the slowest pieces have left."""
        if not self._is_open or not self._window.is_asked_for:
            return
        running = [piece for piece in self._pieces if not piece.is_done]
        for _ in range(max(self._side_by_side, self._most()) - len(running)):
            slowest = max(running, key=lambda piece: piece.stream.seconds_left, default=None)
            shared = slowest.stream.share(self._source.round_trip) if slowest else None
            if slowest is None or shared is None:
                return
            self._pieces.insert(self._pieces.index(slowest) + 1, self._piece(shared))

    def _piece(self, part: Part) -> Piece:
        stream = Stream(self._source, part, self._asker, self._limits, self._fill, self._silence)
        return Piece(stream, self._changed.set, self._ended)

    def _ended(self) -> None:
        self._fill()
        self._share()
