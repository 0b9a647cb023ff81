"""Where one blob's bytes are asked for: at its registry, or at the address that it has named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol
from weakref import WeakValueDictionary

from addon.bodies import Laned, Skipping
from addon.errors import UpstreamFailure, failure
from addon.headers import Fields
from addon.inflight import Asker, Lanes, Urgency
from addon.outbound import Outbound
from addon.ranges import Sent, Wanted, parse_sent
from addon.received import Answer, discard
from addon.redirects import REDIRECTS, Followed, Redirects, follow, resolve_target
from addon.registry import Registry, authority, same_origin
from addon.reply import Body
from addon.singleflight import SingleFlight
from addon.story import meant_as
from addon.transfer import NoParts, TransferLimits

# What a CDN says of an address that it takes no longer.
_REFUSED = frozenset({400, 401, 403, 404, 410})
_AT_ONCE = Asker(Urgency.NOW)


@dataclass(frozen=True, slots=True)
class BlobKey:
    """A blob for somebody: `audience` is empty for all who ask without credentials."""

    audience: str
    repository: str
    digest: str


class Ways:
    """How the blobs of one registry are reached: shared by all of them."""

    def __init__(
        self,
        outbound: Outbound,
        redirects: Redirects,
        host_connections: int,
        limits: TransferLimits,
    ) -> None:
        self.outbound = outbound
        self.redirects = redirects
        self.limits = limits
        self.flights: SingleFlight[None] = SingleFlight()
        # Whom each of these asks for.
        self.asking: WeakValueDictionary[tuple[BlobKey, str], Asker] = WeakValueDictionary()
        self._host_connections = host_connections
        # A host's are kept as long as somebody holds or waits for one.
        self._lanes: WeakValueDictionary[str, Lanes] = WeakValueDictionary()

    def lanes(self, host: str) -> Lanes:
        """The connections that blobs may use to a host."""
        lanes = self._lanes.get(host) or Lanes(self._host_connections)
        self._lanes[host] = lanes
        return lanes


class Visitor(Protocol):
    """Who asks a registry; a transfer may last longer than its token."""

    @property
    def fields(self) -> Fields:
        """The credentials that the registry is shown.

        Raises:
            UpstreamFailure: there are none to be had.
        """

    async def renew(self) -> bool:
        """The registry has refused them: whether there are new ones now."""

    def hear(self, status: int) -> None:
        """What the registry itself has answered."""


class BlobSource:
    """Where one blob's bytes are asked for, whichever host has them."""

    def __init__(
        self,
        ways: Ways,
        registry: Registry,
        key: BlobKey,
        url: str,
        fields: Fields,
        visitor: Visitor,
        redirects: Redirects | None = None,
    ) -> None:
        """Ask at `url` first.

        Args:
            ways: what all blobs of the registry share.
            registry: whose blob it is.
            key: what it is remembered by.
            url: the registry's address of it.
            fields: what the registry is shown, but for credentials.
            visitor: who the registry is told that asks.
            redirects: where addresses are remembered, if not with all others.
        """
        self._visitor = visitor
        self._redirects = ways.redirects if redirects is None else redirects
        self._ways = ways
        self._registry = registry
        self._key = key
        self._url = url
        self._fields = fields
        self._etag: str | None = None
        self._total: int | None = None
        self._head: tuple[int, asyncio.Future[Answer]] | None = None
        self._patience = ways.limits.patience()

    @property
    def host(self) -> str:
        """Who has the bytes, as far as it is known."""
        return authority(self._redirects.get(self._key, "GET") or self._url)

    @property
    def is_far(self) -> bool:
        """Whether the host that has the bytes is far away, as far as it is known."""
        return self._ways.outbound.hosts.of(self.host).is_far is True

    @property
    def round_trip(self) -> float:
        """Seconds to the host that has the bytes and back; 0 as long as they are not known."""
        return self._ways.outbound.hosts.of(self.host).round_trip

    @property
    def may_be_far(self) -> bool:
        """Whether the host that has the bytes is not known to be near."""
        return self._ways.outbound.hosts.of(self.host).is_far is not False

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

    async def open(self, wanted: Wanted, asker: Asker) -> Body:
        """The bytes of a part.

        Raises:
            UpstreamFailure: they cannot be had, or are another object's.
        """
        if self._head and self._head[0] == wanted.first and not self._head[1].done():
            return await self._open_head(wanted, asker, self._head[1])
        return await self._open(wanted, asker)

    async def _open_head(self, wanted: Wanted, asker: Asker, head: asyncio.Future[Answer]) -> Body:
        try:
            answer = await self.ask("GET", wanted, asker.first)
        except Exception as e:
            # Whatever it is, somebody waits for the head.
            if not head.done():
                head.set_exception(e)
            raise
        if head.done():
            answer.body.close()
            raise failure(self.host, "nobody waits for it any more")
        head.set_result(answer)
        if answer.status != 206:
            # Whoever waits for the head takes the answer as it is.
            raise NoParts(f"{self.host} answered {answer.status} to a part of a blob")
        return self._checked_or_closed(answer, wanted)

    async def _open(self, wanted: Wanted, asker: Asker) -> Body:
        answer = await self.ask("GET", wanted, asker)
        return self._checked_or_closed(answer, wanted)

    def _checked_or_closed(self, answer: Answer, wanted: Wanted) -> Body:
        try:
            return self._checked(answer, wanted)
        except UpstreamFailure:
            answer.body.close()
            raise

    def _checked(self, answer: Answer, wanted: Wanted) -> Body:
        sent = sent_of(answer)
        if sent is None:
            raise failure(self.host, f"it answered {answer.status} to a part of a blob")
        etag = answer.get("ETag")
        if sent.total != self._total or (etag and self._etag and etag != self._etag):
            raise failure(self.host, "it has another object there now")
        self._etag = self._etag or etag
        if sent.first == wanted.first:
            return answer.body
        if sent.first == 0:
            return Skipping(answer.body, wanted.first)
        raise failure(self.host, "it sent another part than was asked for")

    async def ask(self, method: str, wanted: Wanted | None, asker: Asker = _AT_ONCE) -> Answer:
        """An answer from wherever the bytes are, the redirect remembered or asked for.

        Raises:
            UpstreamFailure: there is none.
        """
        fields = [*self._fields, wanted.field] if wanted else self._fields
        for _ in range(2):
            known = self._redirects.get(self._key, method)
            if known is None:
                direct = await self._locate(method, fields, asker)
                if direct:
                    return direct
                known = self._redirects.get(self._key, method)
            if known is None:
                break
            answer = await self._follow(method, known, fields, asker, wanted)
            if answer.status not in _REFUSED:
                return answer
            # Too old, whatever it said; the registry knows a better one.
            self._redirects.forget(self._key, method)
            await discard(answer)
        return await self._follow(method, self._url, fields, asker, wanted)

    async def locate(self, asker: Asker = _AT_ONCE) -> int:
        """Let the registry say where the blob is, and so whether it may be read: its status.

        Raises:
            UpstreamFailure: it did not answer.
        """
        if self._redirects.get(self._key, "GET"):
            return 307
        heard: list[int] = []
        # Twice, because what somebody else was told is not told to us.
        for _ in range(2):
            direct = await self._locate("GET", self._fields, asker, heard)
            if direct:
                direct.body.close()
            if heard or self._redirects.get(self._key, "GET"):
                break
        return heard[0] if heard else 307

    async def _laned(self, url: str, asker: Asker, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """An answer whose body holds a place at its host until it ends."""
        # A slow client would hold a place for as long as it reads: its only stream has none.
        place = await self._ways.lanes(authority(url)).enter(asker)
        if place is None:
            return await ask()
        try:
            answer = await ask()
        except BaseException:
            place.leave()
            raise
        return replace(answer, body=Laned(answer.body, place))

    async def _let_in(
        self, fields: Fields, ask: Callable[[Fields], Awaitable[Followed]]
    ) -> Followed:
        """An answer, to new credentials where the registry takes the ones before no longer."""
        followed = await ask([*fields, *self._visitor.fields])
        if followed.answer.status != 401 or not same_origin(followed.url, self._url):
            return followed
        try:
            if not await self._visitor.renew():
                return followed
        except BaseException:
            followed.answer.body.close()
            raise
        await discard(followed.answer)
        return await ask([*fields, *self._visitor.fields])

    async def _locate(
        self, method: str, fields: Fields, asker: Asker, heard: list[int] | None = None
    ) -> Answer | None:
        """Ask the registry where the blob is, once for all who ask now.

        None: the redirect is remembered now, or somebody else got an answer that is none.
        """
        direct: list[Answer] = []
        is_waiting = True
        key = (self._key, method)
        # Whoever joins may be in a greater hurry than who has begun.
        leader = self._ways.asking.get(key) or Asker(asker.urgency)
        self._ways.asking[key] = leader
        asker.hurries(leader)

        async def request(shown: Fields) -> Followed:
            with meant_as("redirect"):
                answer = await self._ways.outbound.request(method, self._url, shown)
            return Followed(answer, self._url)

        async def let_in() -> Answer:
            return (await self._let_in(fields, request)).answer

        async def ask() -> None:
            # Who asks holds a place; those that wait for what it says need none.
            try:
                answer = await self._laned(self._url, leader, let_in)
            finally:
                if self._ways.asking.get(key) is leader:
                    del self._ways.asking[key]
            self._visitor.hear(answer.status)
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
            await self._ways.flights.once(key, ask)
        except BaseException:
            is_waiting = False
            for answer in direct:
                answer.body.close()
            raise
        return direct[0] if direct else None

    async def _follow(
        self, method: str, url: str, fields: Fields, asker: Asker, wanted: Wanted | None
    ) -> Answer:
        # A part may come sooner over another connection.
        is_patient = not (wanted and wanted.last is not None and self.is_far)

        async def request(shown: Fields) -> Followed:
            with meant_as("blob"):
                return await follow(
                    self._ways.outbound,
                    self._registry,
                    method,
                    url,
                    shown,
                    # What the registry has named is a redirect that was followed already.
                    followed=0 if url == self._url else 1,
                    answer_within=None if is_patient else self._patience.seconds,
                )

        async def ask() -> Answer:
            followed = await self._let_in(fields, request)
            if url == self._url:
                is_registrys = same_origin(followed.url, url)
                # Who is sent on has been let in.
                self._visitor.hear(followed.answer.status if is_registrys else 307)
            return followed.answer

        try:
            answer = await self._laned(url, asker, ask)
        except UpstreamFailure as e:
            if e.status == 504:
                self._patience.was_in_vain()
            raise
        self._patience.was_right()
        return answer


def sent_of(answer: Answer) -> Sent | None:
    """Which bytes an answer holds, None where it holds none or does not say."""
    if answer.status == 200 and answer.length:
        return Sent(0, answer.length - 1, answer.length)
    if answer.status != 206:
        return None
    try:
        return parse_sent(answer.get("Content-Range") or "")
    except ValueError:
        return None
