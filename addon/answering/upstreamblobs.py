"""Blobs of one upstream as they are asked for there, whoever wants them."""

from __future__ import annotations

from addon.answering.readers import Visit
from addon.blob.blobs import Opened
from addon.blob.blobsource import BlobSource
from addon.blob.registryblob import RegistryBlob
from addon.blob.urgency import Asker
from addon.blob.window import Spread
from addon.memory.sharing import BlobKey, Reader
from addon.memory.smallblob import SmallBlob
from addon.memory.upstream import Upstream
from addon.outbound.received import Answer, WholeAnswer, read_whole
from addon.protocol.headers import Fields, to_registry
from addon.protocol.reply import Body, BrokenTransfer, MemoryBody

# Bytes of what an upstream says instead of a blob.
MAX_PAGE = 64 * 1024


class OtherSize(BrokenTransfer):
    """A blob has another size than its manifest says: it comes as it is."""


class NoBlob(BrokenTransfer):
    """What the registry or the CDN says instead of a blob, for all who wait for it."""

    def __init__(self, whole: WholeAnswer) -> None:
        super().__init__(f"it answered {whole.status} to a blob")
        self._whole = whole

    @property
    def answer(self) -> Answer:
        """The answer, for one of them."""
        whole = self._whole
        content = whole.content
        return Answer(whole.status, whole.fields, len(content), False, MemoryBody(content))


class UpstreamBlobs:
    """Begins blobs: each as its size and its readers let it."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def source(self, reader: Reader, key: BlobKey, fields: Fields | None = None) -> BlobSource:
        """Where a blob's bytes are asked for as somebody, with the fields of a client's if any."""
        upstream = self._upstream
        registry = upstream.learnt.now
        shown = to_registry([]) if fields is None else fields
        blob = RegistryBlob(
            registry,
            key,
            f"{registry.url}/v2/{key.repository}/blobs/{key.digest}",
            # Each part has a range of its own.
            [(n, v) for n, v in shown if n.lower() != "range"],
            Visit(upstream, reader, key.repository),
        )
        redirects = None if upstream.limits.remember else upstream.redirects(2)
        return BlobSource(upstream.blobs.ways, blob, redirects)

    def small(
        self, reader: Reader, key: BlobKey, size: int, asker: Asker, spread: Spread | None = None
    ) -> SmallBlob:
        """A small blob, fetched once for all who ask.

        Those who wait for it are told `OtherSize` where its manifest is wrong, and `NoBlob` where
        the registry says something else instead.
        """

        async def open_body() -> tuple[Fields, Body]:
            source = self.source(reader, key)
            opened = await self._upstream.blobs.open(source, None, size, asker, spread)
            host = self._upstream.learnt.now.authority
            if isinstance(opened, Opened):
                if opened.sent.total == size:
                    return opened.answer.fields, opened.body
                opened.body.close()
                raise OtherSize(f"upstream {host}: it has {opened.sent.total} bytes, not {size}")
            if opened.status == 200:
                return opened.fields, opened.body  # without a length; it is checked as it comes
            raise NoBlob(await read_whole(opened, MAX_PAGE))

        return self._upstream.small_blobs.begin(key, size, open_body, asker)

    def keep(self, key: BlobKey, opened: Opened, asker: Asker) -> SmallBlob:
        """A small blob of which the first bytes are on their way already."""
        known = self._upstream.small_blobs.get(key)
        if known:
            # Its manifest has come meanwhile, and it was begun by that.
            opened.body.close()
            return known

        async def open_body() -> tuple[Fields, Body]:
            return opened.answer.fields, opened.body

        return self._upstream.small_blobs.begin(key, opened.sent.total, open_body, asker)
