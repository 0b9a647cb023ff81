"""An upstream with all that is remembered of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from cachetools import LRUCache

from addon.blobs import BlobLimits, Blobs
from addon.headers import to_token_service
from addon.learning import LearntRegistry
from addon.manifests import Manifests
from addon.outbound import Outbound, WholeAnswer, read_whole
from addon.redirects import Redirects
from addon.registry import Registry, same_origin
from addon.sharing import Access
from addon.smallblobs import SmallBlobs
from addon.tokens import Scopes, Tokens, token_query

MAX_TOKEN_ANSWER = 64 * 1024

Key = tuple[str, str, str]


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


class Upstream:
    """One registry, the way to it, and what anonymous requests have fetched from it."""

    def __init__(
        self, registry: Registry, outbound: Outbound, limits: Limits, blob_limits: BlobLimits
    ) -> None:
        kept = limits.entries if limits.remember else 1
        self.limits = limits
        self.outbound = outbound
        self.learnt = LearntRegistry(registry, outbound)
        self.access = Access(limits.recheck_time if limits.remember else 0.0, kept)
        self.tokens = Tokens(self._ask_for_token, kept)
        self.manifests = Manifests(limits.manifest_bytes if limits.remember else 1, kept)
        self.blobs = Blobs(outbound, blob_limits, Redirects(kept))
        largest = limits.largest_blob if limits.remember else 0
        self.small_blobs = SmallBlobs(limits.blob_bytes, largest)
        self.sizes: LRUCache[Key, int] = LRUCache(kept)

    def revoke(self, audience: str, repository: str) -> None:
        """The registry said no: whatever this audience was given is forgotten."""
        self.access.revoke(audience, repository)
        self.manifests.drop(audience, repository)
        self.small_blobs.drop(audience, repository)

        def is_meant(key: Hashable) -> bool:
            return isinstance(key, tuple) and key[:2] == (audience, repository)

        self.blobs.redirects.drop(is_meant)

    async def _ask_for_token(self, scopes: Scopes) -> WholeAnswer:
        registry = await self.learnt.known()
        url = f"{registry.token_service}?{token_query(registry.service, scopes)}"
        answer = await self.outbound.request(
            "GET",
            url,
            to_token_service([]),
            redirected=registry.is_token_service_learnt and not same_origin(url, registry.url),
        )
        return await read_whole(answer, MAX_TOKEN_ANSWER)
