"""Where manifests are asked for: at their registry."""

from __future__ import annotations

from addon.answering.manifestrequest import ManifestRequest
from addon.blob.redirects import follow
from addon.flows.story import current, meant_as
from addon.memory.manifests import MAX_MANIFEST, Kept, keep
from addon.memory.upstream import Upstream
from addon.outbound.received import Answer, WholeAnswer, read_whole
from addon.protocol.digests import is_known_digest
from addon.protocol.reply import BrokenTransfer


class ManifestSource:
    """Asks one registry for manifests."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def ask(self, pull: ManifestRequest, method: str, *, as_asked: bool = False) -> Answer:
        """Ask the registry, as one client asked or for all; its yes and no are noted.

        Raises:
            UpstreamFailure: it did not answer.
        """
        registry = self._upstream.learnt.now
        url = registry.url_for(pull.route)
        fields = [*pull.fields(as_asked=as_asked), *pull.reader.fields]
        with meant_as("tag check" if method == "HEAD" else "manifest"):
            followed = await follow(self._upstream.outbound, registry, method, url, fields)
        current().limited(followed.answer.get)
        self._upstream.pull_limits.hear(followed.answer.get)
        self._upstream.hear(pull.reader, pull.name, followed.answer.status)
        return followed.answer

    async def read(self, answer: Answer, pull: ManifestRequest) -> tuple[WholeAnswer, Kept | None]:
        """An answer, and the manifest in it if it is one that may be remembered.

        Raises:
            UpstreamFailure: it broke off, or is not what its digest says.
        """
        try:
            got = await read_whole(answer, MAX_MANIFEST)
        except BrokenTransfer as e:
            raise self._upstream.failure(str(e)) from e
        if answer.status != 200:
            return got, None
        digest = pull.digest_of(answer, got.content)
        kept = keep(digest, got.fields, got.content)
        if kept is None and answer.closes_to_end:
            # Nothing but the digest tells its end from a break.
            raise self._upstream.failure("a manifest broke off")
        if kept is None and pull.is_by_digest and is_known_digest(digest):
            raise self._upstream.failure(f"what came is not {digest}")
        return got, kept
