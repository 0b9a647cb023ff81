"""An upstream in memory: registry, token service and CDN, asked through the outbound client."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from addon.ahead.destinations import Destinations
from addon.ahead.lookahead import AheadLimits
from addon.answering.fetching import Fetcher
from addon.blob.blobs import BlobLimits
from addon.flows.story import current
from addon.memory.upstream import Limits, Upstream
from addon.outbound.hosts import Host, Hosts
from addon.outbound.outbound import Outbound
from addon.outbound.received import Answer
from addon.protocol.asked import Asked
from addon.protocol.errors import MirrorError, failure
from addon.protocol.headers import Fields
from addon.protocol.registry import parse_registry
from addon.protocol.reply import Reply
from addon.protocol.routes import Blob, Manifest, RegistryRoute, Token
from tests.clock import Clock
from tests.outbounds import NotedBody, answer

HUB = parse_registry("", official="library")
REALM = "https://mirror.example/auth/token"
MIB = 1024 * 1024
IMAGE = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = ("Accept", IMAGE)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def manifest_of(*blobs: bytes) -> bytes:
    """A manifest that names its config and layers."""
    named = [{"digest": digest_of(blob), "size": len(blob)} for blob in blobs]
    content = {"schemaVersion": 2, "mediaType": IMAGE, "config": named[0], "layers": named[1:]}
    return json.dumps(content).encode()


@dataclass
class Request:
    """One that arrived."""

    role: str
    method: str
    path: str
    fields: list[tuple[str, str]]

    def get(self, name: str) -> str:
        return next((v for n, v in self.fields if n.lower() == name.lower()), "")


class HostsAt(Hosts):
    """Hosts that are all far, or all near."""

    def __init__(self, far: bool) -> None:
        super().__init__()
        self._far = far

    def of(self, name: str) -> Host:
        host = super().of(name)
        host.answered(0.2 if self._far else 0.001)
        return host


@dataclass
class FakeHub:
    """Answers as Hub does; every attribute may be changed at any time."""

    clock: Clock
    tags: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    bodies: list[NotedBody] = field(default_factory=list)
    # Who may read: whoever has a token that was given to anybody, or these users' tokens alone.
    private: bool = False
    users: set[str] = field(default_factory=set)
    given: dict[str, float] = field(default_factory=dict)
    # In place of a role's answers: a status, or a failure.
    instead: dict[str, int | MirrorError] = field(default_factory=dict)
    # Has a say on each of the CDN's answers.
    cdn: Callable[[Request, bytes], Answer | None] = lambda _request, _content: None
    # Has a say on each manifest.
    manifest: Callable[[Answer], Answer] = lambda given: given
    says_digest: bool = True
    far: bool = False
    gate: asyncio.Event | None = None
    destinations: Destinations = field(default_factory=Destinations)
    max_redirects: int = 5

    async def request(
        self,
        method: str,
        url: str,
        fields: Fields,
        *,
        body: bytes | None = None,
        redirected: bool = False,
        answer_within: float | None = None,
    ) -> Answer:
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        role = {"registry-1.docker.io": "registry", "auth.docker.io": "token"}.get(host, "cdn")
        asked = Request(role, method, "/" + path, list(fields))
        self.asked.append(asked)
        current().requests += 1
        await asyncio.sleep(0)
        if self.gate:
            await self.gate.wait()
        instead = self.instead.get(role)
        if isinstance(instead, MirrorError):
            raise instead
        given = answer(instead, content=b"page") if instead else self._answer(asked)
        assert scheme == "https"
        assert isinstance(given.body, NotedBody)
        self.bodies.append(given.body)
        return given

    @property
    def hosts(self) -> Hosts:
        return HostsAt(self.far)

    @property
    def outbound(self) -> Outbound:
        return cast("Outbound", self)

    @property
    def left_open(self) -> int:
        """Bodies that nobody has closed."""
        return sum(1 for body in self.bodies if not body.closings)

    def count(self, role: str, method: str = "", part: str = "") -> int:
        return len(
            [a for a in self.asked if a.role == role and method in a.method and part in a.path]
        )

    def down(self, *roles: str) -> None:
        for role in roles or ("registry", "token", "cdn"):
            self.instead[role] = failure(f"{role}.example", "cannot connect: refused")

    def _answer(self, asked: Request) -> Answer:
        if asked.role == "token":
            token = f"anonymous{len(self.given)}"
            self.given[token] = self.clock.now + 300
            content = {"token": token, "expires_in": 300}
            return answer(200, ("Content-Type", "application/json"), content=_json(content))
        if asked.role == "cdn":
            return self._cdn(asked)
        return self._registry(asked)

    def _registry(self, asked: Request) -> Answer:
        token = asked.get("Authorization").partition(" ")[2]
        is_given = self.given.get(token, 0) > self.clock.now
        if not (token in self.users or (is_given and not self.private)):
            challenge = ("WWW-Authenticate", 'Bearer realm="https://auth.docker.io/token"')
            return answer(401, challenge, content=b"{}")
        kind, _, reference = asked.path.partition("?")[0].rpartition("/")
        if kind.endswith("/list"):
            return answer(200, content=b"{}")
        if kind.endswith("/blobs"):
            if reference not in self.blobs:
                return answer(404, content=b"{}")
            end = int(self.clock.now) + 1200
            location = f"https://cdn.example/{reference}?Expires={end}&Method={asked.method}"
            return answer(307, ("Location", location), content=b"page")
        by_digest = {digest_of(content): content for content in self.tags.values()}
        found = self.tags.get(reference) or by_digest.get(reference)
        if found is None:
            return answer(404, content=b"{}")
        said = [("Docker-Content-Digest", digest_of(found))] if self.says_digest else []
        fields = [("Content-Type", IMAGE), ("ratelimit-remaining", "5;w=1"), *said]
        return self.manifest(answer(200, *fields, content=found))

    def _cdn(self, asked: Request) -> Answer:
        assert not asked.get("Authorization")
        assert f"Method={asked.method}" in asked.path
        content = self.blobs[asked.path[1:].partition("?")[0]]
        other = self.cdn(asked, content)
        if other:
            return other
        tag = ("ETag", f'"{digest_of(content)[-8:]}"')
        wanted = asked.get("Range").removeprefix("bytes=")
        first, _, last = wanted.partition("-")
        if not first.isdigit() or "," in last:
            return answer(200, tag, content=content)
        end = min(int(last) + 1 if last else len(content), len(content))
        if int(first) >= end:
            return answer(416, ("Content-Range", f"bytes */{len(content)}"), content=b"page")
        said = f"bytes {first}-{end - 1}/{len(content)}"
        return answer(206, tag, ("Content-Range", said), content=content[int(first) : end])


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


class Site:
    """A mirror's core in front of that Hub, and its clients."""

    def __init__(
        self,
        limits: Limits | None = None,
        ahead: AheadLimits | None = None,
        blobs: BlobLimits | None = None,
    ) -> None:
        self.clock = Clock()
        self.hub = FakeHub(self.clock)
        self.upstream = Upstream(
            HUB,
            self.hub.outbound,
            limits or Limits(),
            blobs or BlobLimits(4, 16, 64 * MIB),
            self.clock,
            self.clock,
        )
        self.fetcher = Fetcher(self.upstream, ahead or AheadLimits(6, 24 * MIB, 60.0, images=0))

    async def token(self, repository: str = "library/a") -> tuple[str, str]:
        """The field of a client that has asked the mirror for a token."""
        query = f"service=registry.docker.io&scope=repository:{repository}:pull"
        reply = await self.fetcher.fetch(Token(query), Asked("GET", (), REALM, "client"))
        content = json.loads(await read(reply))
        return ("Authorization", f"Bearer {content['token']}")

    async def ask(
        self, route: RegistryRoute, *fields: tuple[str, str], method: str = "GET"
    ) -> Reply:
        return await self.fetcher.fetch(route, Asked(method, fields, REALM, "client"))

    async def pull(self, *fields: tuple[str, str], method: str = "GET", tag: str = "1") -> Reply:
        return await self.ask(Manifest("a", tag), ACCEPT, *fields, method=method)

    async def blob(self, content: bytes, *fields: tuple[str, str], method: str = "GET") -> Reply:
        return await self.ask(Blob("a", digest_of(content)), *fields, method=method)

    def push(self, tag: str, *blobs: bytes) -> bytes:
        """A new image under a tag; its manifest."""
        self.hub.blobs.update({digest_of(blob): blob for blob in blobs})
        self.hub.tags[tag] = manifest_of(*blobs)
        return self.hub.tags[tag]


async def read(reply: Reply) -> bytes:
    content = bytearray()
    try:
        while chunk := await reply.body.read():
            content += chunk
    finally:
        reply.body.close()
    return bytes(content)


def value(reply: Reply, name: str) -> str:
    return next((v for n, v in reply.fields if n.lower() == name.lower()), "")


async def settle(turns: int = 100) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
