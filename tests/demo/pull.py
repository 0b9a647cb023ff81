"""A pull as an engine makes it: ping, token, index, manifest, config, layers, digests checked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from addon.challenges import parse_challenges

from .asked import Asked

# What Docker accepts: without these a registry would answer with another, older form.
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
PLATFORM = {"os": "linux", "architecture": "amd64"}
SECONDS = 30
AGENT = "docxy-demo"


class PullFailed(Exception):
    """The answer is not what an engine could use."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and the request's record."""

    asked: Asked
    headers: Mapping[str, str]
    body: bytes

    def check(self, digest: str) -> None:
        """Raise PullFailed unless the body has this digest."""
        found = f"sha256:{hashlib.sha256(self.body).hexdigest()}"
        if found != digest:
            raise PullFailed(f"{self.asked}: the digest is {found}, expected {digest or 'one'}")


@dataclass
class Engine:
    """A client of one registry."""

    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def wait(self) -> None:
        """Until the registry answers: it may listen a little before."""
        await self._get("health", URL("/health"))

    async def pull(self, name: str, tag: str) -> AsyncIterator[Asked]:
        """Pull an image; each request's record once it is answered, the layers' in their order."""
        ping = await self._get("ping", URL("/v2/"), status=401)
        yield ping.asked
        token = await self._get("token", token_url(ping, name))
        self.headers["Authorization"] = f"Bearer {json.loads(token.body)['token']}"
        yield token.asked
        index = await self._manifest("index", name, tag)
        yield index.asked
        manifest = await self._manifest("manifest", name, choose(json.loads(index.body)))
        yield manifest.asked
        content = json.loads(manifest.body)
        yield await self._blob("config", name, content["config"])
        layers = (self._blob("layer", name, layer) for layer in content["layers"])
        for layer in await asyncio.gather(*layers):
            yield layer

    async def _manifest(self, kind: str, name: str, reference: str) -> Answer:
        accept = {"Accept": ", ".join(MANIFEST_TYPES)}
        answer = await self._get(kind, URL(f"/v2/{name}/manifests/{reference}"), accept)
        is_digest = reference.startswith("sha256:")
        answer.check(reference if is_digest else answer.headers.get("Docker-Content-Digest", ""))
        return answer

    async def _blob(self, kind: str, name: str, descriptor: Mapping[str, Any]) -> Asked:
        answer = await self._get(kind, URL(f"/v2/{name}/blobs/{descriptor['digest']}"))
        answer.check(descriptor["digest"])
        return answer.asked

    async def _get(
        self, kind: str, url: URL, headers: Mapping[str, str] | None = None, status: int = 200
    ) -> Answer:
        started = time.monotonic()
        try:
            async with self.session.get(
                url, headers={**self.headers, **(headers or {})}, allow_redirects=False
            ) as response:
                body = await response.read()
        except TimeoutError as e:
            raise PullFailed(f"GET {url}: no whole answer within {SECONDS} s") from e
        except aiohttp.ClientError as e:
            raise PullFailed(f"GET {url}: {e}") from e
        ended = time.monotonic()
        target = response.url.raw_path_qs
        asked = Asked(kind, "GET", target, response.status, len(body), started, ended)
        if response.status != status:
            raise PullFailed(f"{asked}: status {response.status}, expected {status}")
        return Answer(asked, response.headers, body)


def new_session(url: str) -> aiohttp.ClientSession:
    """Everything on one address, as a client sees a mirror."""
    return aiohttp.ClientSession(
        url,
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        headers={"User-Agent": AGENT},
        # The bytes as they are: digests are of them.
        skip_auto_headers=["Accept-Encoding"],
        auto_decompress=False,
    )


def token_url(ping: Answer, name: str) -> URL:
    """Where the challenge sends a client that wants to pull a repository.

    Raises:
        PullFailed: there is no challenge that could be followed.
    """
    try:
        challenges = parse_challenges(ping.headers.get("WWW-Authenticate", ""))
    except ValueError as e:
        raise PullFailed(f"{ping.asked}: {e}") from e
    bearer = next((challenge for challenge in challenges if challenge.is_bearer), None)
    if bearer is None or not (realm := bearer.get("realm")):
        raise PullFailed(f"{ping.asked}: no challenge that names a token service")
    service = bearer.get("service") or ""
    return URL(realm).with_query(service=service, scope=f"repository:{name}:pull")


def choose(index: Mapping[str, Any]) -> str:
    """The digest of the platform's manifest.

    Raises:
        PullFailed: the index names none.
    """
    for descriptor in index.get("manifests", []):
        if PLATFORM.items() <= descriptor.get("platform", {}).items():
            return str(descriptor["digest"])
    raise PullFailed(f"the index names no manifest for {'/'.join(PLATFORM.values())}")
