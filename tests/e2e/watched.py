"""Mirrors whose metrics can be read, and what a scrape of them says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.client import ask, bearer
from tests.hub import Hub, Image
from tests.hub.media_types import OCI_MANIFEST
from tests.ports import free_port
from tests.running import Mirror, running_mirror


@dataclass(frozen=True, slots=True)
class Scrape:
    """What `/metrics` has said."""

    text: str

    @property
    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text))

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self) -> dict[str, set[str]]:
        """The labels of each sample's name."""
        found: dict[str, set[str]] = {}
        for family in self.families:
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found


@dataclass(frozen=True, slots=True)
class Watched:
    """A mirror with its second port."""

    mirror: Mirror
    port: int

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Status, media type and text of a page."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, url, headers=headers) as answer,
        ):
            return answer.status, answer.headers["Content-Type"], await answer.text()

    async def scrape(self) -> Scrape:
        status, _, text = await self.get("/metrics")
        assert status == 200
        return Scrape(text)

    async def until(self, so: Callable[[Scrape], bool], seconds: float = 20.0) -> Scrape:
        """The first scrape in which something is so: a request counts once its flow has ended."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.scrape()
            if so(found):
                return found
            assert time.monotonic() < deadline, found.text
            await asyncio.sleep(0.05)

    async def after(self, requests: float) -> Scrape:
        """The first scrape in which so many requests of clients are counted."""
        return await self.until(lambda found: found.total("docxy_requests_total") >= requests)


@asynccontextmanager
async def watched(
    hub: Hub, confdir: Path, *words: str, environ: Mapping[str, str] | None = None, **more: Any
) -> AsyncIterator[Watched]:
    """A mirror with its metrics on a port of its own."""
    port = free_port()
    said = ("--set", f"docxy_metrics=127.0.0.1:{port}", *words)
    async with running_mirror(hub, confdir, *said, environ=environ, **more) as mirror:
        await mirror.log_line("Metrics: ")
        yield Watched(mirror, port)


async def pull(mirror: Mirror, image: Image, name: str, *, layers: bool = True) -> None:
    """Pull an image as an engine does, one request after the other."""
    token = await bearer(mirror, name)
    headers = {"Accept": OCI_MANIFEST, **token}
    answer = await ask(mirror, f"/v2/{name}/manifests/latest", headers=headers)
    assert answer.status == 200
    for each in image.manifest.blobs if layers else ():
        answer = await ask(mirror, f"/v2/{name}/blobs/{each.digest}", headers=token)
        assert len(answer.body) == each.size
