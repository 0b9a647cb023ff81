"""The near side of a line, run in its second namespace by `line.py`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from . import ways
from .children import run_to_end, running
from .engine import pull
from .large import token_for
from .rounds import NOT_IN_MEMORY, SETTLE_SECONDS
from .site import Site, site_of
from .ways import Way

FAR_HOST: Final = "10.77.0.1"
FAR_PORT: Final = 8443
CONGESTION: Final = "docxy_congestion_control"
ROUND_TRIP: Final = 0.15
# What a slow line has brought after this long says enough.
READ_SECONDS: Final = 60
# Nothing is checked while the same is pulled again and again.
LONG_TTL: Final = {"docxy_tag_ttl": "3600", "docxy_recheck_time": "3600"}
PIECES: Final[Mapping[str, dict[str, str]]] = {
    "pieces": {},
    "one stream": {"docxy_pieces": "1"},
}


class Far:
    """A line's two namespaces, and how often each thing is measured."""

    def __init__(self, question: Mapping[str, Any], folder: Path) -> None:
        self.images: Sequence[str] = question["images"]
        self.repeat: int = question["repeat"]
        self.namespaces: Sequence[str] = question["namespaces"]
        self.folder = folder
        self.congestion: set[str] = set()

    @property
    def there(self) -> tuple[str, ...]:
        """What runs a command on the far side."""
        return ("ip", "netns", "exec", self.namespaces[0])

    @contextlib.asynccontextmanager
    async def hub(self, *hosts: str) -> AsyncIterator[Site]:
        """A Hub on the far side."""
        words = json.dumps({"hosts": hosts} if hosts else {})
        async with running("hub_process", words, prefix=self.there) as child:
            said = json.loads(await child.line())
            site = site_of(child, said, self.folder, ROUND_TRIP)
            for image in self.images:
                await site.add(image)
            yield site

    async def forget_lines(self) -> None:
        """TCP remembers what it learnt of a host; the next run must not know it."""
        for name in self.namespaces:
            await _output("ip", "-n", name, "tcp_metrics", "flush")

    async def note_congestion(self) -> None:
        """Which congestion control the far side's connections run."""
        said = await _output(*self.there, "ss", "-tiHn", "state", "established")
        lines = [line.split() for line in said.splitlines() if line.startswith("\t")]
        self.congestion |= {words[0] for words in lines if words}

    async def pull(self, site: Site, way: Way, image: str, style: Any = "docker") -> float:
        await self.forget_lines()
        tls = site.client_tls()
        began = time.monotonic()
        await pull(way.url, image, tls, style)
        seconds = time.monotonic() - began
        await self.note_congestion()
        await asyncio.sleep(0.5)
        return seconds


async def pieces(far: Far) -> dict[str, list[float]]:
    """Just started and again, in pieces and in one stream."""
    said: dict[str, list[float]] = {}
    async with far.hub(FAR_HOST, FAR_HOST, FAR_HOST) as site:
        async with ways.mirror(site) as way:
            await far.pull(site, way, far.images[0])
        for image in far.images:
            for name, settings in PIECES.items():
                said[f"{image} started, {name}"] = await _started(far, site, image, settings)
                said[f"{image} again, {name}"] = await _again(far, site, image, settings)
    return said


async def _started(far: Far, site: Site, image: str, settings: Mapping[str, str]) -> list[float]:
    taken = []
    for _ in range(far.repeat):
        async with ways.mirror(site, settings) as way:
            await asyncio.sleep(SETTLE_SECONDS)
            taken.append(await far.pull(site, way, image))
    return taken


async def _again(far: Far, site: Site, image: str, settings: Mapping[str, str]) -> list[float]:
    async with ways.mirror(site, {**settings, **NOT_IN_MEMORY, **LONG_TTL}) as way:
        await far.pull(site, way, image)
        return [await far.pull(site, way, image) for _ in range(far.repeat)]


async def congestion(far: Far) -> dict[str, list[float]]:
    """MB/s to a client over the line, by the mirror's congestion control."""
    said: dict[str, list[float]] = {}
    async with far.hub() as site:
        for name in ("bbr", "cubic"):
            async with _mirror_there(far, site, {CONGESTION: name}) as way:
                await _read(far, site, way)
                said[name] = [await _read(far, site, way) for _ in range(far.repeat)]
    return said


async def _read(far: Far, site: Site, way: Way) -> float:
    await far.forget_lines()
    (image,) = far.images
    ((digest, _),) = await site.add(image)
    token = await token_for(site, way, image)
    url = f"{way.url}/v2/library/{image}/blobs/{digest}"
    async with running("reader", url, str(site.ca), token, str(READ_SECONDS)) as child:
        said = json.loads(await child.line())
    await far.note_congestion()
    return float(said["bytes"] / said["seconds"] / 1e6)


async def login(far: Far) -> dict[str, list[float]]:
    """Seconds of a small pull over the line, by `docxy_login`; what is pulled is in memory."""
    said: dict[str, list[float]] = {}
    (image,) = far.images
    async with far.hub() as site:
        for value in ("client", "none"):
            async with _mirror_there(far, site, {"docxy_login": value}) as way:
                await far.pull(site, way, image, "containerd")
                said[value] = [
                    await far.pull(site, way, image, "containerd") for _ in range(far.repeat)
                ]
    return said


@contextlib.asynccontextmanager
async def _mirror_there(far: Far, site: Site, settings: Mapping[str, str]) -> AsyncIterator[Way]:
    given = {**LONG_TTL, **settings}
    async with ways.mirror(site, given, host=FAR_HOST, port=FAR_PORT, prefix=far.there) as way:
        yield way


async def _output(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


MEASURES: Final = {"pieces": pieces, "congestion": congestion, "login": login}


async def _main(question: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="docxy-line-") as folder:
        far = Far(question, Path(folder))
        said = await MEASURES[question["measure"]](far)
    print(json.dumps({**said, "congestion": sorted(far.congestion)}), flush=True)


if __name__ == "__main__":
    run_to_end(_main(json.loads(sys.argv[1])))
