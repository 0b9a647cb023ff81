"""Where one blob's bytes are asked for: at its registry, or at the address that it has named."""

from __future__ import annotations

import asyncio

from addon.blob.location import Location
from addon.blob.redirects import Followed, Redirects, follow
from addon.blob.registryblob import RegistryBlob
from addon.blob.sameobject import SameObject
from addon.blob.transfer import NoParts
from addon.blob.urgency import Asker, Urgency
from addon.blob.ways import Ways
from addon.flows.story import meant_as
from addon.outbound.received import Answer, discard
from addon.protocol.errors import UpstreamFailure, failure
from addon.protocol.headers import Fields
from addon.protocol.ranges import Wanted
from addon.protocol.registry import authority, same_origin
from addon.protocol.reply import Body

# What a CDN says of an address that it takes no longer.
_REFUSED = frozenset({400, 401, 403, 404, 410})
_AT_ONCE = Asker(Urgency.NOW)


class BlobSource:
    """Where one blob's bytes are asked for, whichever host has them."""

    def __init__(self, ways: Ways, blob: RegistryBlob, redirects: Redirects | None = None) -> None:
        """`redirects` is where addresses are remembered, if not with all others."""
        self._ways = ways
        self._blob = blob
        remembered = ways.redirects if redirects is None else redirects
        self._location = Location(ways, blob, remembered)
        self._object = SameObject()
        self._head: tuple[int, asyncio.Future[Answer]] | None = None
        self._patience = ways.limits.patience()

    @property
    def host(self) -> str:
        """Who has the bytes, as far as it is known."""
        return self._location.host

    @property
    def is_far(self) -> bool:
        """Whether the host that has the bytes is far away, as far as it is known."""
        return self._ways.outbound.hosts.of(self.host).is_far is True

    @property
    def may_be_far(self) -> bool:
        """Whether the host that has the bytes is not known to be near."""
        return self._ways.outbound.hosts.of(self.host).is_far is not False

    @property
    def round_trip(self) -> float:
        """Seconds to the host that has the bytes and back; 0 as long as they are not known."""
        return self._ways.outbound.hosts.of(self.host).round_trip

    def note(self, answer: Answer, total: int) -> None:
        """Every later answer must be of the same object as this one."""
        self._object.note(answer, total)

    def expect(self, first: int, total: int) -> asyncio.Future[Answer]:
        """The answer to the part that begins at `first`, once `open` has got it."""
        self._object.total = total
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
        answer = await self.ask("GET", wanted, asker)
        return self._object.part(answer, wanted, self.host)

    async def _open_head(self, wanted: Wanted, asker: Asker, head: asyncio.Future[Answer]) -> Body:
        try:
            answer = await self.ask("GET", wanted, asker.first)
        except Exception as e:
            # Whatever it is, somebody waits for the head.
            if not head.done():
                head.set_exception(e)
            raise
        host = self.host
        if head.done():
            answer.body.close()
            raise failure(host, "nobody waits for it any more")
        head.set_result(answer)
        if answer.status != 206:
            # Whoever waits for the head takes the answer as it is.
            raise NoParts(f"{host} answered {answer.status} to a part of a blob")
        return self._object.part(answer, wanted, host)

    async def ask(self, method: str, wanted: Wanted | None, asker: Asker = _AT_ONCE) -> Answer:
        """An answer from wherever the bytes are, the redirect remembered or asked for.

        Raises:
            UpstreamFailure: there is none.
        """
        own = self._blob.fields
        fields = [*own, wanted.field] if wanted else own
        for _ in range(2):
            known = self._location.known(method)
            if known is None:
                direct = await self._location.ask(method, fields, asker)
                if direct:
                    return direct
                known = self._location.known(method)
            if known is None:
                break
            answer = await self._follow(method, known, fields, asker, wanted)
            if answer.status not in _REFUSED:
                return answer
            # Too old, whatever it said; the registry knows a better one.
            self._location.forget(method)
            await discard(answer)
        return await self._follow(method, self._blob.url, fields, asker, wanted)

    async def locate(self, asker: Asker = _AT_ONCE) -> int:
        """Let the registry say where the blob is, and so whether it may be read: its status.

        Raises:
            UpstreamFailure: it did not answer.
        """
        return await self._location.status(asker)

    async def _follow(
        self, method: str, url: str, fields: Fields, asker: Asker, wanted: Wanted | None
    ) -> Answer:
        blob = self._blob
        # A part may come sooner over another connection.
        is_patient = not (wanted and wanted.last is not None and self.is_far)

        async def request(shown: Fields) -> Followed:
            with meant_as("blob"):
                return await follow(
                    self._ways.outbound,
                    blob.registry,
                    method,
                    url,
                    shown,
                    # What the registry has named is a redirect that was followed already.
                    followed=0 if url == blob.url else 1,
                    answer_within=None if is_patient else self._patience.seconds,
                )

        async def ask() -> Answer:
            followed = await blob.let_in(fields, request)
            if url == blob.url:
                is_registrys = same_origin(followed.url, url)
                # Who is sent on has been let in.
                blob.visitor.hear(followed.answer.status if is_registrys else 307)
            return followed.answer

        try:
            answer = await self._ways.lanes.answer(authority(url), asker, ask)
        except UpstreamFailure as e:
            if e.status == 504:
                self._patience.was_in_vain()
            raise
        self._patience.was_right()
        return answer
