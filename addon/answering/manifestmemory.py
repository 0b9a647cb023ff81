"""What is remembered of manifests, and what of it may be given to a client."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from addon.answering.manifestrequest import ManifestRequest
from addon.flows.story import Source
from addon.memory.manifests import Kept
from addon.memory.sharing import EVERYONE, BlobKey
from addon.memory.upstream import Upstream
from addon.protocol.errors import UpstreamFailure
from addon.protocol.headers import Fields

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest to be given, with the fields that go with it this time, and where it was found."""

    kept: Kept
    fields: Fields
    source: Source
    age: float = 0.0  # seconds, of a stale copy


class RememberedManifests:
    """The manifests of one upstream that clients' requests find here."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def known(self, pull: ManifestRequest) -> Kept | None:
        """What may be given without asking."""
        if not self._upstream.access.holds(pull.reader.audience, pull.name):
            return None
        if pull.is_by_digest:
            return self._kept(pull)
        tagged = self._tagged(pull)
        if tagged and tagged[1] < self._upstream.limits.tag_ttl:
            return tagged[0]
        return None

    def last(self, pull: ManifestRequest) -> tuple[Kept, float] | None:
        """What is remembered, and the seconds since the registry last confirmed it."""
        if not pull.is_by_digest:
            return self._tagged(pull)
        kept = self._kept(pull)
        # Its content is for good; what ages is the leave to read it.
        return (kept, self._upstream.access.age(pull.reader.audience, pull.name)) if kept else None

    def put(self, pull: ManifestRequest, kept: Kept) -> None:
        """Remember one that has come just now, and the sizes of what it names."""
        audience = pull.reader.audience
        self._upstream.manifests.put(audience, pull.name, kept)
        self.checked(pull, kept.digest)
        for blob in kept.blobs:
            self._upstream.sizes[BlobKey(audience, pull.name, blob.digest)] = blob.size

    def checked(self, pull: ManifestRequest, digest: str) -> None:
        """The registry has said what a tag stands for."""
        if not pull.is_by_digest:
            self._upstream.manifests.tag(
                pull.reader.audience, pull.name, pull.route.reference, pull.accepted, digest
            )

    def stale(self, kept: Kept, age: float, pull: ManifestRequest, cause: UpstreamFailure) -> Found:
        """What is remembered although the registry cannot confirm it.

        Raises:
            UpstreamFailure: it is too old, dropped, or not for everyone.
        """
        audience = pull.reader.audience
        # It may have said no a moment ago, while what is remembered now was on its way.
        age = max(age, self._upstream.access.age(audience, pull.name))
        is_kept = self._upstream.manifests.get(audience, pull.name, kept.digest) is not None
        if age >= self._upstream.limits.stale_time or audience != EVERYONE or not is_kept:
            raise cause
        logger.warning("%s is served as it was %d s ago: %s", pull.name, age, cause)
        warning = ("Warning", '299 - "the registry does not answer; this was remembered"')
        return Found(kept, [*kept.fields, warning, ("Age", str(int(age)))], Source.STALE, age)

    def _kept(self, pull: ManifestRequest) -> Kept | None:
        return self._upstream.manifests.get(pull.reader.audience, pull.name, pull.route.reference)

    def _tagged(self, pull: ManifestRequest) -> tuple[Kept, float] | None:
        if pull.is_by_digest:
            return None
        return self._upstream.manifests.tagged(
            pull.reader.audience, pull.name, pull.route.reference, pull.accepted
        )
