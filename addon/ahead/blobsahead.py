"""Blobs that nobody has asked for yet: how one is begun, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass

from addon.ahead.lookahead import AheadLimits, Begun, narrowed
from addon.answering.upstreamblobs import UpstreamBlobs
from addon.blob.blobs import Opened
from addon.blob.urgency import Asker, Urgency
from addon.blob.window import FIRST_PIECE, Spread
from addon.flows.story import Story, current
from addon.memory.sharing import BlobKey, Reader
from addon.memory.upstream import Upstream
from addon.outbound.received import Answer
from addon.protocol.descriptors import Descriptor
from addon.protocol.registry import authority


@dataclass(frozen=True, slots=True)
class BegunBlob:
    """A transfer that waits for its client."""

    opened: Opened
    story: Story

    def close(self) -> None:
        """Nobody came."""
        self.story.is_dropped = True
        self.opened.body.close()


class BlobsAhead:
    """Begins blobs of one upstream ahead."""

    def __init__(self, upstream: Upstream, blobs: UpstreamBlobs, limits: AheadLimits) -> None:
        self._upstream = upstream
        self._blobs = blobs
        self._window = max(FIRST_PIECE, limits.bytes // limits.transfers)

    async def begin(
        self, reader: Reader, repository: str, blob: Descriptor, side_by_side: int, asker: Asker
    ) -> Begun | None:
        """Begin a blob beside others of its image; None: it is kept, or cannot be had."""
        key = BlobKey(reader.audience, repository, blob.digest)
        spread = Spread(self._upstream.blobs.pieces_for(side_by_side), self._window)
        if self._upstream.small_blobs.takes(blob.digest, blob.size):
            self._blobs.small(reader, key, blob.size, asker, spread)
            return None
        source = self._blobs.source(reader, key)
        opened = await self._upstream.blobs.open(source, None, blob.size, asker, spread)
        if isinstance(opened, Answer):
            opened.body.close()
            return None
        return BegunBlob(opened, current())

    async def resolve(self, reader: Reader, repository: str, blob: Descriptor) -> None:
        """Learn where a blob is."""
        key = BlobKey(reader.audience, repository, blob.digest)
        if not self._upstream.small_blobs.get(key):
            await self._blobs.source(reader, key).locate(Asker(Urgency.AHEAD))

    def cost(self, blob: Descriptor) -> int:
        """Bytes that are fetched of a blob before anybody asks for it."""
        if self._upstream.small_blobs.takes(blob.digest, blob.size):
            return blob.size
        return min(blob.size, self._window)

    def room(self, most: int) -> int:
        """How many of so many transfers the line to where the blobs are has room for."""
        registry, outbound = self._upstream.learnt.now, self._upstream.outbound
        origins = outbound.destinations.of(registry.url) or (registry.url,)
        host = outbound.hosts.of(authority(origins[0]))
        return narrowed(most, host.delay, host.round_trip)
