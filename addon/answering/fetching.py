"""What an upstream is asked for a route, and what comes back as the client's answer."""

from __future__ import annotations

from addon.ahead.lookahead import AheadLimits
from addon.ahead.upkeep import Upkeep
from addon.answering.pullblob import BlobPulls
from addon.answering.pullmanifest import ManifestPulls
from addon.answering.readers import reader_of, refuse_login
from addon.blob.redirects import REDIRECTS, follow
from addon.flows.story import Source, current, meant_as
from addon.memory.sharing import Reader
from addon.memory.tokens import NoToken, Scopes, anonymous_scopes
from addon.memory.upstream import Upstream
from addon.protocol.answers import ping, reply_of, welcome
from addon.protocol.asked import Asked
from addon.protocol.descriptors import IMAGE_TYPES
from addon.protocol.errors import CONTENT_TYPE, failure
from addon.protocol.fields import first_of
from addon.protocol.headers import to_client, to_registry, to_token_service
from addon.protocol.names import with_official
from addon.protocol.registry import authority, same_origin
from addon.protocol.reply import Reply, whole
from addon.protocol.routes import Blob, Manifest, Ping, Referrers, RegistryRoute, Tags, Token
from addon.protocol.scopes import rewrite_scopes

_FORM = "application/x-www-form-urlencoded"


