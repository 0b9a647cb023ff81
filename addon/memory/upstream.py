"""An upstream with all that is remembered of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from addon.blob.blobs import BlobLimits, Blobs
from addon.blob.redirects import Redirects
from addon.flows.story import meant_as
from addon.memory.learning import LearntRegistry
from addon.memory.manifests import Manifests
from addon.memory.sharing import EVERYONE, Access, BlobKey, Reader, token_of
from addon.memory.smallblobs import SmallBlobs
from addon.memory.tokens import Scopes, Tokens, token_query
from addon.outbound.outbound import Outbound
from addon.outbound.received import WholeAnswer, read_whole
from addon.protocol.errors import UpstreamFailure, failure
from addon.protocol.headers import to_token_service
from addon.protocol.pulllimits import PullLimits
from addon.protocol.registry import Registry, authority, same_origin
from addon.protocol.reply import BrokenTransfer

MAX_TOKEN_ANSWER = 64 * 1024
# The registry's no: whatever was kept of its yes is dropped.
DENIED = frozenset({401, 403, 404})
# What passes with time: what is remembered is better than that.
NOT_NOW = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the memory: times in seconds, sizes in bytes. `remember` False: none of it."""

    remember: bool = True
    challenges_clients: bool = True
    entries: int = 4096
    tag_ttl: float = 30.0
    recheck_time: float = 300.0
    stale_time: float = 3600.0
    manifest_bytes: int = 16 * 1024 * 1024
    blob_bytes: int = 64 * 1024 * 1024
    largest_blob: int = 8 * 1024 * 1024
    remember_time: float = 86400.0
    redirect_time: float = 60.0
    token_use_time: float = 120.0


class Upstream:
    """One registry, the way to it, and what anonymous requests have fetched from it."""

    def __init__(
        self,
        registry: Registry,
        outbound: Outbound,
        limits: Limits,
        blob_limits: BlobLimits,
        now: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        kept = limits.entries if limits.remember else 1
        # Called with an audience and a repository that it may no longer read.
        self.revoked: list[Callable[[str, str], None]] = []
        self.limits = limits
        self.wall_clock = wall_clock
        self.outbound = outbound
        self.learnt = LearntRegistry(registry, outbound)
        # Told of each request of a client's; set by whoever keeps connections open.
        self.used: Callable[[], None] = _ignore
        self.access = Access(limits.recheck_time if limits.remember else 0.0, kept, now)
        self.tokens = Tokens(
            self._ask_for_token,
            limits.entries if limits.remember else 0,
            now,
            limits.stale_time,
            limits.remember_time,
            limits.token_use_time,
        )
        self.manifests = Manifests(limits.manifest_bytes if limits.remember else 1, kept, now)
        self.blobs = Blobs(outbound, blob_limits, self.redirects(kept))
        largest = limits.largest_blob if limits.remember else 0
        self.small_blobs = SmallBlobs(limits.blob_bytes, largest)
        self.sizes: LRUCache[BlobKey, int] = LRUCache(kept)
        # Digests that a manifest has named as an image's config; a content is one for everybody.
        self.configs: LRUCache[str, bool] = LRUCache(kept)
        self.pull_limits = PullLimits(now)

    def redirects(self, entries: int) -> Redirects:
        """A memory for so many addresses of blobs."""
        limits = self.limits
        return Redirects(entries, self.wall_clock, limits.remember_time, limits.redirect_time)

    def failure(self, reason: str) -> UpstreamFailure:
        """The registry's failure, for a client."""
        return failure(self.learnt.now.authority, reason)

    def failure_of(self, status: int) -> UpstreamFailure:
        """The same where it answered a status that tells nothing of what was asked for."""
        return self.failure(f"it answered {status}")

    def hear(self, reader: Reader, repository: str, status: int) -> None:
        """Note what the registry itself has answered to a reader of a repository."""
        if status == 401 and self.tokens.is_spent(token_of(reader.authorization)):
            # A blob that comes slowly is asked for again long after its token has ended. That no
            # is to the token (RFC 6750, section 3.1), and must not cost everyone the repository.
            return
        if status in DENIED:
            self.revoke(reader.audience, repository)
        elif status < 400:
            self.access.grant(reader.audience, repository)

    def forget(self, audience: str) -> None:
        """Whatever this audience was given is forgotten."""
        for repository in self.access.of(audience):
            self.revoke(audience, repository)

    async def keep_up(self) -> None:
        """Drop what was kept under tokens that are not used any more, and refresh our own."""
        for audience, repository in self.access.ended():
            self.revoke(audience, repository)
        await self.tokens.refresh()

    def revoke(self, audience: str, repository: str) -> None:
        """The registry said no: whatever this audience was given is forgotten."""
        self.access.revoke(audience, repository)
        if audience == EVERYONE:
            self.tokens.forget(repository)
        self.manifests.drop(audience, repository)
        self.small_blobs.drop(audience, repository)
        self.blobs.ways.redirects.drop(audience, repository)
        for key in [key for key in self.sizes if key.is_of(audience, repository)]:
            del self.sizes[key]
        for revoked in self.revoked:
            revoked(audience, repository)

    async def _ask_for_token(self, scopes: Scopes) -> WholeAnswer:
        registry = await self.learnt.known()
        url = f"{registry.token_service}?{token_query(registry.service, scopes)}"
        with meant_as("token"):
            answer = await self.outbound.request(
                "GET",
                url,
                to_token_service([]),
                redirected=registry.is_token_service_learnt and not same_origin(url, registry.url),
            )
        try:
            return await read_whole(answer, MAX_TOKEN_ANSWER)
        except BrokenTransfer as e:
            raise failure(authority(url), str(e)) from e


def _ignore() -> None:
    pass
