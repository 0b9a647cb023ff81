"""What goes upstream for a route, and what comes back as the client's answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from addon.blobs import blob_body, blob_length
from addon.challenges import bearer
from addon.errors import CONTENT_TYPE, failure, format_error
from addon.headers import API_VERSION, Fields, to_client, to_registry, to_token_service
from addon.learning import LearntRegistry
from addon.outbound import Answer, Outbound
from addon.redirects import REDIRECTS, follow
from addon.registry import Registry, authority, same_origin
from addon.reply import Reply, whole
from addon.routes import Blob, Manifest, Ping, RegistryRoute, Token
from addon.scopes import rewrite_scopes

_FORM = "application/x-www-form-urlencoded"


async def no_body() -> bytes:
    """For requests whose body is not read."""
    return b""


@dataclass(frozen=True, slots=True)
class Asked:
    """A client's request in plain values. `body` waits for a form that may still be arriving."""

    method: str
    fields: Fields
    realm: str
    body: Callable[[], Awaitable[bytes]] = field(default=no_body)

    @property
    def has_credentials(self) -> bool:
        """Whether the client says who it is."""
        return any(name.lower() == "authorization" for name, _ in self.fields)

    def get(self, name: str) -> str:
        """A field's first value, empty where there is none."""
        wanted = name.lower()
        return next((v for n, v in self.fields if n.lower() == wanted), "")


class Fetcher:
    """Answers from one upstream registry and its token service."""

    def __init__(self, registry: Registry, outbound: Outbound) -> None:
        self._outbound = outbound
        self._learnt = LearntRegistry(registry, outbound)

    def url_for(self, route: RegistryRoute | Token) -> str:
        """The upstream's address for a route, for whoever looks at a flow."""
        registry = self._learnt.now
        if not isinstance(route, Token):
            return registry.url_for(route)
        service = registry.token_service or registry.url
        query = rewrite_scopes(route.query, registry.official)
        return f"{service}?{query}" if query else service

    def known(self, route: RegistryRoute | Token, asked: Asked) -> Reply | None:
        """The answer where no upstream is needed for it."""
        registry = self._learnt.now
        if isinstance(route, Ping) and not asked.has_credentials and registry.knows_challenge:
            return ping(registry, asked.realm)
        return None

    async def fetch(self, route: RegistryRoute | Token, asked: Asked) -> Reply:
        """The answer to a route.

        Raises:
            Refusal: the form is too large.
            UpstreamFailure: the upstream did not answer, or not as it should.
        """
        match route:
            case Token():
                return await self._token(route, asked)
            case Ping() if not asked.has_credentials:
                return ping(await self._learnt.known(), asked.realm)
            case _:
                return await self._content(route, asked)

    async def _content(self, route: RegistryRoute, asked: Asked) -> Reply:
        registry = self._learnt.now
        url = registry.url_for(route)
        fields = to_registry(asked.fields)
        answer = await follow(self._outbound, registry, asked.method, url, fields)
        reply = _reply(answer, url, registry.service, asked.realm)
        if isinstance(route, Blob) and answer.status in (200, 206):
            return _blob_reply(reply, answer, route.digest)
        digest = answer.get("Docker-Content-Digest")
        if isinstance(route, Manifest) and digest:
            return replace(reply, body=blob_body(answer, digest))
        return reply

    async def _token(self, route: Token, asked: Asked) -> Reply:
        registry = await self._learnt.known()
        if not registry.token_service:
            raise failure(registry.authority, "it asks for no token, so it has no token service")
        url = self.url_for(route)
        fields = to_token_service(asked.fields)
        body = await asked.body()
        if asked.get("content-type").partition(";")[0].strip().lower() == _FORM:
            body = rewrite_scopes(body.decode("latin-1"), registry.official).encode("latin-1")
        answer = await self._outbound.request(
            asked.method,
            url,
            fields,
            body=body if asked.method == "POST" else None,
            # Credentials go where the registry says: the rules for a redirect hold.
            redirected=registry.is_token_service_learnt and not same_origin(url, registry.url),
        )
        if answer.status in REDIRECTS:
            answer.body.close()
            raise failure(authority(url), "the token service redirects, which is not followed")
        return _reply(answer, url, registry.service, asked.realm)


def ping(registry: Registry, realm: str) -> Reply:
    """The answer to `/v2/` without credentials: the challenge, its realm on the mirror."""
    if not registry.token_service:
        return whole(200, b"{}", [("Content-Type", CONTENT_TYPE)])
    challenge = bearer(realm, registry.service).format()
    fields = [("Content-Type", CONTENT_TYPE), ("WWW-Authenticate", challenge)]
    return whole(401, format_error("UNAUTHORIZED", "authentication required"), fields)


def with_api_version(reply: Reply) -> Reply:
    """A reply under `/v2/`, which says that this is a registry."""
    kept = [f for f in reply.fields if f[0].lower() != API_VERSION[0].lower()]
    return replace(reply, fields=[*kept, API_VERSION])


def _blob_reply(reply: Reply, answer: Answer, digest: str) -> Reply:
    """A CDN knows nothing of digests, so the mirror says which blob this is."""
    kept = [f for f in reply.fields if f[0].lower() != "docker-content-digest"]
    fields = [*kept, ("Docker-Content-Digest", digest)]
    length, body = blob_length(answer), blob_body(answer, digest)
    return replace(reply, fields=fields, length=length, body=body)


def _reply(answer: Answer, base: str, service: str, realm: str) -> Reply:
    fields = to_client(answer.fields, base=base, realm=realm, service=service)
    return Reply(answer.status, fields, answer.length, answer.body)
