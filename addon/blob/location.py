"""Where a blob is: the address that its registry has named, remembered or asked for."""

from __future__ import annotations

from addon.blob.redirects import REDIRECTS, Followed, Redirects, resolve_target
from addon.blob.registryblob import RegistryBlob
from addon.blob.urgency import Asker
from addon.blob.ways import Ways
from addon.flows.story import meant_as
from addon.outbound.received import Answer, discard
from addon.protocol.headers import Fields
from addon.protocol.registry import authority


class Location:
    """Where one blob is, as far as it is known."""

    def __init__(self, ways: Ways, blob: RegistryBlob, redirects: Redirects) -> None:
        """Addresses are remembered in `redirects`."""
        self._ways = ways
        self._blob = blob
        self._redirects = redirects

    def known(self, method: str) -> str | None:
        """The address that a method is asked at, if one holds."""
        return self._redirects.get(self._blob.key, method)

    def forget(self, method: str) -> None:
        """It does not hold."""
        self._redirects.forget(self._blob.key, method)

    @property
    def host(self) -> str:
        """Who has the bytes: the registry, as long as it has named nobody else."""
        return authority(self.known("GET") or self._blob.url)

    async def status(self, asker: Asker) -> int:
        """What the registry says of where the blob is, and so whether it may be read.

        Raises:
            UpstreamFailure: it did not answer.
        """
        heard: list[int] = []
        # Twice, because what somebody else was told is not told to us.
        for _ in range(2):
            if heard or self.known("GET"):
                break
            direct = await self.ask("GET", self._blob.fields, asker, heard)
            if direct:
                direct.body.close()
        return heard[0] if heard else 307

    async def ask(
        self, method: str, fields: Fields, asker: Asker, heard: list[int] | None = None
    ) -> Answer | None:
        """Ask the registry, once for all who ask now; `heard` is given its status.

        None: the address is remembered now, or somebody else got an answer that names none.

        Raises:
            UpstreamFailure: it did not answer.
        """
        blob = self._blob
        direct: list[Answer] = []
        is_waiting = True

        async def request(shown: Fields) -> Followed:
            with meant_as("redirect"):
                answer = await self._ways.outbound.request(method, blob.url, shown)
            return Followed(answer, blob.url)

        async def let_in() -> Answer:
            return (await blob.let_in(fields, request)).answer

        async def ask(leader: Asker) -> None:
            # Who asks holds a place; those that wait for what it says need none.
            answer = await self._ways.lanes.answer(authority(blob.url), leader, let_in)
            blob.visitor.hear(answer.status)
            if heard is not None:
                heard.append(answer.status)
            location = answer.get("Location")
            if answer.status in REDIRECTS and location:
                await discard(answer)
                target = resolve_target(blob.registry, blob.url, location)
                self._redirects.keep(blob.key, method, target)
            elif is_waiting:
                direct.append(answer)
            else:
                answer.body.close()

        try:
            await self._ways.once((blob.key, method), asker, ask)
        except BaseException:
            is_waiting = False
            for answer in direct:
                answer.body.close()
            raise
        return direct[0] if direct else None
