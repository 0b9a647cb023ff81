"""A blob opened: in one stream or in pieces, as far as its host and its size let it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from addon.blob.blobsource import BlobSource
from addon.blob.budget import Budget
from addon.blob.onestream import OneStream
from addon.blob.pieces import Pieces
from addon.blob.redirects import Redirects
from addon.blob.sameobject import sent_of
from addon.blob.stream import Stream
from addon.blob.transfer import Begun, Part, Transfer, TransferLimits
from addon.blob.urgency import Asker
from addon.blob.ways import Ways
from addon.blob.window import FIRST_PIECE, Spread
from addon.outbound.outbound import Outbound
from addon.outbound.received import Answer, discard
from addon.protocol.errors import failure
from addon.protocol.ranges import Sent, Wanted

# Of a host's connections, those that pieces leave to an image's config and other small blobs.
FOR_SMALL = 4


@dataclass(frozen=True, slots=True)
class Opened:
    """A blob's answer: the fields of where it came from, and the bytes from `first` to `last`."""

    answer: Answer
    sent: Sent
    body: Transfer


@dataclass(frozen=True, slots=True)
class BlobLimits:
    """How blobs may spread: pieces of one side by side, connections to a host, bytes in all."""

    pieces: int
    host_connections: int
    bytes_in_flight: int
    transfer: TransferLimits = field(default_factory=TransferLimits)


class Blobs:
    """The blobs of one registry."""

    def __init__(self, outbound: Outbound, limits: BlobLimits, redirects: Redirects) -> None:
        self.ways = Ways(outbound, redirects, limits.host_connections, limits.transfer)
        self.budget = Budget(limits.bytes_in_flight)
        self._limits = limits

    def pieces_for(self, transfers: int) -> int:
        """Pieces of each blob where so many share a host's connections."""
        each = (self._limits.host_connections - FOR_SMALL) // max(1, transfers)
        return max(1, min(self._limits.pieces, each))

    async def open(
        self,
        source: BlobSource,
        wanted: Wanted | None,
        size: int | None,
        asker: Asker,
        spread: Spread | None = None,
    ) -> Opened | Answer:
        """A blob's bytes from where they are wanted, or the answer that there are none.

        Args:
            source: where they are asked for.
            wanted: the client's range; None: the whole.
            size: the whole's length, if a manifest named it.
            asker: whom it is for.
            spread: how far it may spread, where it does not run alone.

        Raises:
            UpstreamFailure: no upstream answered.
        """
        spread = spread or Spread(self.pieces_for(self.budget.running + 1))
        is_large = size is None or size > FIRST_PIECE
        if not (is_large and spread.pieces > 1 and source.may_be_far):
            return await self._open_first(source, wanted, asker, None)
        if size is not None and source.is_far:
            found = await self._open_at_once(source, wanted, size, asker, spread)
            if found:
                return found
        return await self._open_first(source, wanted, asker, spread)

    async def _open_first(
        self, source: BlobSource, wanted: Wanted | None, asker: Asker, spread: Spread | None
    ) -> Opened | Answer:
        """A blob whose first answer tells its size; without `spread` that answer is all of it."""
        asked = _first_piece(wanted) if spread else wanted
        answer = await source.ask("GET", asked, asker.first)
        if answer.status == 416 and wanted is None and asked is not None:
            # An empty blob has no first piece; who asked for the whole must not hear of one.
            await discard(answer)
            answer = await source.ask("GET", None, asker.first)
        first = wanted.first if wanted else 0
        sent = sent_of(answer)
        if answer.status == 206 and asked != wanted and not _begins_at(first, sent):
            # Of parts that cannot be used, a client that asked for none must not hear either.
            answer.body.close()
            asked, spread = wanted, None
            answer = await source.ask("GET", wanted, asker.first)
            sent = sent_of(answer)
        if sent is None or not _begins_at(first, sent):
            if answer.status == 206 and wanted is None:
                answer.body.close()
                raise failure(source.host, "it sent a part that nobody asked for")
            return answer
        last = _last(wanted, sent.total)
        source.note(answer, sent.total)
        # Whoever sends more than it was asked for is not listened to.
        most = last if answer.status == 200 else _last(asked, sent.total)
        begun = Begun(answer.body, min(sent.last, last, most))
        part = Part(sent.first, last, begun)
        whole = Sent(sent.first, last, sent.total)
        if spread and begun.last < last and source.is_far:
            return Opened(answer, whole, self._in_pieces(source, part, asker, spread))
        return Opened(answer, whole, self._one_stream(source, part, asker))

    async def _open_at_once(
        self,
        source: BlobSource,
        wanted: Wanted | None,
        size: int,
        asker: Asker,
        spread: Spread,
    ) -> Opened | Answer | None:
        """All pieces of a blob at once, since its size is known; None: its size is another."""
        first = wanted.first if wanted else 0
        last = _last(wanted, size)
        if first > last:
            return None
        head = source.expect(first, size)
        pieces = self._in_pieces(source, Part(first, last), asker, spread)
        try:
            answer = await head
        except BaseException:
            pieces.close()
            _give_up(head)
            raise
        whole = Sent(first, last, size)
        sent = sent_of(answer)
        if answer.status == 206 and sent and (sent.first, sent.total) == (first, size):
            return Opened(answer, whole, pieces)
        pieces.close()
        if answer.status == 206:
            answer.body.close()
            return None
        if answer.status == 416:
            await discard(answer)
            return None
        if answer.status == 200 and answer.length == size and first == 0:
            # It knows no ranges: one stream it is.
            part = Part(first, last, Begun(answer.body, last))
            return Opened(answer, whole, self._one_stream(source, part, asker))
        return answer

    def _in_pieces(self, source: BlobSource, part: Part, asker: Asker, spread: Spread) -> Pieces:
        def most() -> int:
            return self.pieces_for(self.budget.running)

        limits = self._limits.transfer
        return Pieces(source, part, asker, spread, self.budget, limits, most)

    def _one_stream(self, source: BlobSource, part: Part, asker: Asker) -> OneStream:
        alone = asker.first
        stream = Stream(source, part, alone, self._limits.transfer)
        return OneStream(stream, self.budget, alone)


def _give_up(head: asyncio.Future[Answer]) -> None:
    """Nobody waits for a head any more, which may just have come."""
    if not head.done():
        head.cancel()
    elif not head.cancelled() and not head.exception():
        head.result().body.close()


def _begins_at(first: int, sent: Sent | None) -> bool:
    """Whether an answer holds what is wanted, and says so."""
    return sent is not None and sent.first == first


def _last(wanted: Wanted | None, total: int) -> int:
    """The last byte that is wanted of so many."""
    if wanted is None or wanted.last is None:
        return total - 1
    return min(wanted.last, total - 1)


def _first_piece(wanted: Wanted | None) -> Wanted:
    first = wanted.first if wanted else 0
    last = first + FIRST_PIECE - 1
    return Wanted(first, min(last, wanted.last) if wanted and wanted.last is not None else last)
