"""A blob from its registry: where its bytes are, and how they come."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from addon.errors import UpstreamFailure, failure
from addon.headers import Fields
from addon.inflight import Budget, Lanes, Urgency
from addon.outbound import Answer, Outbound, discard
from addon.ranges import Sent, Wanted, parse_sent
from addon.redirects import MAX_REDIRECTS, REDIRECTS, Redirects, follow, resolve_target
from addon.registry import Registry, authority, same_origin
from addon.reply import Body, BrokenTransfer
from addon.singleflight import SingleFlight
from addon.transfer import FIRST_PIECE, FIRST_WINDOW, Begun, NoParts, OneStream, Pieces, Stream

_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:[0-9]+|\*)")
A = TypeVar("A", Answer, Answer | None)

# What a CDN says of an address that it takes no longer.
_REFUSED = frozenset({400, 401, 403, 404, 410})


@dataclass(frozen=True, slots=True)
class BlobKey:
    """A blob for somebody: `audience` is empty for all who ask without credentials."""

    audience: str
    repository: str
    digest: str


class Transfer(Body, Protocol):
    """A body that may be begun before anybody waits for it."""

    def claim(self) -> None:
        """Somebody waits for it now."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A blob's answer: the fields of where it came from, and the bytes from `first` to `last`."""

    answer: Answer
    sent: Sent
    body: Transfer


@dataclass(frozen=True, slots=True)
class Spread:
    """How far one transfer may spread: pieces side by side, bytes here before anybody reads."""

    pieces: int
    window: int = FIRST_WINDOW


@dataclass(frozen=True, slots=True)
class BlobLimits:
    """How blobs may spread: pieces of one side by side, connections to a host, bytes in all."""

    pieces: int
    host_connections: int
    bytes_in_flight: int