class Fetcher:
    """Answers from one upstream registry and its token service."""

    def __init__(self, upstream: Upstream, ahead: AheadLimits) -> None:
        self._upstream = upstream
        self._blobs = BlobPulls(upstream, ahead)
        self._manifests = ManifestPulls(upstream, self._blobs.ahead)
        self._upkeep = Upkeep(upstream.keep_up)

    @property
    def upstream(self) -> Upstream:
        """The upstream with what is remembered of it."""
        return self._upstream

    @property
    def images_ahead(self) -> int:
        """Images whose blobs are looked ahead for now."""
        return len(self._blobs.ahead)

    def url_for(self, route: RegistryRoute | Token) -> str:
        """The upstream's address for a route, for whoever looks at a flow."""
        registry = self._upstream.learnt.now
        if not isinstance(route, Token):
            return registry.url_for(route)
        service = registry.token_service or registry.url
        query = rewrite_scopes(route.query, registry.official)
        return f"{service}?{query}" if query else service

    def is_config(self, route: RegistryRoute | Token) -> bool:
        """Whether a route asks for an image's config, as far as its manifest has passed by."""
        return isinstance(route, Blob) and route.digest in self._upstream.configs

    def known(self, route: RegistryRoute | Token, asked: Asked) -> Reply | None:
        """The answer where no upstream is needed for it."""
        self._upstream.used()
        current().route = route
        if not isinstance(route, Ping) or asked.authorization:
            return None
        if not self._upstream.limits.challenges_clients:
            return welcome()
        registry = self._upstream.learnt.now
        return ping(registry, asked.realm) if registry.knows_challenge else None

    async def fetch(self, route: RegistryRoute | Token, asked: Asked) -> Reply:
        """The answer to a route.

        Raises:
            Refusal: the form is too large, or the image is not for everyone.
            UpstreamFailure: the upstream did not answer, or not as it should.
        """
        self._upkeep.begin()
        current().route = route
        match route:
            case Token():
                return await self._token(route, asked)
            case Ping():
                return await self._ping(route, asked)
            case Manifest() | Blob() | Tags() | Referrers():
                return await self._content(route, asked)

    def retire(self) -> None:
        """Nobody new will ask: nothing more is kept up or begun ahead."""
        self._upkeep.close()
        self._blobs.ahead.close()
        # At once: the rest is small, and waits for the collector.
        self._upstream.small_blobs.forget()

    def close(self) -> None:
        """End what runs for nobody."""
        self.retire()
        self._upstream.small_blobs.close()

    async def _ping(self, route: Ping, asked: Asked) -> Reply:
        registry = await self._upstream.learnt.known()
        if not asked.authorization:
            return ping(registry, asked.realm)
        return await self._forward(route, asked, [])

    async def _content(self, route: Manifest | Blob | Tags | Referrers, asked: Asked) -> Reply:
        registry = self._upstream.learnt.now
        name = current().name = with_official(route.repository, registry.official)
        reader = await reader_of(self._upstream, asked, name)
        if isinstance(reader, Reply):
            story = current()
            if not (story.requests or story.joined):
                story.given(Source.MIRROR)
            return reader
        if reader.authorization != asked.authorization:
            # The client's own has ended: an upstream is shown the mirror's, or nothing.
            asked = asked.without_authorization()
        match route:
            case Manifest():
                reply = await self._manifests.answer(route, asked, reader, name)
                kind = first_of(reply.fields, "content-type") or ""
                current().gives_image = reply.status == 200 and kind in IMAGE_TYPES
                return reply
            case Blob():
                return await self._blobs.answer(route, asked, reader, name)
            case Tags() | Referrers():
                return await self._list(route, asked, reader, name)

    async def _list(
        self, route: Tags | Referrers, asked: Asked, reader: Reader, name: str
    ) -> Reply:
        reply = await self._forward(route, asked, reader.fields)
        self._upstream.hear(reader, name, reply.status)
        refuse_login(self._upstream, reply, asked, name)
        return reply

    async def _forward(
        self, route: RegistryRoute, asked: Asked, own: list[tuple[str, str]]
    ) -> Reply:
        registry = self._upstream.learnt.now
        url = registry.url_for(route)
        fields = to_registry(asked.fields)
        if not asked.authorization:
            fields += own
        with meant_as("ping" if isinstance(route, Ping) else "list"):
            followed = await follow(self._upstream.outbound, registry, asked.method, url, fields)
        return reply_of(followed.answer, url, registry, asked.realm)

    async def _token(self, route: Token, asked: Asked) -> Reply:
        registry = await self._upstream.learnt.known()
        if not registry.token_service:
            raise failure(registry.authority, "it asks for no token, so it has no token service")
        query = current().name = rewrite_scopes(route.query, registry.official)
        scopes = anonymous_scopes(query, registry.service)
        is_anonymous = asked.method == "GET" and not asked.authorization and scopes is not None
        if is_anonymous and scopes is not None and self._upstream.limits.remember:
            return await self._shared_token(scopes, asked, f"{registry.token_service}?{query}")
        return await self._own_token(route, asked)

    async def _shared_token(self, scopes: Scopes, asked: Asked, url: str) -> Reply:
        """A token for everyone; where there is none, what the token service says."""
        try:
            answer = await self._upstream.tokens.give(scopes)
        except NoToken as e:
            service = self._upstream.learnt.now.service
            fields = to_client(e.reply.fields, base=url, realm=asked.realm, service=service)
            return whole(e.reply.status, e.reply.content, fields)
        return whole(200, answer, [("Content-Type", CONTENT_TYPE)])

    async def _own_token(self, route: Token, asked: Asked) -> Reply:
        """What carries credentials is passed through, and nothing of it is kept."""
        registry = self._upstream.learnt.now
        url = self.url_for(route)
        body = await asked.body()
        if asked.get("content-type").partition(";")[0].strip().lower() == _FORM:
            body = rewrite_scopes(body.decode("latin-1"), registry.official).encode("latin-1")
        with meant_as("token"):
            answer = await self._upstream.outbound.request(
                asked.method,
                url,
                to_token_service(asked.fields),
                body=body if asked.method == "POST" else None,
                # Credentials go where the registry says: the rules for a redirect hold.
                redirected=registry.is_token_service_learnt and not same_origin(url, registry.url),
            )
        if answer.status in REDIRECTS:
            answer.body.close()
            raise failure(authority(url), "the token service redirects, which is not followed")
        return reply_of(answer, url, registry, asked.realm)
