"""A blob for a client: from memory, from what was begun ahead, or from where its bytes are."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from addon.answers import reply_of, with_field
from addon.asked import Asked
from addon.blobs import Opened, Spread
from addon.blobsource import BlobKey, BlobSource
from addon.bodies import blob_body, blob_length
from addon.descriptors import Descriptor
from addon.errors import UpstreamFailure, failure
from addon.headers import Fields, to_client, to_registry
from addon.inflight import Asker, Urgency
from addon.lookahead import Ahead, AheadLimits, Begun, narrowed
from addon.ranges import Sent, Wanted, parse_wanted
from addon.readers import Visit, not_for_everyone
from addon.received import Answer, WholeAnswer, read_whole
from addon.redirects import follow
from addon.registry import Registry, authority, same_origin
from addon.reply import Body, BrokenTransfer, MemoryBody, Reply
from addon.routes import Blob
from addon.sharing import EVERYONE, Reader
from addon.smallblobs import SmallBlob, SmallBlobBody
from addon.story import Source, Story, current, meant_as
from addon.transfer import FIRST_PIECE
from addon.upstream import Upstream

_CONDITIONS = (
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
)
# What passes with time.
_NOT_NOW = (429, 500, 502, 503, 504)
_NOT_OF_THE_WHOLE = frozenset({"content-length", "content-range"})

logger = logging.getLogger(__name__)

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


class BlobPulls:
    """Blobs of one upstream."""

    def __init__(self, upstream: Upstream, limits: AheadLimits) -> None:
        self._upstream = upstream
        self._window = max(FIRST_PIECE, limits.bytes // limits.transfers)
        self.ahead = Ahead(self, limits)
        upstream.revoked.append(self.ahead.drop)

    async def answer(self, route: Blob, asked: Asked, reader: Reader, name: str) -> Reply:
        """The blob under an upstream's name, or what the registry says instead.

        Raises:
            UpstreamFailure: no upstream answered.
        """
        self.ahead.watchers.claimed(asked.client)
        key = (reader.audience, name, route.digest)
        wanted = parse_wanted(asked.get("range"))
        is_whole_or_part = not asked.get("range") or wanted is not None
        pull = _Pull(route, asked, reader, key, wanted)
        may_have = self._upstream.access.holds(reader.audience, name)
        may_have = may_have or await self._ask_again(pull)
        if asked.has(*_CONDITIONS) or not is_whole_or_part:
            return await self._forward(pull)
        known = await self._from_memory(pull) if may_have else None
        if known:
            return known
        if asked.method != "GET":
            return await self._forward(pull)
        return await self._fetch(pull, may_have)

    async def _ask_again(self, pull: _Pull) -> bool:
        """Let the registry say whether this reader may still have what is kept.

        Raises:
            UpstreamFailure: it did not say, and its last yes is too old.
        """
        upstream = self._upstream
        for method in ("GET", "HEAD"):
            upstream.blobs.ways.redirects.forget(BlobKey(*pull.key), method)
        if upstream.small_blobs.get(pull.key) is None:
            return False  # it is asked for the blob itself
        try:
            status = await self._source(pull.reader, pull.key, pull.asked).locate()
            if status in _NOT_NOW:
                raise failure(upstream.learnt.now.authority, f"it answered {status}")
        except UpstreamFailure as e:
            age = upstream.access.age(pull.reader.audience, pull.name)
            if pull.reader.audience != EVERYONE or age >= upstream.limits.stale_time:
                raise
            logger.warning("A blob of %s is served from memory: %s", pull.name, e)
            current().given(Source.STALE, age)
            return True
        return status < 400

    async def _from_memory(self, pull: _Pull) -> Reply | None:
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
        begun.opened.body.claim()
        return self._reply(begun.opened, pull)

    async def _fetch(self, pull: _Pull, may_have: bool) -> Reply:
        size = self._upstream.sizes.get(pull.key)
        small_blobs = self._upstream.small_blobs
        # What is here although this reader may not have it stays here for others.
        is_open = may_have or small_blobs.get(pull.key) is None
        is_open = is_open and size is not None and pull.first < size
        if is_open and size is not None and small_blobs.takes(pull.route.digest, size):
            asker = Asker(Urgency.ASKED)
            reply = await self._small(self._begin_small(pull.reader, pull.key, size, asker), pull)
            if reply:
                return reply
        source = self._source(pull.reader, pull.key, pull.asked)
        opened = await self._upstream.blobs.open(source, pull.wanted, size, Asker(Urgency.ASKED))
        if isinstance(opened, Answer):
            return self._passed(opened, pull)
        return self._reply(opened, pull)

    async def _small(self, blob: SmallBlob, pull: _Pull) -> Reply | None:
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
                raise failure(self._upstream.learnt.now.authority, str(e)) from e
            raise
        return self._with_fields(pull, fields, Sent(pull.first, last, blob.size), body)

    async def _forward(self, pull: _Pull) -> Reply:
        """What is neither the whole nor a simple part, as the registry and the CDN answer it."""
        registry = self._upstream.learnt.now
        fields = [*_without_authorization(pull.asked), *pull.reader.fields]
        if pull.asked.method == "HEAD":
            source = self._source(pull.reader, pull.key, pull.asked)
            return self._passed(await source.ask("HEAD", None), pull)
        with meant_as("blob"):
            followed = await follow(
                self._upstream.outbound, registry, pull.asked.method, pull.url(registry), fields
            )
        is_registrys = same_origin(followed.url, registry.url)
        status = followed.answer.status if is_registrys else 307
        self._upstream.hear(pull.reader, pull.name, status)
        return self._passed(followed.answer, pull)

    def _passed(self, answer: Answer, pull: _Pull) -> Reply:
        login_is_missing = answer.status == 401 and not pull.asked.authorization
        if login_is_missing and not self._upstream.limits.challenges_clients:
            answer.body.close()
            raise not_for_everyone(pull.name)
        registry = self._upstream.learnt.now
        reply = reply_of(answer, pull.url(registry), registry, pull.asked.realm)
        if answer.status not in (200, 206):
            return reply
        fields = with_field(reply.fields, ("Docker-Content-Digest", pull.route.digest))
        length, body = blob_length(answer), blob_body(answer, pull.route.digest)
        return replace(reply, fields=fields, length=length, body=body)

    def _reply(self, opened: Opened, pull: _Pull) -> Reply:
        return self._with_fields(pull, opened.answer.fields, opened.sent, opened.body)

    def _with_fields(self, pull: _Pull, fields: Fields, sent: Sent, body: Body) -> Reply:
        """A blob's bytes with the fields that fit what the client asked for."""
        registry = self._upstream.learnt.now
        kept = to_client(
            [(n, v) for n, v in fields if n.lower() not in _NOT_OF_THE_WHOLE],
            base=pull.url(registry),
            realm=pull.asked.realm,
            service=registry.service,
        )
        given = with_field(kept, ("Docker-Content-Digest", pull.route.digest))
        length = sent.last - sent.first + 1
        if pull.wanted is None:
            return Reply(200, given, length, body)
        return Reply(206, [*given, ("Content-Range", sent.value)], length, body)

    def _source(self, reader: Reader, key: tuple[str, str, str], asked: Asked | None) -> BlobSource:
        registry = self._upstream.learnt.now
        fields = _without_authorization(asked) if asked else to_registry([])
        url = f"{registry.url}/v2/{key[1]}/blobs/{key[2]}"
        own = [(n, v) for n, v in fields if n.lower() != "range"]
        return BlobSource(
            self._upstream.blobs.ways,
            registry,
            BlobKey(*key),
            url,
            own,
            Visit(self._upstream, reader, key[1]),
            None if self._upstream.limits.remember else self._upstream.redirects(2),
        )

    def _begin_small(
        self,
        reader: Reader,
        key: tuple[str, str, str],
        size: int,
        asker: Asker,
        spread: Spread | None = None,
    ) -> SmallBlob:
        async def open_body() -> tuple[Fields, Body]:
            source = self._source(reader, key, None)
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

    async def begin(
        self, reader: Reader, name: str, blob: Descriptor, side_by_side: int, asker: Asker
    ) -> Begun | None:
        """Begin a blob that nobody has asked for yet, beside others of its image."""
        key = (reader.audience, name, blob.digest)
        spread = Spread(self._upstream.blobs.pieces_for(side_by_side), self._window)
        if self._upstream.small_blobs.takes(blob.digest, blob.size):
            self._begin_small(reader, key, blob.size, asker, spread)
            return None
        source = self._source(reader, key, None)
        opened = await self._upstream.blobs.open(source, None, blob.size, asker, spread)
        if isinstance(opened, Answer):
            opened.body.close()
            return None
        return BegunBlob(opened, current())

    async def resolve(self, reader: Reader, name: str, blob: Descriptor) -> None:
        """Learn where a blob is."""
        if not self._upstream.small_blobs.get((reader.audience, name, blob.digest)):
            await self._source(reader, (reader.audience, name, blob.digest), None).locate(
                Asker(Urgency.AHEAD)
            )

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


@dataclass(frozen=True, slots=True)
class BegunBlob:
    """A transfer that waits for its client."""

    opened: Opened
    story: Story

    def close(self) -> None:
        """Nobody came."""
        self.story.is_dropped = True
        self.opened.body.close()


@dataclass(frozen=True, slots=True)
class _Pull:
    """One client's request for a blob."""

    route: Blob
    asked: Asked
    reader: Reader
    key: tuple[str, str, str]
    wanted: Wanted | None

    @property
    def name(self) -> str:
        return self.key[1]

    @property
    def first(self) -> int:
        """The first byte that is wanted."""
        return self.wanted.first if self.wanted else 0

    @property
    def is_whole(self) -> bool:
        return self.wanted is None or self.wanted == Wanted()

    def url(self, registry: Registry) -> str:
        return registry.url_for(self.route)


def _without_authorization(asked: Asked) -> list[tuple[str, str]]:
    return [(n, v) for n, v in to_registry(asked.fields) if n.lower() != "authorization"]
