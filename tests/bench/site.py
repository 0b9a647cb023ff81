"""The Hub with a line in front of it, and what stands on the near side of the line."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hub.addresses import loopback_addresses
from tests.ports import free_port

from .children import Child, running
from .relay import Route

MIRROR_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Site:
    """A Hub that is so many seconds away (a round trip), and a folder for what is started."""

    hub: Child
    registry: str
    token: str
    service: str
    ca: Path
    certificate: tuple[Path, Path]
    folder: Path
    round_trip: float
    workers: int = 0
    """Of a mirror that is started here; 0: it is one process."""

    def client_tls(self) -> ssl.SSLContext:
        """Trusts the Hub and every mirror in front of it."""
        return ssl.create_default_context(cafile=str(self.ca))

    async def add(self, image: str) -> list[tuple[str, int]]:
        """Add an image; digest and size of each layer."""
        return [
            (digest, size) for digest, size in (await self.hub.ask(do="add", image=image))["layers"]
        ]

    async def log(self) -> list[dict[str, Any]]:
        """The requests that the Hub has seen since it was last asked."""
        seen: list[dict[str, Any]] = await self.hub.ask(do="log")
        return seen


@contextlib.asynccontextmanager
async def far_hub(
    round_trip: float, folder: Path, images: Sequence[str], cut_after: int = 0
) -> AsyncIterator[Site]:
    """A Hub behind relays; at no distance there is none, unless connections to the CDN are cut."""
    hosts = loopback_addresses()
    has_relay = bool(round_trip or cut_after)
    ports = [free_port(host) if has_relay else 0 for host in hosts]
    async with contextlib.AsyncExitStack() as stack:
        arguments = json.dumps({"hosts": hosts, "announced_ports": ports})
        hub = await stack.enter_async_context(running("hub_process", arguments))
        said = json.loads(await hub.line())
        if has_relay:
            cuts = (0, 0, cut_after)
            routes = [
                Route((host, port), (bound[0], bound[1]), cut)
                for host, port, bound, cut in zip(hosts, ports, said["bound"], cuts, strict=True)
            ]
            await stack.enter_async_context(relay(round_trip, routes))
        site = site_of(hub, said, folder, round_trip)
        for image in images:
            await site.add(image)
        yield site


def site_of(hub: Child, said: dict[str, Any], folder: Path, round_trip: float) -> Site:
    """A site of what a Hub's process says of itself."""
    held = Path(said["folder"])
    return Site(
        hub,
        said["registry"],
        said["token"],
        said["service"],
        Path(said["ca"]),
        (held / "certificate.pem", held / "key.pem"),
        folder,
        round_trip,
    )


@contextlib.asynccontextmanager
async def relay(round_trip: float, routes: Sequence[Route]) -> AsyncIterator[None]:
    """A relay in a process of its own."""
    async with running("relay", str(round_trip), *map(str, routes)) as child:
        await child.line()
        yield
