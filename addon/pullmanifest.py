"""A manifest for a client: from memory where that may be, else from the registry, remembered.

A tag is checked by HEAD, which is free of Hub's pull limit. Only a client's GET makes the mirror
send a GET for a manifest, since that counts as a pull.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, replace

from addon.answers import reply_of, with_field
from addon.asked import Asked
from addon.bodies import blob_body
from addon.errors import UpstreamFailure, failure
from addon.fields import values_of
from addon.headers import Fields, to_client, to_registry
from addon.lookahead import Ahead
from addon.manifests import MAX_MANIFEST, Accepted, Kept, accepted_types, is_known_digest, keep
from addon.names import is_digest
from addon.readers import not_for_everyone
from addon.received import Answer, WholeAnswer, discard, read_whole
from addon.redirects import follow
from addon.reply import BrokenTransfer, Reply, whole
from addon.routes import Manifest
from addon.sharing import EVERYONE, BlobKey, Reader
from addon.singleflight import SingleFlight
from addon.story import Source, current, meant_as
from addon.upstream import Upstream

logger = logging.getLogger(__name__)

_CONDITIONS = ("if-match", "if-modified-since", "if-unmodified-since", "if-range")
# What passes with time: a remembered manifest is better than that.
_NOT_NOW = (429, 500, 502, 503, 504)
# Media types that are remembered with a tag; engines name some six.
MAX_ACCEPTED = 32
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
            return self._give(Found(known, known.fields, Source.MEMORY), pull)
        if asked.method == "HEAD":
            return await self._head(pull)
        found = await self._flights.once(pull.key, lambda: self._find(pull))
        if isinstance(found, Found):
            return self._give(found, pull)
        return self._passed(found, pull)

    async def _forward(self, pull: _Pull) -> Reply:
        """What the registry says to this client alone."""
        answer = await self._ask(pull, pull.asked.method, as_asked=True)
        is_whole = answer.status == 200 and pull.asked.method == "GET"
        if is_whole and pull.is_by_digest:
            # Once the last byte is sent, no client could be told any more that it was wrong.
            return self._passed((await self._read(answer, pull))[0], pull)
        return self._passed(answer, pull)

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
        remembered = self._remembered(pull)
        if remembered is None:
            return await self._get(pull)
        # While the check is under way, what the remembered manifest names is begun; the check goes
        # first, since the client waits for it.
        check = asyncio.get_running_loop().create_task(self._check(pull, remembered[0]))
        try:
            await asyncio.sleep(0)
            self._look_ahead(remembered[0], pull)
            found = await check or await self._get(pull)
        except UpstreamFailure as e:
            return self._stale(*remembered, pull, e)
        finally:
            check.cancel()
        if isinstance(found, WholeAnswer) and found.status in _NOT_NOW:
            return self._stale(*remembered, pull, self._cause(found.status))
        return found

    async def _check(self, pull: _Pull, kept: Kept) -> Found | None:
        """Whether a manifest is still the one that is asked for; None: another is.

        Raises:
            UpstreamFailure: the registry did not say.
        """
        answer = await self._ask(pull, "HEAD")
        await discard(answer)
        if answer.status in _NOT_NOW:
            raise self._cause(answer.status)
        if answer.status != 200 or answer.get("Docker-Content-Digest") != kept.digest:
            return None
        self._checked(pull, kept.digest)
        return Found(kept, kept.fields, Source.CHECKED)

    async def _get(self, pull: _Pull) -> Found | WholeAnswer:
        got, kept = await self._read(await self._ask(pull, "GET"), pull)
        if kept is None:
            return got
        reader = pull.reader
        self._upstream.manifests.put(reader.audience, pull.name, kept)
        self._checked(pull, kept.digest)
        for blob in kept.blobs:
            key = BlobKey(reader.audience, pull.name, blob.digest)
            self._upstream.sizes[key] = blob.size
        return Found(kept, got.fields, Source.NETWORK)

    async def _read(self, answer: Answer, pull: _Pull) -> tuple[WholeAnswer, Kept | None]:
        """An answer, and the manifest in it if it is one that may be remembered.

        Raises:
            UpstreamFailure: it broke off, or is not what its digest says.
        """
        host = self._upstream.learnt.now.authority
        try:
            got = await read_whole(answer, MAX_MANIFEST)
        except BrokenTransfer as e:
            raise failure(host, str(e)) from e
        if answer.status != 200:
            return got, None
        digest = _digest_of(answer, got.content, pull)
        kept = keep(digest, got.fields, got.content)
        if kept is None and answer.closes_to_end:
            # Nothing but the digest tells its end from a break.
            raise failure(host, "a manifest broke off")
        if kept is None and pull.is_by_digest and is_known_digest(digest):
            raise failure(host, f"what came is not {digest}")
        return got, kept

    async def _head(self, pull: _Pull) -> Reply:
        remembered = self._remembered(pull)
        try:
            answer = await self._ask(pull, "HEAD", as_asked=True)
        except UpstreamFailure as e:
            if remembered is None:
                raise
            return self._give(self._stale(*remembered, pull, e), pull)
        if answer.status in _NOT_NOW and remembered:
            answer.body.close()
            return self._give(self._stale(*remembered, pull, self._cause(answer.status)), pull)
        digest = answer.get("Docker-Content-Digest")
        if answer.status == 200 and digest:
            self._checked(pull, digest)
        return self._passed(answer, pull)

    def _remembered(self, pull: _Pull) -> tuple[Kept, float] | None:
        """What is remembered, and the seconds since the registry last confirmed it."""
        if not pull.is_by_digest:
            return self._tagged(pull)
        kept = self._kept(pull)
        # Its content is for good; what ages is the leave to read it.
        return (kept, self._upstream.access.age(pull.reader.audience, pull.name)) if kept else None

    def _cause(self, status: int) -> UpstreamFailure:
        return failure(self._upstream.learnt.now.authority, f"it answered {status}")

    async def _ask(self, pull: _Pull, method: str, *, as_asked: bool = False) -> Answer:
        """Ask the registry, as one client asked or for all; its yes and no are noted.

        Raises:
            UpstreamFailure: it did not answer.
        """
        registry = self._upstream.learnt.now
        url = registry.url_for(pull.route)
        own = [
            (n, v)
            for n, v in to_registry(pull.asked.fields)
            # What is shared is asked for whole; the condition is the client's alone.
            if n.lower() not in ("authorization", *(() if as_asked else _OWN_CONDITION))
        ]
        with meant_as("tag check" if method == "HEAD" else "manifest"):
            followed = await follow(
                self._upstream.outbound, registry, method, url, [*own, *pull.reader.fields]
            )
        current().limited(followed.answer.get)
        self._upstream.pull_limits.hear(followed.answer.get)
        self._upstream.hear(pull.reader, pull.name, followed.answer.status)
        return followed.answer

    def _stale(self, kept: Kept, age: float, pull: _Pull, cause: UpstreamFailure) -> Found:
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

    def _give(self, found: Found, pull: _Pull) -> Reply:
        kept = found.kept
        current().given(found.source, found.age)
        for blob in kept.blobs:
            if blob.is_config:
                self._upstream.configs[blob.digest] = True
        if pull.asked.method == "GET":
            self._look_ahead(kept, pull)
        registry = self._upstream.learnt.now
        fields: Fields = to_client(
            found.fields,
            base=registry.url_for(pull.route),
            realm=pull.asked.realm,
            service=registry.service,
        )
        fields = with_field(fields, ("Docker-Content-Digest", kept.digest))
        tags = {"*", kept.digest, f'"{kept.digest}"'}
        tags |= {v.removeprefix("W/") for v in values_of(kept.fields, "etag")}
        if tags & pull.entity_tags:
            return Reply(304, fields, None)
        return whole(200, kept.content, fields)

    def _passed(self, answer: Answer | WholeAnswer, pull: _Pull) -> Reply:
        login_is_missing = answer.status == 401 and not pull.asked.authorization
        if login_is_missing and not self._upstream.limits.challenges_clients:
            if isinstance(answer, Answer):
                answer.body.close()
            raise not_for_everyone(pull.name)
        registry = self._upstream.learnt.now
        base = registry.url_for(pull.route)
        if isinstance(answer, Answer):
            reply = reply_of(answer, base, registry, pull.asked.realm)
            digest = answer.get("Docker-Content-Digest")
            # Without framing, nothing but the digest tells its end from a break.
            return replace(reply, body=blob_body(answer, digest)) if digest else reply
        fields = to_client(
            answer.fields, base=base, realm=pull.asked.realm, service=registry.service
        )
        return whole(answer.status, answer.content, fields)

    def _look_ahead(self, kept: Kept, pull: _Pull) -> None:
        if self._upstream.limits.recheck_time > 0:  # otherwise nothing of it could be given
            self._ahead.look(pull.asked.client, pull.reader, pull.name, kept.blobs)

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
    """A manifest to be given, with the fields that go with it this time, and where it was found."""

    kept: Kept
    fields: Fields
    source: Source
    age: float = 0.0  # seconds, of a stale copy


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
        is_odd = len(self.accepted) > MAX_ACCEPTED or any(len(t) > 128 for t in self.accepted)
        return not (wants_part or is_odd or self.asked.has(*_CONDITIONS) or self.route.query)

    @property
    def entity_tags(self) -> set[str]:
        """The tags of what the client has already (RFC 9110, 13.1.2: compared weakly)."""
        values = self.asked.get_all("if-none-match")
        return {tag.strip().removeprefix("W/") for value in values for tag in value.split(",")}

    @property
    def key(self) -> tuple[object, ...]:
        return (self.reader.audience, self.name, self.route.reference, self.accepted)


def _digest_of(answer: Answer, content: bytes, pull: _Pull) -> str:
    """The digest that the content must have: the one asked for, or the one that is said."""
    if is_digest(pull.route.reference):
        return pull.route.reference
    said = answer.get("Docker-Content-Digest")
    return said or "sha256:" + hashlib.sha256(content).hexdigest()
