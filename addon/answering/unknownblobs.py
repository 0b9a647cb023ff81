"""Blobs of which no manifest has told the size: the first answer tells it, for all who ask."""

from __future__ import annotations

from addon.answering.upstreamblobs import UpstreamBlobs
from addon.blob.blobs import Opened
from addon.blob.urgency import Asker, Urgency
from addon.memory.sharing import BlobKey, Reader
from addon.memory.singleflight import SingleFlight
from addon.memory.upstream import Upstream
from addon.outbound.received import Answer


class UnknownBlobs:
    """Asks once for each, so that one of a size that is kept is fetched once."""

    def __init__(self, upstream: Upstream, blobs: UpstreamBlobs) -> None:
        self._upstream = upstream
        self._blobs = blobs
        self._flights: SingleFlight[None] = SingleFlight()
        self._opened: dict[BlobKey, Opened | Answer] = {}

    async def open(self, reader: Reader, key: BlobKey) -> Opened | Answer | None:
        """What came, for one of those who ask at the same time.

        The others are given None, and so are all where it is kept as a small blob now.

        Raises:
            UpstreamFailure: no upstream answered.
        """
        try:
            await self._flights.once(key, lambda: self._ask(reader, key))
        except BaseException:
            unwanted = self._opened.pop(key, None)
            if unwanted:
                unwanted.body.close()
            raise
        return self._opened.pop(key, None)

    async def _ask(self, reader: Reader, key: BlobKey) -> None:
        asker = Asker(Urgency.ASKED)
        source = self._blobs.source(reader, key)
        opened = await self._upstream.blobs.open(source, None, None, asker)
        if isinstance(opened, Opened):
            size = self._upstream.sizes[key] = opened.sent.total
            if self._upstream.small_blobs.takes(key.digest, size):
                self._blobs.keep(key, opened, asker)
                return
        self._opened[key] = opened
