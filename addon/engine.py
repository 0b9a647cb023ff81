"""A pull as an engine makes it: ping, token, index, manifest, config, layers, all digests checked.

Bodies go nowhere. distribution-spec, "Pull"; three layers at a time as dockerd has it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import urlencode, urlsplit

from addon.challenges import parse_challenges
from addon.descriptors import Descriptor, parse_blobs
from addon.imagename import ImageName
from addon.manifests import MAX_MANIFEST
from addon.names import is_digest, parse_digest
from addon.platforms import Platform
from addon.views.error import show_error
from addon.views.reading import MAX_BODY, read_object

# What engines accept: without these a registry would answer with another, older form.
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LAYERS_AT_ONCE = 3
# Algorithms that a digest is checked with (image-spec, "Registered Algorithms").
_CHECKED = frozenset({"sha256", "sha512"})


class PullFailed(Exception):
    """The pull cannot go on; the message says at which request, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a pull; times on the monotonic clock, `size` in bytes of the body."""

    kind: str
    target: str
    status: int
    size: int
    started: float
    ended: float
    source: str = ""
    """Where its answer came from, empty where nobody knows."""

    def __str__(self) -> str:
        return f"GET {self.target.partition('?')[0]}"


class Response(Protocol):
    """An answer whose body has not been read yet."""

    @property
    def status(self) -> int:
        """The status of its head."""

    def field(self, name: str) -> str:
        """A field's value, empty where there is none."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            OSError: it broke off.
        """

    async def source(self) -> str:
        """Where the answer came from, once the body has been read."""


class Client(Protocol):
    """Whoever asks."""

    def get(self, target: str, fields: Mapping[str, str]) -> AbstractAsyncContextManager[Response]:
        """Ask for a target.

        Raises:
            OSError: there is no answer.
        """


class Engine:
    """A client of one registry, for one pull; `told` hears of each request that is answered."""

    def __init__(
        self,
        client: Client,
        told: Callable[[Step], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._told = told
        self._now = now
        self._login: dict[str, str] = {}

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
        ping = await self._whole("ping", "/v2/", MAX_BODY, expected=(200, 401))
        self._told(ping.step)
        if ping.step.status == 200:
            return
        target = token_target(ping, repository)
        answer = await self._whole("token", target, MAX_BODY)
        self._told(answer.step)
        content = read_object(answer.content) or {}
        token = content.get("token") or content.get("access_token")
        if not isinstance(token, str):
            raise PullFailed(f"{answer.step}: there is no token in the answer")
        self._login = {"Authorization": f"Bearer {token}"}

    async def _image(self, name: ImageName, platform: Platform) -> bytes:
        """The manifest for a platform, through the index if there is one."""
        top = await self._manifest(name)
        content = read_object(top.content, MAX_MANIFEST) or {}
        named = content.get("manifests")
        if not isinstance(named, list):
            self._told(top.step)
            return top.content
        self._told(replace(top.step, kind="index"))
        digest = choose(named, platform)
        found = await self._manifest(ImageName(name.repository, digest))
        self._told(found.step)
        return found.content

    async def _manifest(self, name: ImageName) -> Whole:
        target = f"/v2/{name.repository}/manifests/{name.reference}"
        answer = await self._whole(
            "manifest", target, MAX_MANIFEST, fields={"Accept": ", ".join(MANIFEST_TYPES)}
        )
        digest = name.reference if is_digest(name.reference) else answer.digest
        check = Check(digest)
        check.take(answer.content)
        self._compare(check, answer.step)
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
        step, _ = await self._ask(kind, target, blob.size, check.take)
        self._compare(check, step)
        self._told(step)

    async def _whole(
        self,
        kind: str,
        target: str,
        at_most: int,
        fields: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (200,),
    ) -> Whole:
        """A small answer with its body."""
        kept: list[bytes] = []
        step, response = await self._ask(kind, target, at_most, kept.append, fields, expected)
        digest, challenge = map(response.field, ("Docker-Content-Digest", "WWW-Authenticate"))
        return Whole(step, b"".join(kept), digest, challenge)

    async def _ask(
        self,
        kind: str,
        target: str,
        at_most: int,
        take: Callable[[bytes], None],
        fields: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (200,),
    ) -> tuple[Step, Response]:
        """Ask for one thing; its bytes are handed on as they come.

        Raises:
            PullFailed: there is no answer, another than expected, or more than `at_most` bytes.
        """
        step = Step(kind, target, 0, 0, self._now(), 0.0)
        try:
            async with self._client.get(target, {**self._login, **(fields or {})}) as response:
                step = replace(step, status=response.status)
                if response.status not in expected:
                    await self._refused(step, response)
                async for piece in response.pieces():
                    step = replace(step, size=step.size + len(piece))
                    if step.size > at_most:
                        self._told(replace(step, ended=self._now()))
                        raise PullFailed(f"{step}: there are more than {at_most} bytes")
                    take(piece)
                ended = self._now()
                return replace(step, ended=ended, source=await response.source()), response
        except OSError as e:
            self._told(replace(step, ended=self._now()))
            raise PullFailed(f"{step}: {e}") from e

    async def _refused(self, step: Step, response: Response) -> None:
        """Say what the registry says instead."""
        body = bytearray()
        async for piece in response.pieces():
            body += piece[: MAX_BODY - len(body)]
        ended = self._now()
        self._told(replace(step, size=len(body), ended=ended, source=await response.source()))
        kind = response.field("Content-Type").partition(";")[0].strip().lower()
        said = show_error(kind, bytes(body))
        sentence = f"; {said.partition(chr(10))[0]}" if said else ""
        raise PullFailed(f"{step}: status {step.status}{sentence}")

    def _compare(self, check: Check, step: Step) -> None:
        """See that what came is what was asked for.

        Raises:
            PullFailed: it is not.
        """
        wrong = check.wrong()
        if wrong:
            self._told(step)
            raise PullFailed(f"{step}: {wrong}")


@dataclass(frozen=True, slots=True)
class Whole:
    """A small answer and the fields of it that matter."""

    step: Step
    content: bytes
    digest: str
    challenge: str


class Check:
    """What a body's digest is, against what it should be."""

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._algorithm = expected.partition(":")[0]
        known = self._algorithm if self._algorithm in _CHECKED else "sha256"
        self._hash = hashlib.new(known)

    def take(self, piece: bytes) -> None:
        """A piece of the body."""
        self._hash.update(piece)

    def wrong(self) -> str:
        """What is wrong with it, empty where nothing is."""
        if not self._expected:
            return ""  # a tag, and the registry does not say what it stands for
        if self._algorithm not in _CHECKED:
            return f"the digest {self._expected!r} cannot be checked"
        found = f"{self._algorithm}:{self._hash.hexdigest()}"
        return "" if found == self._expected else f"the digest is {found}, not {self._expected}"


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
