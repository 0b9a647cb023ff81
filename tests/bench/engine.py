"""A pull as an engine makes it, over connections that stay open while it lasts.

The addon's engine pulls through its own mirror alone, as Docker does. What is compared here is told
apart further: Docker asks `/v2/` first and is challenged there; containerd asks for the manifest at
once; and without a mirror, token service and CDN are hosts of their own. Then
come the token, the manifest (of one platform: an index would add the same round trip to every
row), the config, and the layers, three side by side. Every body is checked against its digest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
from yarl import URL

from addon.inspection.engine import LAYERS_AT_ONCE, MANIFEST_TYPES
from addon.inspection.steps import PullFailed
from addon.protocol.challenges import parse_challenges
from addon.protocol.digests import is_digest_of

Style = Literal["docker", "containerd"]

_REDIRECTS = (301, 302, 303, 307, 308)
SECONDS = 300


@dataclass(frozen=True, slots=True)
class Step:
    """One request; times of `time.monotonic()`."""

    kind: str
    target: str
    asked: float
    head: float
    ended: float
    size: int


@dataclass
class Pull:
    """One pull of one image."""

    session: aiohttp.ClientSession
    base: URL
    repository: str
    style: Style = "docker"
    steps: list[Step] = field(default_factory=list)
    _authorization: dict[str, str] = field(default_factory=dict)

    async def run(self, reference: str = "latest") -> None:
        """Pull it all.

        Raises:
            PullFailed: something is missing or wrong.
        """
        if self.style == "docker":
            await self._login(await self._get("ping", self.base / "v2/"))
        manifest = await self._manifest(reference)
        content = json.loads(manifest)
        await self._blob("config", content["config"])
        places = asyncio.Semaphore(LAYERS_AT_ONCE)

        async def layer(descriptor: dict[str, Any]) -> None:
            async with places:
                await self._blob("layer", descriptor)

        async with asyncio.TaskGroup() as group:
            for descriptor in content["layers"]:
                group.create_task(layer(descriptor))

    async def token(self) -> str:
        """A token, and no more."""
        await self._login(await self._get("ping", self.base / "v2/"))
        return self._authorization.get("Authorization", "").removeprefix("Bearer ")

    async def _manifest(self, reference: str) -> bytes:
        url = self.base / f"v2/{self.repository}/manifests/{reference}"
        got = await self._get("manifest", url)
        if got.status == 401 and not self._authorization:
            await self._login(got)
            got = await self._get("manifest", url)
        got.check(got.headers.get("Docker-Content-Digest", ""))
        return got.body

    async def _blob(self, kind: str, descriptor: dict[str, Any]) -> None:
        digest = descriptor["digest"]
        url = self.base / f"v2/{self.repository}/blobs/{digest}"
        (await self._get(kind, url)).check(digest)

    async def _login(self, got: Got) -> None:
        if got.status != 401:
            return
        challenge = parse_challenges(got.headers["WWW-Authenticate"])[0]
        query = {
            "service": challenge.get("service") or "",
            "scope": f"repository:{self.repository}:pull",
        }
        token = await self._get("token", URL(challenge.get("realm") or "").with_query(query))
        self._authorization = {"Authorization": f"Bearer {json.loads(token.body)['token']}"}

    async def _get(self, kind: str, url: URL) -> Got:
        """An answer, redirects followed; elsewhere no token is sent."""
        headers = {"Accept": ", ".join(MANIFEST_TYPES)} if kind == "manifest" else {}
        started = time.monotonic()
        while True:
            own = self._authorization if url.origin() == self.base.origin() else {}
            async with self.session.get(
                url, headers={**headers, **own}, allow_redirects=False
            ) as response:
                head = time.monotonic()
                body = await response.read()
            if response.status not in _REDIRECTS:
                break
            url = url.join(URL(response.headers["Location"], encoded=True))
        step = Step(kind, url.raw_path, started, head, time.monotonic(), len(body))
        self.steps.append(step)
        return Got(response.status, response.headers, body, step)


@dataclass(frozen=True, slots=True)
class Got:
    """A whole answer."""

    status: int
    headers: Any
    body: bytes
    step: Step

    def check(self, digest: str) -> None:
        """Raise PullFailed unless the body is the content of this digest."""
        if self.status != 200:
            said = self.body[:500].decode(errors="replace")
            raise PullFailed(f"{self.step.kind} {self.step.target}: {self.status} {said}")
        if not is_digest_of(digest, self.body):
            raise PullFailed(f"{self.step.kind} {self.step.target}: what came is not {digest}")


@contextlib.asynccontextmanager
async def new_session(
    tls: ssl.SSLContext, source: str = ""
) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections as new as an engine's that has not pulled for a while, from an address."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=tls, limit=0, local_addr=(source, 0) if source else None
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        skip_auto_headers=["Accept-Encoding"],
        read_bufsize=1024 * 1024,
    ) as session:
        yield session


async def pull(
    url: str,
    image: str,
    tls: ssl.SSLContext,
    style: Style = "docker",
    reference: str = "latest",
    source: str = "",
) -> list[Step]:
    """Pull an image from a registry, from an address of one's own; the requests that it took."""
    async with new_session(tls, source) as session:
        one = Pull(session, URL(url), f"library/{image}", style)
        await one.run(reference)
    return one.steps
