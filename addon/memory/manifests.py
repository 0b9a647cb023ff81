"""Manifests that are remembered: by digest for good, by tag until it is checked.

What a tag gives depends on `Accept` (an index, or one platform's manifest), so a tag is kept for
each set of media types.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from addon.protocol.descriptors import Descriptor, parse_blobs
from addon.protocol.digests import is_digest_of
from addon.protocol.fields import first_of
from addon.protocol.headers import Fields

# distribution-spec, "Pushing Manifests": registries take manifests up to 4 MiB.
MAX_MANIFEST = 4 * 1024 * 1024
# What a manifest counts beside its content, so that small ones are bounded in number.
OVERHEAD = 1024
_KEPT_FIELDS = frozenset({"content-type", "docker-content-digest", "etag"})

Accepted = frozenset[str]


@dataclass(frozen=True, slots=True)
class Kept:
    """A manifest whose content is its digest's."""

    digest: str
    fields: Fields
    content: bytes
    blobs: tuple[Descriptor, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Tagged:
    """What a tag was when it was last checked, on the monotonic clock."""

    digest: str
    checked: float


def accepted_types(values: Sequence[str]) -> Accepted:
    """The media types of `Accept`, in whatever order; weights say little here and are left out."""
    ranges = [part.partition(";")[0].strip().lower() for v in values for part in v.split(",")]
    return frozenset(media_type for media_type in ranges if media_type)


def keep(digest: str, fields: Fields, content: bytes) -> Kept | None:
    """A manifest to be remembered, or None where its content is not its digest's."""
    if not is_digest_of(digest, content):
        return None
    kept = [(n, v) for n, v in fields if n.lower() in _KEPT_FIELDS]
    if first_of(kept, "docker-content-digest") is None:
        kept.append(("Docker-Content-Digest", digest))
    return Kept(digest, kept, content, parse_blobs(content))


class Manifests:
    """The memory for manifests, by audience and repository."""

    def __init__(self, size: int, entries: int, now: Callable[[], float] = time.monotonic) -> None:
        """Keep at most `size` bytes of content, and so many tags."""
        self._by_digest: LRUCache[tuple[str, str, str], Kept] = LRUCache(size, getsizeof=_cost)
        self._by_tag: LRUCache[tuple[str, str, str, Accepted], Tagged] = LRUCache(entries)
        self._now = now

    def __len__(self) -> int:
        return len(self._by_digest)

    @property
    def tags(self) -> int:
        """Tags that are remembered, each for a set of media types."""
        return len(self._by_tag)

    @property
    def held(self) -> int:
        """Bytes of the budget that are taken."""
        return int(self._by_digest.currsize)

    @property
    def budget(self) -> int:
        """Bytes that may be taken."""
        return int(self._by_digest.maxsize)

    def get(self, audience: str, repository: str, digest: str) -> Kept | None:
        """A manifest by digest."""
        return self._by_digest.get((audience, repository, digest))

    def put(self, audience: str, repository: str, kept: Kept) -> None:
        """Remember a manifest, if there is room for it at all."""
        if _cost(kept) <= self._by_digest.maxsize:
            self._by_digest[audience, repository, kept.digest] = kept

    def tagged(
        self, audience: str, repository: str, tag: str, accepted: Accepted
    ) -> tuple[Kept, float] | None:
        """What a tag is remembered to be, and the seconds since it was checked."""
        tagged = self._by_tag.get((audience, repository, tag, accepted))
        kept = self.get(audience, repository, tagged.digest) if tagged else None
        return (kept, self._now() - tagged.checked) if tagged and kept else None

    def tag(
        self, audience: str, repository: str, tag: str, accepted: Accepted, digest: str
    ) -> None:
        """A tag has been checked just now."""
        self._by_tag[audience, repository, tag, accepted] = Tagged(digest, self._now())

    def drop(self, audience: str, repository: str) -> None:
        """Forget all of a repository."""
        for by_digest in [key for key in self._by_digest if key[:2] == (audience, repository)]:
            del self._by_digest[by_digest]
        for by_tag in [key for key in self._by_tag if key[:2] == (audience, repository)]:
            del self._by_tag[by_tag]


def _cost(kept: Kept) -> int:
    """Bytes of the budget: the content, and a little for what goes with it."""
    return len(kept.content) + OVERHEAD
