"""A manifest for a client: from memory where that may be, else from the registry, remembered.

A tag is checked by HEAD, which is free of Hub's pull limit. Only a client's GET makes the mirror
send a GET for a manifest, since that counts as a pull.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from addon.answers import reply_of, with_field
from addon.asked import Asked
from addon.errors import UpstreamFailure, failure
from addon.headers import Fields, to_client, to_registry
from addon.lookahead import Ahead
from addon.manifests import MAX_MANIFEST, Accepted, Kept, accepted_types, keep
from addon.names import is_digest
from addon.outbound import Answer, WholeAnswer, discard, read_whole
from addon.readers import not_for_everyone
from addon.redirects import follow
from addon.reply import Reply, whole
from addon.routes import Manifest
from addon.sharing import EVERYONE, Reader
from addon.singleflight import SingleFlight
from addon.upstream import Upstream

logger = logging.getLogger(__name__)

_CONDITIONS = ("if-match", "if-modified-since", "if-unmodified-since", "if-range")
_OWN_CONDITION = ("if-none-match", "range")


class ManifestPulls:
    """Manifests of one upstream."""

    def __init__(self, upstream: Upstream, ahead: Ahead) -> None:
        self._upstream = upstream
        self._ahead = ahead
        self._flights: SingleFlight[Found | WholeAnswer] = SingleFlight()

    async def answer(self, route: Manifest, asked: Asked, reader: Reader, name: str) -> Reply:
        """The manifest under an upstream's name, or what the registry says instead.

        Raises:
            UpstreamFailure: the registry did not answer, and nothing is remembered.
        """
        pull = _Pull(route, name, reader, asked, accepted_types(asked.get_all("accept")))
        if not pull.is_plain or not self._upstream.limits.remember:
            return await self._forward(pull)
        known = self._known(pull)
        if known:
            return self._give(Found(known, known.fields), pull)
        if asked.method == "HEAD":
            return await self._head(pull)
        found = await self._flights.once(pull.key, lambda: self._find(pull))
        if isinstance(found, Found):
            return self._give(found, pull)
        return self._passed(found, pull)

    def _known(self, pull: _Pull) -> Kept | None:
        """What may be given without asking."""
        if not self._upstream.access.holds(pull.reader.audience, pull.name):
            return None
        if pull.is_by_digest:
            return self._kept(pull)
        tagged = self._tagged(pull)
        if tagged and tagged[1] < self._upstream.limits.tag_ttl:
            return tagged[0]
        return None

    async def _find(self, pull: _Pull) -> Found | WholeAnswer:
        remembered = self._kept(pull) if pull.is_by_digest else None
        age = 0.0
        tagged = self._tagged(pull)
        if tagged:
            remembered, age = tagged
        if remembered is None:
            return await self._get(pull)
        # While the check is under way, what the remembered manifest names is begun.
        self._look_ahead(remembered, pull)
        try:
            answer = await self._ask(pull, "HEAD")
        except UpstreamFailure as e:
            return self._stale(remembered, age, pull, str(e))
        await discard(answer)
        if answer.status in (429, 500, 502, 503, 504):
            return self._stale(remembered, age, pull, f"it answered {answer.status}")
        if answer.status == 200 and answer.get("Docker-Content-Digest") == remembered.digest:
            self._checked(pull, remembered.digest)
            return Found(remembered, remembered.fields)
        return await self._get(pull)

    async def _get(self, pull: _Pull) -> Found | WholeAnswer:
        answer = await self._ask(pull, "GET")
        if answer.status != 200:
            return await read_whole(answer, MAX_MANIFEST)
        got = await read_whole(answer, MAX_MANIFEST)
        kept = keep(_digest_of(answer, got.content, pull), got.fields, got.content)
        if kept is None:
            return got
        reader = pull.reader
        self._upstream.manifests.put(reader.audience, pull.name, kept)
        self._checked(pull, kept.digest)
        for blob in kept.blobs:
            self._upstream.sizes[reader.audience, pull.name, blob.digest] = blob.size
        return Found(kept, got.fields)

    async def _head(self, pull: _Pull) -> Reply:
        answer = await self._ask(pull, "HEAD")
        digest = answer.get("Docker-Content-Digest")
        if answer.status == 200 and digest and not pull.is_by_digest:
            self._checked(pull, digest)
        return self._passed(answer, pull)

    async def _forward(self, pull: _Pull) -> Reply:
        answer = await self._ask(pull, pull.asked.method)
        return self._passed(answer, pull)

    async def _ask(self, pull: _Pull, method: str) -> Answer:
        """Ask the registry; its yes and no are noted."""
        registry = self._upstream.learnt.now
        url = registry.url_for(pull.route)
        own = [
            (n, v)
            for n, v in to_registry(pull.asked.fields)
            # What is shared is asked for whole; the condition is the client's alone.
            if n.lower() not in ("authorization", *(_OWN_CONDITION if pull.is_plain else ()))
        ]
        followed = await follow(
            self._upstream.outbound, registry, method, url, [*own, *pull.reader.fields]
        )
        self._upstream.hear(pull.reader.audience, pull.name, followed.answer.status)
        return followed.answer

    def _stale(self, kept: Kept, age: float, pull: _Pull, cause: str) -> Found:
        """What is remembered although the registry cannot confirm it.

        Raises:
            UpstreamFailure: it is too old, or not for everyone.
        """
        if age > self._upstream.limits.stale_time or pull.reader.audience != EVERYONE:
            raise failure(self._upstream.learnt.now.authority, cause)
        logger.warning("%s is served as it was %d s ago: %s", pull.name, age, cause)
        warning = ("Warning", '299 - "the registry does not answer; this was remembered"')
        return Found(kept, [*kept.fields, warning, ("Age", str(int(age)))])

    def _give(self, found: Found, pull: _Pull) -> Reply:
        kept = found.kept
        if pull.asked.method == "GET":
            self._look_ahead(kept, pull)
        asked_tags = {
            tag.strip() for v in pull.asked.get_all("if-none-match") for tag in v.split(",")
        }
        registry = self._upstream.learnt.now
        fields: Fields = to_client(
            found.fields,
            base=registry.url_for(pull.route),
            realm=pull.asked.realm,
            service=registry.service,
        )
        fields = with_field(fields, ("Docker-Content-Digest", kept.digest))
        if asked_tags & {"*", f'"{kept.digest}"', kept.digest}:
            return Reply(304, fields, None)
        return whole(200, kept.content, fields)

    def _passed(self, answer: Answer | WholeAnswer, pull: _Pull) -> Reply:
        login_is_missing = answer.status == 401 and not pull.asked.authorization
        if login_is_missing and not self._upstream.limits.challenges_clients:
            raise not_for_everyone(pull.name)
        registry = self._upstream.learnt.now
        base = registry.url_for(pull.route)
        if isinstance(answer, Answer):
            return reply_of(answer, base, registry, pull.asked.realm)
        fields = to_client(
            answer.fields, base=base, realm=pull.asked.realm, service=registry.service
        )
        return whole(answer.status, answer.content, fields)

    def _look_ahead(self, kept: Kept, pull: _Pull) -> None:
        if self._ahead.watchers.asked(pull.asked.client):
            self._ahead.look(pull.reader, pull.name, kept.blobs)

    def _kept(self, pull: _Pull) -> Kept | None:
        return self._upstream.manifests.get(pull.reader.audience, pull.name, pull.route.reference)

    def _tagged(self, pull: _Pull) -> tuple[Kept, float] | None:
        if pull.is_by_digest:
            return None
        return self._upstream.manifests.tagged(
            pull.reader.audience, pull.name, pull.route.reference, pull.accepted
        )

    def _checked(self, pull: _Pull, digest: str) -> None:
        if not pull.is_by_digest:
            self._upstream.manifests.tag(
                pull.reader.audience, pull.name, pull.route.reference, pull.accepted, digest
            )


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest to be given, with the fields that go with it this time."""

    kept: Kept
    fields: Fields


@dataclass(frozen=True, slots=True)
class _Pull:
    """One client's request for a manifest; `name` is the repository's name upstream."""

    route: Manifest
    name: str
    reader: Reader
    asked: Asked
    accepted: Accepted

    @property
    def is_by_digest(self) -> bool:
        return is_digest(self.route.reference)

    @property
    def is_plain(self) -> bool:
        """Whether it asks for the whole, at most unless it has it already.

        containerd sends `Range: bytes=0-` with manifests too, which registries answer whole.
        """
        wants_part = self.asked.get("range") not in ("", "bytes=0-")
        return not (wants_part or self.asked.has(*_CONDITIONS) or self.route.query)

    @property
    def key(self) -> tuple[object, ...]:
        return (self.reader.audience, self.name, self.route.reference, self.accepted)


def _digest_of(answer: Answer, content: bytes, pull: _Pull) -> str:
    """The digest that the content must have: the one asked for, or the one that is said."""
    if is_digest(pull.route.reference):
        return pull.route.reference
    said = answer.get("Docker-Content-Digest")
    return said or "sha256:" + hashlib.sha256(content).hexdigest()
