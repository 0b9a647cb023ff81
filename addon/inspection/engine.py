"""A pull as an engine makes it: ping, token, index, manifest, config, layers, all digests checked.

Bodies go nowhere. distribution-spec, "Pull"; three layers at a time as dockerd has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from addon.inspection.steps import Check, Client, PullFailed, Step, Steps, Whole
from addon.memory.manifests import MAX_MANIFEST
from addon.protocol.challenges import parse_challenges
from addon.protocol.descriptors import Descriptor, parse_blobs
from addon.protocol.imagename import ImageName
from addon.protocol.names import is_digest, parse_digest
from addon.protocol.platforms import Platform
from addon.views.reading import MAX_BODY, read_object

# What engines accept: without these a registry would answer with another, older form.
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LAYERS_AT_ONCE = 3


class Engine:
    """A client of one registry, for one pull; `told` hears of each request that is answered."""

    def __init__(
        self,
        client: Client,
        told: Callable[[Step], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps = Steps(client, told, now)

    async def pull(self, name: ImageName, platform: Platform) -> None:
        """Pull an image to nowhere.

        Raises:
            PullFailed: an answer is not what an engine could use.
        """
        await self._log_in(name.repository)
        manifest = await self._image(name, platform)
        blobs = parse_blobs(manifest)
        config = _digest_in(read_object(manifest, MAX_MANIFEST) or {}, "config")
        if not config or config not in {blob.digest for blob in blobs}:
            raise PullFailed(f"{name}: its manifest names no config")
        first = next(blob for blob in blobs if blob.digest == config)
        await self._blob("config", name, first)
        await self._layers(name, iter([blob for blob in blobs if blob is not first]))

    async def _log_in(self, repository: str) -> None:
        """Take a token where the registry wants one, as anybody gets it."""
        ping = await self._steps.whole("ping", "/v2/", MAX_BODY, expected=(200, 401))
        self._steps.told(ping.step)
        if ping.step.status == 200:
            return
        target = token_target(ping, repository)
        answer = await self._steps.whole("token", target, MAX_BODY)
        self._steps.told(answer.step)
        content = read_object(answer.content) or {}
        token = content.get("token") or content.get("access_token")
        if not isinstance(token, str):
            raise PullFailed(f"{answer.step}: there is no token in the answer")
        self._steps.login = {"Authorization": f"Bearer {token}"}

    async def _image(self, name: ImageName, platform: Platform) -> bytes:
        """The manifest for a platform, through the index if there is one."""
        top = await self._manifest(name)
        content = read_object(top.content, MAX_MANIFEST) or {}
        named = content.get("manifests")
        if not isinstance(named, list):
            self._steps.told(top.step)
            return top.content
        self._steps.told(replace(top.step, kind="index"))
        digest = choose(named, platform)
        found = await self._manifest(ImageName(name.repository, digest))
        self._steps.told(found.step)
        return found.content

    async def _manifest(self, name: ImageName) -> Whole:
        target = f"/v2/{name.repository}/manifests/{name.reference}"
        answer = await self._steps.whole(
            "manifest", target, MAX_MANIFEST, fields={"Accept": ", ".join(MANIFEST_TYPES)}
        )
        digest = name.reference if is_digest(name.reference) else answer.digest
        check = Check(digest)
        check.take(answer.content)
        self._steps.compare(check, answer.step)
        return answer

    async def _layers(self, name: ImageName, layers: Iterator[Descriptor]) -> None:
        async def work() -> None:
            for layer in layers:
                await self._blob("layer", name, layer)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(LAYERS_AT_ONCE):
                    group.create_task(work())
        except ExceptionGroup as e:
            raise e.exceptions[0] from None

    async def _blob(self, kind: str, name: ImageName, blob: Descriptor) -> None:
        target = f"/v2/{name.repository}/blobs/{blob.digest}"
        check = Check(blob.digest)
        step, _ = await self._steps.ask(kind, target, blob.size, check.take)
        self._steps.compare(check, step)
        self._steps.told(step)


def token_target(ping: Whole, repository: str) -> str:
    """Where the challenge sends whoever wants to pull a repository; its host is the mirror's own.

    Raises:
        PullFailed: there is no challenge that could be followed.
    """
    try:
        challenges = parse_challenges(ping.challenge)
    except ValueError as e:
        raise PullFailed(f"{ping.step}: {e}") from e
    bearer = next((each for each in challenges if each.is_bearer), None)
    realm = bearer.get("realm") if bearer else ""
    if bearer is None or not realm:
        raise PullFailed(f"{ping.step}: no challenge that names a token service")
    query = {"service": bearer.get("service") or "", "scope": f"repository:{repository}:pull"}
    return f"{urlsplit(realm).path}?{urlencode(query, safe=':/')}"


def choose(manifests: list[object], platform: Platform) -> str:
    """The digest of the platform's manifest.

    Raises:
        PullFailed: the index names none.
    """
    for entry in manifests:
        match entry:
            case {"digest": str(digest), "platform": dict(named)} if platform.fits(named):
                try:
                    return parse_digest(digest)
                except ValueError as e:
                    raise PullFailed(f"the index: {e}") from e
    raise PullFailed(f"the index names no manifest for {platform}")


def _digest_in(content: Mapping[str, object], name: str) -> str:
    match content.get(name):
        case {"digest": str(digest)}:
            return digest
    return ""
