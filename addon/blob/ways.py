"""What all blobs of one registry share: the way out, where blobs are, and whose turn it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from addon.blob.lanes import HostLanes
from addon.blob.redirects import Redirects
from addon.blob.transfer import TransferLimits
from addon.blob.urgency import Asker
from addon.memory.sharing import BlobKey
from addon.memory.singleflight import SingleFlight
from addon.outbound.outbound import Outbound


class Ways:
    """How the blobs of one registry are reached."""

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
        self.lanes = HostLanes(host_connections)
        self._flights: SingleFlight[None] = SingleFlight()
        # Whom each of these asks for.
        self._asking: WeakValueDictionary[tuple[BlobKey, str], Asker] = WeakValueDictionary()

    async def once(
        self,
        key: tuple[BlobKey, str],
        asker: Asker,
        ask: Callable[[Asker], Awaitable[None]],
    ) -> None:
        """Ask once for all who want the same now, as urgently as the most urgent of them."""
        # Whoever joins may be in a greater hurry than who has begun.
        leader = self._asking.get(key) or Asker(asker.urgency)
        self._asking[key] = leader
        asker.hurries(leader)

        async def run() -> None:
            try:
                await ask(leader)
            finally:
                if self._asking.get(key) is leader:
                    del self._asking[key]

        await self._flights.once(key, run)
