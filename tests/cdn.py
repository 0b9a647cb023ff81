"""A registry that names a CDN for one blob, in place of the outbound client."""

from __future__ import annotations

import asyncio
from typing import cast

from addon.blob.redirects import Redirects
from addon.blob.registryblob import RegistryBlob, Visitor
from addon.blob.transfer import TransferLimits
from addon.blob.ways import Ways
from addon.memory.sharing import BlobKey
from addon.outbound.outbound import Outbound
from addon.outbound.received import Answer
from addon.protocol.errors import UpstreamFailure
from addon.protocol.headers import Fields
from addon.protocol.registry import parse_registry
from tests.clock import Clock
from tests.outbounds import answer, redirect
from tests.upstreams import HostsAt

REGISTRY = parse_registry("", official="library")
KEY = BlobKey("", "library/a", "sha256:" + "0" * 64)
URL = f"{REGISTRY.url}/v2/library/a/blobs/{KEY.digest}"
CDN = "https://cdn.example/data"
TOTAL = 100


class Anybody:
    """Shows nothing, and has nothing new."""

    fields: Fields = ()

    async def renew(self) -> bool:
        return False

    def hear(self, status: int) -> None:
        pass


class Cdn:
    """Stands for the outbound client; notes what each request may take."""

    max_redirects = 5

    def __init__(self, *, far: bool = True, token: str = "") -> None:
        self.token = token
        self.status = 307
        self.redirect = redirect(CDN)
        self.asked: list[str] = []
        self.shown: list[str] = []
        self.answers: list[Answer] = []
        self.hosts = HostsAt(far)
        self.within: list[float | None] = []
        self.failures: list[UpstreamFailure] = []

    async def request(
        self,
        method: str,
        url: str,
        fields: Fields,
        *,
        redirected: bool = False,
        answer_within: float | None = None,
    ) -> Answer:
        self.asked.append(url)
        if url == URL:
            self.shown += [value for _, value in fields]
            is_let_in = not self.token or self.shown[-1:] == [self.token]
            said = self.redirect if self.status == 307 else answer(self.status)
            self.answers.append(said if is_let_in else answer(401))
            return self.answers[-1]
        assert url == CDN
        self.within.append(answer_within)
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        wanted = dict(fields).get("Range", f"bytes=0-{TOTAL - 1}").removeprefix("bytes=")
        first, last = (int(each) for each in wanted.split("-"))
        held = ("Content-Range", f"bytes {first}-{last}/{TOTAL}")
        return answer(206, held, content=bytes(last + 1 - first))

    @property
    def destinations(self) -> Cdn:
        return self

    def note(self, registry: str, url: str) -> None:
        assert (registry, url) == (REGISTRY.url, CDN)


def ways_to(cdn: Cdn, *, is_known: bool = True) -> Ways:
    """Ways to it, whose address the registry has named already, or is asked for."""
    redirects = Redirects(10, Clock())
    if is_known:
        redirects.keep(KEY, "GET", CDN)
    return Ways(cast("Outbound", cdn), redirects, 2, TransferLimits())


def registry_blob(visitor: Visitor | None = None) -> RegistryBlob:
    return RegistryBlob(REGISTRY, KEY, URL, [], visitor or Anybody())
