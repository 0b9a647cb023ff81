"""A manifest for a client: from memory where that may be, else from the registry, remembered.

A tag is checked by HEAD, which is free of Hub's pull limit. Only a client's GET makes the mirror
send a GET for a manifest, since that counts as a pull.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from addon.ahead.lookahead import Ahead
from addon.answering.manifestmemory import Found, RememberedManifests
from addon.answering.manifestrequest import ManifestRequest
from addon.answering.manifestsource import ManifestSource
from addon.answering.readers import refuse_login
from addon.blob.bodies import blob_body
from addon.flows.story import Source, current
from addon.memory.manifests import Kept
from addon.memory.sharing import Reader
from addon.memory.singleflight import SingleFlight
from addon.memory.upstream import NOT_NOW, Upstream
from addon.outbound.received import Answer, WholeAnswer, discard
from addon.protocol.answers import reply_of
from addon.protocol.asked import Asked
from addon.protocol.errors import UpstreamFailure
from addon.protocol.headers import to_client
from addon.protocol.reply import Reply, whole
from addon.protocol.routes import Manifest


class ManifestPulls:
    """Manifests of one upstream."""

    def __init__(self, upstream: Upstream, ahead: Ahead) -> None:
        self._upstream = upstream
        self._source = ManifestSource(upstream)
        self._memory = RememberedManifests(upstream)
        self._ahead = ahead
        self._flights: SingleFlight[Found | WholeAnswer] = SingleFlight()

    async def answer(self, route: Manifest, asked: Asked, reader: Reader, name: str) -> Reply:
        """The manifest under an upstream's name, or what the registry says instead.

        Raises:
            UpstreamFailure: the registry did not answer, and nothing is remembered.
        """
        pull = ManifestRequest.of(route, asked, reader, name)
        if not pull.is_plain or not self._upstream.limits.remember:
            return await self._forward(pull)
        known = self._memory.known(pull)
        if known:
            return self._give(Found(known, known.fields, Source.MEMORY), pull)
        if asked.method == "HEAD":
            return await self._head(pull)
        found = await self._flights.once(pull.key, lambda: self._find(pull))
        if isinstance(found, Found):
            return self._give(found, pull)
        return self._passed(found, pull)

    async def _forward(self, pull: ManifestRequest) -> Reply:
        """What the registry says to this client alone."""
        answer = await self._source.ask(pull, pull.asked.method, as_asked=True)
        is_whole = answer.status == 200 and pull.asked.method == "GET"
        if is_whole and pull.is_by_digest:
            # Once the last byte is sent, no client could be told any more that it was wrong.
            return self._passed((await self._source.read(answer, pull))[0], pull)
        return self._passed(answer, pull)

    async def _find(self, pull: ManifestRequest) -> Found | WholeAnswer:
        remembered = self._memory.last(pull)
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
            return self._memory.stale(*remembered, pull, e)
        finally:
            check.cancel()
        if isinstance(found, WholeAnswer) and found.status in NOT_NOW:
            cause = self._upstream.failure_of(found.status)
            return self._memory.stale(*remembered, pull, cause)
        return found

    async def _check(self, pull: ManifestRequest, kept: Kept) -> Found | None:
        """Whether a manifest is still the one that is asked for; None: another is.

        Raises:
            UpstreamFailure: the registry did not say.
        """
        answer = await self._source.ask(pull, "HEAD")
        await discard(answer)
        if answer.status in NOT_NOW:
            raise self._upstream.failure_of(answer.status)
        if answer.status != 200 or answer.get("Docker-Content-Digest") != kept.digest:
            return None
        self._memory.checked(pull, kept.digest)
        return Found(kept, kept.fields, Source.CHECKED)

    async def _get(self, pull: ManifestRequest) -> Found | WholeAnswer:
        got, kept = await self._source.read(await self._source.ask(pull, "GET"), pull)
        if kept is None:
            return got
        self._memory.put(pull, kept)
        return Found(kept, got.fields, Source.NETWORK)

    async def _head(self, pull: ManifestRequest) -> Reply:
        remembered = self._memory.last(pull)
        try:
            answer = await self._source.ask(pull, "HEAD", as_asked=True)
        except UpstreamFailure as e:
            if remembered is None:
                raise
            return self._give(self._memory.stale(*remembered, pull, e), pull)
        if answer.status in NOT_NOW and remembered:
            answer.body.close()
            cause = self._upstream.failure_of(answer.status)
            return self._give(self._memory.stale(*remembered, pull, cause), pull)
        digest = answer.get("Docker-Content-Digest")
        if answer.status == 200 and digest:
            self._memory.checked(pull, digest)
        return self._passed(answer, pull)

    def _give(self, found: Found, pull: ManifestRequest) -> Reply:
        kept = found.kept
        current().given(found.source, found.age)
        for blob in kept.blobs:
            if blob.is_config:
                self._upstream.configs[blob.digest] = True
        if pull.asked.method == "GET":
            self._look_ahead(kept, pull)
        return pull.reply(self._upstream.learnt.now, kept, found.fields)

    def _passed(self, answer: Answer | WholeAnswer, pull: ManifestRequest) -> Reply:
        refuse_login(self._upstream, answer, pull.asked, pull.name)
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

    def _look_ahead(self, kept: Kept, pull: ManifestRequest) -> None:
        if self._upstream.limits.recheck_time > 0:  # otherwise nothing of it could be given
            self._ahead.look(pull.asked.client, pull.reader, pull.name, kept.blobs)
