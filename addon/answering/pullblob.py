"""A blob for a client: from memory, from what was begun ahead, or from where its bytes are."""

from __future__ import annotations

import logging
from dataclasses import replace

from addon.ahead.blobsahead import BegunBlob, BlobsAhead
from addon.ahead.lookahead import Ahead, AheadLimits
from addon.answering.blobrequest import BlobRequest
from addon.answering.readers import refuse_login
from addon.answering.unknownblobs import UnknownBlobs
from addon.answering.upstreamblobs import NoBlob, OtherSize, UpstreamBlobs
from addon.blob.blobs import Opened
from addon.blob.bodies import blob_body, blob_length
from addon.blob.redirects import follow
from addon.blob.urgency import Asker, Urgency
from addon.flows.story import Source, current, meant_as
from addon.memory.sharing import EVERYONE, Reader
from addon.memory.smallblob import SmallBlob, SmallBlobBody
from addon.memory.upstream import NOT_NOW, Upstream
from addon.outbound.received import Answer
from addon.protocol.answers import reply_of, with_field
from addon.protocol.asked import Asked
from addon.protocol.errors import UpstreamFailure
from addon.protocol.ranges import Sent
from addon.protocol.registry import Registry, same_origin
from addon.protocol.reply import Reply
from addon.protocol.routes import Blob

logger = logging.getLogger(__name__)


