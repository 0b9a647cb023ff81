"""`python -m tests.bench.inspect`: the memory of `./run.sh inspect` through many requests.

Clients ask for small things of all kinds, then for large blobs. The page is open meanwhile, so that
each flow is told to somebody; `--console` is the terminal program.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from tests.e2e.client import bearer, connect
from tests.hub import Hub, Image
from tests.hub.media_types import OCI_MANIFEST
from tests.inspecting import arguments, inspecting
from tests.installed import RUN_SH, installed
from tests.ports import free_port
from tests.running import Mirror
from tests.terminal import terminal

from .children import run_to_end
from .measures import MIB, Process

REPOSITORY: Final = "library/small"
LARGE: Final = "library/large"
CHUNK: Final = 1024 * 1024
# Requests between two looks at the memory.
STEP: Final = 250
# How much more the second half of the looks may show than the first, of which some is chance.
LEVEL_MIB: Final = 8


@dataclass(frozen=True, slots=True)
class Look:
    """The memory after so many requests and blobs, in bytes."""

    requests: int
    blobs: int
    memory: int

    def __str__(self) -> str:
        return f"{self.requests:7,} requests, {self.blobs:3} blobs  {self.memory / MIB:7.1f} MiB"


@dataclass(frozen=True)
class Load:
    """What is asked for: small requests, then blobs of so many bytes each."""

    requests: int = 5000
    blobs: int = 10
    size: int = 200_000_000
    flows: int = 2000


def growth(looks: Sequence[Look]) -> float:
    """MiB by which the last quarter of the looks is above the quarter before it, each's middle."""
    quarter = max(1, len(looks) // 4)
    last, before = looks[-quarter:], looks[-2 * quarter : -quarter]
    return (_middle(last) - _middle(before)) / MIB if before else 0.0


def _middle(looks: Sequence[Look]) -> int:
    found = sorted(look.memory for look in looks)
    return found[len(found) // 2]


async def measure(load: Load, folder: Path, *, console: bool) -> AsyncIterator[Look]:
    """The memory again and again."""
    async with Hub() as hub:
        hub.settings.pull_limit = 1_000_000
        small = hub.add_image(REPOSITORY, layers=[2000])
        # One after the other, so no layer is looked ahead for.
        large = hub.add_image(LARGE, layers=[load.size] * load.blobs, compression=None)
        start = in_terminal if console else on_page
        async with start(hub, folder, load) as (mirror, process):
            yield Look(0, 0, process.memory())
            for count in range(STEP, load.requests + 1, STEP):
                await many(mirror, small, STEP)
                hub.requests.clear()
                yield Look(count, 0, process.memory())
            for number, layer in enumerate(large.manifest.layers, 1):
                await read_blob(mirror, layer.digest, layer.size)
                yield Look(load.requests, number, process.memory())


@contextlib.asynccontextmanager
async def on_page(hub: Hub, folder: Path, load: Load) -> AsyncIterator[tuple[Mirror, Process]]:
    """mitmweb, and somebody who listens to it as its page does."""
    async with inspecting(hub, folder, settings={"docxy_inspect_flows": str(load.flows)}) as page:
        headers = {"Authorization": f"Bearer {page.token}"}
        async with (
            aiohttp.ClientSession(page.url, headers=headers) as session,
            session.ws_connect("/updates", max_msg_size=0) as updates,
        ):
            listening = asyncio.get_running_loop().create_task(_drop(updates))
            yield page.mirror, Process(page.mirror.process.pid)
            assert not listening.done(), "the page is told nothing any more"
            listening.cancel()


async def _drop(updates: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in updates:
        pass


@contextlib.asynccontextmanager
async def in_terminal(hub: Hub, folder: Path, load: Load) -> AsyncIterator[tuple[Mirror, Process]]:
    """mitmproxy's terminal program."""
    port = free_port()
    words = arguments(hub, port, docxy_inspect_flows=str(load.flows))
    command = (str(RUN_SH), "inspect", "--console", *words)
    async with terminal(folder, *command, environ=installed(folder)) as screen:
        await screen.shows("Flows")
        mirror = Mirror(None, "127.0.0.1", port)  # type: ignore[arg-type]  # tmux has started it
        yield mirror, Process(await screen.pid())


async def many(mirror: Mirror, image: Image, count: int) -> None:
    """So many requests over one connection, of all kinds that a client asks."""
    token = await bearer(mirror, REPOSITORY)
    asked = itertools.islice(itertools.cycle(_requests(image, token)), count - 1)
    async with connect(mirror) as connection:
        for method, target, headers in asked:
            answer = await connection.ask(target, method, headers)
            assert answer.status in (200, 401), answer


def _requests(image: Image, token: dict[str, str]) -> Iterable[tuple[str, str, dict[str, str]]]:
    base = f"/v2/{REPOSITORY}"
    accept = {**token, "Accept": OCI_MANIFEST}
    # Credentials that nobody knows are asked for upstream each time.
    query = f"service=registry.hub.test&scope=repository:{REPOSITORY}:pull&account=a"
    yield "GET", "/v2/", {}
    yield "GET", f"/auth/token?{query}", {}
    yield "HEAD", f"{base}/manifests/{image.tag}", accept
    yield "GET", f"{base}/manifests/{image.tag}", accept
    yield "GET", f"{base}/manifests/{image.digest}", accept
    yield "GET", f"{base}/tags/list", token
    for blob in image.manifest.blobs:
        yield "GET", f"{base}/blobs/{blob.digest}", token


async def read_blob(mirror: Mirror, digest: str, size: int) -> None:
    """A blob to its end, of which nothing is kept."""
    token = await bearer(mirror, LARGE)
    async with connect(mirror) as connection:
        await connection.request(f"/v2/{LARGE}/blobs/{digest}", headers=token)
        head = await connection.head()
        assert head.status == 200, head
        left = size
        while left:
            piece = await connection.reader.read(min(left, CHUNK))
            assert piece, f"{left} bytes are missing"
            left -= len(piece)


async def run(load: Load, *, console: bool) -> list[Look]:
    """All looks, each printed when it comes."""
    looks: list[Look] = []
    with tempfile.TemporaryDirectory(prefix="docxy-inspect-") as folder:
        async for look in measure(load, Path(folder), console=console):
            looks.append(look)
            print(look, flush=True)
    return looks


def main(words: Sequence[str]) -> int:
    """Measure, and say whether the memory is level; 1 if it is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.inspect", description=__doc__)
    parser.add_argument("--console", action="store_true", help="the terminal program, in tmux")
    parser.add_argument("--requests", type=int, default=Load.requests)
    parser.add_argument("--blobs", type=int, default=Load.blobs)
    parser.add_argument("--size", type=int, default=Load.size, help="bytes of each blob")
    parser.add_argument("--flows", type=int, default=Load.flows, help="docxy_inspect_flows")
    said = parser.parse_args(words)
    load = Load(said.requests, said.blobs, said.size, said.flows)
    looks = run_to_end(run(load, console=said.console))
    small = [look for look in looks if not look.blobs]
    large = [look for look in looks if look.blobs]
    grown = {"requests": growth(small), "blobs": growth(large)}
    for what, mib in grown.items():
        print(f"the last quarter of the {what}: {mib:+.1f} MiB")
    return int(any(mib > LEVEL_MIB for mib in grown.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