class Blobs:
    """The blobs of one registry."""

    def __init__(self, outbound: Outbound, limits: BlobLimits, redirects: Redirects) -> None:
        self.outbound = outbound
        self.redirects = redirects
        self.flights: SingleFlight[None] = SingleFlight()
        self._pieces = limits.pieces
        self.budget = Budget(limits.bytes_in_flight)
        self._host_connections = limits.host_connections
        self._lanes: dict[str, Lanes] = {}

    def lanes(self, host: str) -> Lanes:
        """The connections that blobs may use to a host."""
        return self._lanes.setdefault(host, Lanes(self._host_connections))

    def pieces_for(self, transfers: int) -> int:
        """Pieces of each blob where so many share a host's connections."""
        return max(1, min(self._pieces, self._host_connections // max(1, transfers)))

    async def open(
        self,
        source: BlobSource,
        wanted: Wanted | None,
        size: int | None,
        urgency: Urgency,
        spread: Spread | None = None,
    ) -> Opened | Answer:
        """A blob's bytes from where they are wanted, or the answer that there are none.

        Args:
            source: where they are asked for.
            wanted: the client's range; None: the whole.
            size: the whole's length, if a manifest named it.
            urgency: whether a client waits.
            spread: how far it may spread, where it does not run alone.

        Raises:
            UpstreamFailure: no upstream answered.
        """
        spread = spread or Spread(self.pieces_for(self.budget.running + 1))
        may_spread = (
            spread.pieces > 1 and source.may_be_far and (size is None or size > FIRST_PIECE)
        )
        if may_spread and source.is_far and size is not None:
            found = await self._open_at_once(source, wanted, size, urgency, spread)
            if isinstance(found, Opened) or (found and found.status != 416):
                return found
            if found:
                await discard(found)
        asked = _first_piece(wanted) if may_spread else wanted
        first = Urgency.NOW if urgency is Urgency.ASKED else urgency
        answer = await source.ask("GET", asked, first)
        if answer.status == 416 and wanted is None and asked is not None:
            # An empty blob has no first piece; who asked for the whole must not hear of one.
            await discard(answer)
            answer = await source.ask("GET", None, first)
        sent = _sent(answer)
        if sent is None or sent.first != (wanted.first if wanted else 0):
            return answer
        last = _last(wanted, sent.total)
        source.note(answer, sent.total)
        # Whoever sends more than it was asked for is not listened to.
        most = last if answer.status == 200 else _last(asked, sent.total)
        begun = Begun(answer.body, min(sent.last, last, most))
        whole = Sent(sent.first, last, sent.total)
        if may_spread and begun.last < last and source.is_far:
            body = Pieces(
                source, sent.first, last, begun, spread.pieces, self.budget, urgency, spread.window
            )
            return Opened(answer, whole, body)
        stream = Stream(source, sent.first, last, begun, first)
        return Opened(answer, whole, OneStream(stream, self.budget))

    async def _open_at_once(
        self,
        source: BlobSource,
        wanted: Wanted | None,
        size: int,
        urgency: Urgency,
        spread: Spread,
    ) -> Opened | Answer | None:
        """All pieces of a blob at once, since its size is known; None: it has not these bytes."""
        first = wanted.first if wanted else 0
        last = _last(wanted, size)
        if first > last:
            return None
        head = source.expect(first, size)
        pieces = Pieces(
            source, first, last, None, spread.pieces, self.budget, urgency, spread.window
        )
        try:
            answer = await head
        except BaseException:
            pieces.close()
            _give_up(head)
            raise
        whole = Sent(first, last, size)
        sent = _sent(answer)
        if answer.status == 206 and sent and (sent.first, sent.total) == (first, size):
            return Opened(answer, whole, pieces)
        pieces.close()
        if answer.status == 206:
            answer.body.close()
            return None
        if answer.status == 200 and answer.length == size and first == 0:
            # It knows no ranges: one stream it is.
            now = Urgency.NOW if urgency is Urgency.ASKED else urgency
            stream = Stream(source, 0, last, Begun(answer.body, size - 1), now)
            return Opened(answer, whole, OneStream(stream, self.budget))
        return answer


class BlobSource:
    """Where one blob's bytes are asked for, whichever host has them."""

    def __init__(
        self,
        blobs: Blobs,
        registry: Registry,
        key: BlobKey,
        url: str,
        fields: Fields,
        hear: Callable[[int], None] = lambda _status: None,
        redirects: Redirects | None = None,
    ) -> None:
        """Ask at `url` first.

        Args:
            blobs: what all blobs share.
            registry: whose blob it is.
            key: what it is remembered by.
            url: the registry's address of it.
            fields: what the registry is shown.
            hear: told the registry's own status, each time that it is asked.
            redirects: where addresses are remembered, if not with all others.
        """
        self._hear = hear
        self._redirects = blobs.redirects if redirects is None else redirects
        self._blobs = blobs
        self._registry = registry
        self._key = key
        self._url = url
        self._fields = fields
        self._etag: str | None = None
        self._total: int | None = None
        self._head: tuple[int, asyncio.Future[Answer]] | None = None

    @property
    def _host(self) -> str:
        return authority(self._redirects.get(self._key, "GET") or self._url)

    @property
    def is_far(self) -> bool:
        """Whether the host that has the bytes is far away, as far as it is known."""
        return self._blobs.outbound.is_far(self._host) is True

    @property
    def may_be_far(self) -> bool:
        """Whether the host that has the bytes is not known to be near."""
        return self._blobs.outbound.is_far(self._host) is not False

    def note(self, answer: Answer, total: int) -> None:
        """Every later answer must be of the same object as this one."""
        self._etag = answer.get("ETag")
        self._total = total

    def expect(self, first: int, total: int) -> asyncio.Future[Answer]:
        """The answer to the part that begins at `first`, once `open` has got it."""
        self._total = total
        head: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._head = (first, head)
        return head

    async def open(self, wanted: Wanted, urgency: Urgency) -> Body:
        """The bytes of a part.

        Raises:
            UpstreamFailure: they cannot be had, or are another object's.
        """
        if self._head and self._head[0] == wanted.first and not self._head[1].done():
            return await self._open_head(wanted, urgency, self._head[1])
        return await self._open(wanted, urgency)

    async def _open_head(
        self, wanted: Wanted, urgency: Urgency, head: asyncio.Future[Answer]
    ) -> Body:
        try:
            now = Urgency.NOW if urgency is Urgency.ASKED else urgency
            answer = await self.ask("GET", wanted, now)
        except UpstreamFailure as e:
            if not head.done():
                head.set_exception(e)
            raise
        if head.done():
            answer.body.close()
            raise failure(self._host, "nobody waits for it any more")
        head.set_result(answer)
        if answer.status != 206:
            # Whoever waits for the head takes the answer as it is.
            raise NoParts(f"{self._host} answered {answer.status} to a part of a blob")
        return self._checked_or_closed(answer, wanted)

    async def _open(self, wanted: Wanted, urgency: Urgency) -> Body:
        answer = await self.ask("GET", wanted, urgency)
        return self._checked_or_closed(answer, wanted)

    def _checked_or_closed(self, answer: Answer, wanted: Wanted) -> Body:
        try:
            return self._checked(answer, wanted)
        except UpstreamFailure:
            answer.body.close()
            raise

    def _checked(self, answer: Answer, wanted: Wanted) -> Body:
        sent = _sent(answer)
        if sent is None:
            raise failure(self._host, f"it answered {answer.status} to a part of a blob")
        etag = answer.get("ETag")
        if sent.total != self._total or (etag and self._etag and etag != self._etag):
            raise failure(self._host, "it has another object there now")
        self._etag = self._etag or etag
        if sent.first == wanted.first:
            return answer.body
        if sent.first == 0:
            return Skipping(answer.body, wanted.first)
        raise failure(self._host, "it sent another part than was asked for")

    async def ask(
        self, method: str, wanted: Wanted | None, urgency: Urgency = Urgency.NOW
    ) -> Answer:
        """An answer from wherever the bytes are, the redirect remembered or asked for.

        Raises:
            UpstreamFailure: there is none.
        """
        fields = [*self._fields, wanted.field] if wanted else self._fields
        for _ in range(2):
            known = self._redirects.get(self._key, method)
            if known is None:
                direct = await self._locate(method, fields, urgency)
                if direct:
                    return direct
                known = self._redirects.get(self._key, method)
            if known is None:
                break
            answer = await self._follow(method, known, fields, urgency)
            if answer.status not in _REFUSED:
                return answer
            # Too old, whatever it said; the registry knows a better one.
            self._redirects.forget(self._key, method)
            await discard(answer)
        return await self._follow(method, self._url, fields, urgency)

    async def locate(self, urgency: Urgency = Urgency.NOW) -> int:
        """Let the registry say where the blob is, and so whether it may be read: its status.

        Raises:
            UpstreamFailure: it did not answer.
        """
        if self._redirects.get(self._key, "GET"):
            return 307
        heard: list[int] = []
        # Twice, because what somebody else was told is not told to us.
        for _ in range(2):
            direct = await self._locate("GET", self._fields, urgency, heard)
            if direct:
                direct.body.close()
            if heard or self._redirects.get(self._key, "GET"):
                break
        return heard[0] if heard else 307

    async def _laned(
        self, url: str, urgency: Urgency, ask: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """An answer whose body holds a place at its host until it ends."""
        if urgency is Urgency.NOW:
            return await ask()
        lane = self._blobs.lanes(authority(url))
        await lane.enter(urgency)
        try:
            answer = await ask()
        except BaseException:
            lane.leave()
            raise
        return replace(answer, body=Laned(answer.body, lane))

    async def _locate(
        self, method: str, fields: Fields, urgency: Urgency, heard: list[int] | None = None
    ) -> Answer | None:
        """Ask the registry where the blob is, once for all who ask now.

        None: the redirect is remembered now, or somebody else got an answer that is none.
        """
        direct: list[Answer] = []
        is_waiting = True

        async def request() -> Answer:
            return await self._blobs.outbound.request(method, self._url, fields)

        async def ask() -> None:
            # Who asks holds a place; those that wait for what it says need none.
            answer = await self._laned(self._url, urgency, request)
            self._hear(answer.status)
            if heard is not None:
                heard.append(answer.status)
            location = answer.get("Location")
            if answer.status in REDIRECTS and location:
                await discard(answer)
                target = resolve_target(self._registry, self._url, location)
                self._redirects.keep(self._key, method, target)
            elif is_waiting:
                direct.append(answer)
            else:
                answer.body.close()

        try:
            await self._blobs.flights.once((self._key, method), ask)
        except BaseException:
            is_waiting = False
            for answer in direct:
                answer.body.close()
            raise
        return direct[0] if direct else None

    async def _follow(self, method: str, url: str, fields: Fields, urgency: Urgency) -> Answer:
        async def ask() -> Answer:
            outbound, registry = self._blobs.outbound, self._registry
            # An address that the registry has named is a redirect that was followed already.
            at_most = MAX_REDIRECTS if url == self._url else MAX_REDIRECTS - 1
            followed = await follow(outbound, registry, method, url, fields, at_most=at_most)
            if url == self._url:
                is_registrys = same_origin(followed.url, url)
                # Who is sent on has been let in.
                self._hear(followed.answer.status if is_registrys else 307)
            return followed.answer

        return await self._laned(url, urgency, ask)


class Laned:
    """A body that holds its host's lane until it has ended."""

    def __init__(self, body: Body, lane: Lanes) -> None:
        self._body = body
        self._lane: Lanes | None = lane

    async def read(self) -> bytes:
        """The next bytes."""
        return await self._body.read()

    def close(self) -> None:
        """End it, and let the next one in."""
        self._body.close()
        if self._lane:
            self._lane.leave()
            self._lane = None


class Skipping:
    """A body without its first bytes, for an upstream that knows no ranges."""

    def __init__(self, body: Body, count: int) -> None:
        self._body = body
        self._left = count

    async def read(self) -> bytes:
        """The next bytes that count."""
        while True:
            chunk = await self._body.read()
            if not chunk or len(chunk) > self._left:
                kept, self._left = chunk[self._left :], 0
                return kept
            self._left -= len(chunk)

    def close(self) -> None:
        """End it."""
        self._body.close()


class VerifiedBody:
    """A body that ends only as the content of its digest, otherwise as a broken transfer.

    Where an answer has neither length nor chunks, nothing else tells its end from a break.
    """

    def __init__(self, body: Body, digest: str) -> None:
        algorithm, _, self._expected = digest.partition(":")
        self._seen = _HASHES[algorithm]()
        self._digest = digest
        self._body = body

    async def read(self) -> bytes:
        """The next chunk."""
        chunk = await self._body.read()
        self._seen.update(chunk)
        if not chunk and self._seen.hexdigest() != self._expected:
            raise BrokenTransfer(f"what came is not {self._digest}")
        return chunk

    def close(self) -> None:
        """End the transfer."""
        self._body.close()


def blob_length(answer: Answer) -> int | None:
    """A body's length, where its framing or the range that it is tells it.

    A part that ends with its connection has no digest to be checked by.
    """
    match = _CONTENT_RANGE.fullmatch(answer.get("Content-Range") or "")
    if answer.status != 206 or not answer.closes_to_end or not match:
        return answer.length
    first, last = int(match[1]), int(match[2])
    return last - first + 1 if first <= last else None


def blob_body(answer: Answer, digest: str) -> Body:
    """The bytes of a blob or manifest, which end cleanly only where they are known to be whole.

    Length or chunks say so themselves. Where there is neither, the digest does.
    """
    algorithm = digest.partition(":")[0]
    if answer.status != 200 or not answer.closes_to_end or algorithm not in _HASHES:
        return answer.body
    return VerifiedBody(answer.body, digest)


def _give_up(head: asyncio.Future[Answer]) -> None:
    """Nobody waits for a head any more, which may just have come."""
    if not head.done():
        head.cancel()
    elif not head.cancelled() and not head.exception():
        head.result().body.close()


def _last(wanted: Wanted | None, total: int) -> int:
    """The last byte that is wanted of so many."""
    if wanted is None or wanted.last is None:
        return total - 1
    return min(wanted.last, total - 1)


def _first_piece(wanted: Wanted | None) -> Wanted:
    first = wanted.first if wanted else 0
    last = first + FIRST_PIECE - 1
    return Wanted(first, min(last, wanted.last) if wanted and wanted.last is not None else last)


def _sent(answer: Answer) -> Sent | None:
    """Which bytes an answer holds, None where it holds none or does not say."""
    if answer.status == 200 and answer.length:
        return Sent(0, answer.length - 1, answer.length)
    if answer.status != 206:
        return None
    try:
        return parse_sent(answer.get("Content-Range") or "")
    except ValueError:
        return None