class BlobPulls:
    """Blobs of one upstream."""

    def __init__(self, upstream: Upstream, limits: AheadLimits) -> None:
        self._upstream = upstream
        self._blobs = UpstreamBlobs(upstream)
        self._unknown = UnknownBlobs(upstream, self._blobs)
        self.ahead = Ahead(BlobsAhead(upstream, self._blobs, limits), limits)
        upstream.revoked.append(self.ahead.drop)

    async def answer(self, route: Blob, asked: Asked, reader: Reader, name: str) -> Reply:
        """The blob under an upstream's name, or what the registry says instead.

        Raises:
            UpstreamFailure: no upstream answered.
        """
        self.ahead.watchers.claimed(asked.client)
        pull = BlobRequest.of(route, asked, reader, name)
        may_have = self._upstream.access.holds(reader.audience, name)
        may_have = may_have or await self._ask_again(pull)
        if not pull.is_plain:
            return await self._forward(pull)
        known = await self._from_memory(pull) if may_have else None
        if known:
            return known
        if asked.method != "GET":
            return await self._forward(pull)
        return await self._fetch(pull, may_have)

    async def _ask_again(self, pull: BlobRequest) -> bool:
        """Let the registry say whether this reader may still have what is kept.

        Raises:
            UpstreamFailure: it did not say, and its last yes is too old.
        """
        upstream = self._upstream
        for method in ("GET", "HEAD"):
            upstream.blobs.ways.redirects.forget(pull.key, method)
        if upstream.small_blobs.get(pull.key) is None:
            return False  # it is asked for the blob itself
        try:
            status = await self._blobs.source(pull.reader, pull.key, pull.fields).locate()
            if status in NOT_NOW:
                raise upstream.failure_of(status)
        except UpstreamFailure as e:
            age = upstream.access.age(pull.reader.audience, pull.name)
            if pull.reader.audience != EVERYONE or age >= upstream.limits.stale_time:
                raise
            logger.warning("A blob of %s is served from memory: %s", pull.name, e)
            current().given(Source.STALE, age)
            return True
        return status < 400

    async def _from_memory(self, pull: BlobRequest) -> Reply | None:
        """What is here already, or on its way."""
        # The window moves on, whatever has become of it.
        begun = await self.ahead.claim(pull.key) if pull.asked.method == "GET" else None
        blob = self._upstream.small_blobs.get(pull.key)
        if blob:
            if begun:
                begun.close()
            return await self._small(blob, pull) if pull.first < blob.size else None
        if not isinstance(begun, BegunBlob):
            return None
        if not pull.is_whole:
            begun.close()
            return None
        current().takes(begun.story, is_whole=False)
        opened = begun.opened
        opened.body.claim()
        return pull.reply(self._registry, opened.answer.fields, opened.sent, opened.body)

    async def _fetch(self, pull: BlobRequest, may_have: bool) -> Reply:
        small_blobs = self._upstream.small_blobs
        is_new = pull.key not in self._upstream.sizes and small_blobs.get(pull.key) is None
        if is_new and pull.wanted is None and self._upstream.limits.remember:
            opened = await self._unknown.open(pull.reader, pull.key)
            if opened:
                return self._given(opened, pull)
            blob = small_blobs.get(pull.key)
            reply = await self._small(blob, pull) if blob else None
            if reply:
                return reply
        size = self._upstream.sizes.get(pull.key)
        # What is here although this reader may not have it stays here for others.
        is_open = may_have or small_blobs.get(pull.key) is None
        is_open = is_open and size is not None and pull.first < size
        asker = Asker(Urgency.ASKED)
        if is_open and size is not None and small_blobs.takes(pull.route.digest, size):
            reply = await self._small(self._blobs.small(pull.reader, pull.key, size, asker), pull)
            if reply:
                return reply
            asker = Asker(Urgency.ASKED)
        source = self._blobs.source(pull.reader, pull.key, pull.fields)
        return self._given(await self._upstream.blobs.open(source, pull.wanted, size, asker), pull)

    def _given(self, opened: Opened | Answer, pull: BlobRequest) -> Reply:
        if isinstance(opened, Answer):
            return self._passed(opened, pull)
        return pull.reply(self._registry, opened.answer.fields, opened.sent, opened.body)

    async def _small(self, blob: SmallBlob, pull: BlobRequest) -> Reply | None:
        """A small blob, or None where it has another size than its manifest says.

        Raises:
            UpstreamFailure: it cannot be had.
        """
        last = blob.size - 1
        if pull.wanted and pull.wanted.last is not None:
            last = min(last, pull.wanted.last)
        if blob.story is not current():
            current().takes(blob.story, is_whole=blob.is_whole)
        body = SmallBlobBody(blob, pull.first, last)
        try:
            fields = await body.head()
        except BaseException as e:
            body.close()
            if isinstance(e, OtherSize):
                return None
            if isinstance(e, NoBlob):
                return self._passed(e.answer, pull)
            if isinstance(e, OSError):
                # Not as it comes either: a wrong one must not be given whole.
                raise self._upstream.failure(str(e)) from e
            raise
        return pull.reply(self._registry, fields, Sent(pull.first, last, blob.size), body)

    async def _forward(self, pull: BlobRequest) -> Reply:
        """What is neither the whole nor a simple part, as the registry and the CDN answer it."""
        registry = self._registry
        if pull.asked.method == "HEAD":
            source = self._blobs.source(pull.reader, pull.key, pull.fields)
            return self._passed(await source.ask("HEAD", None), pull)
        fields = [*pull.fields, *pull.reader.fields]
        with meant_as("blob"):
            followed = await follow(
                self._upstream.outbound, registry, pull.asked.method, pull.url(registry), fields
            )
        is_registrys = same_origin(followed.url, registry.url)
        status = followed.answer.status if is_registrys else 307
        self._upstream.hear(pull.reader, pull.name, status)
        return self._passed(followed.answer, pull)

    def _passed(self, answer: Answer, pull: BlobRequest) -> Reply:
        refuse_login(self._upstream, answer, pull.asked, pull.name)
        registry = self._registry
        reply = reply_of(answer, pull.url(registry), registry, pull.asked.realm)
        if answer.status not in (200, 206):
            return reply
        fields = with_field(reply.fields, ("Docker-Content-Digest", pull.route.digest))
        length, body = blob_length(answer), blob_body(answer, pull.route.digest)
        return replace(reply, fields=fields, length=length, body=body)

    @property
    def _registry(self) -> Registry:
        return self._upstream.learnt.now
