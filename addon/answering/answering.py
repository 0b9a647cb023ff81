"""A request in plain values → the mirror's answer, at once or once an upstream has given it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from addon.answering import local
from addon.answering.fetching import Fetcher
from addon.flows.story import Source, current
from addon.limits.admission import Admission, Door, check_allowed, client_address
from addon.metrics.readiness import Readiness
from addon.outbound.networks import Address, is_local
from addon.protocol.answers import with_api_version
from addon.protocol.asked import Asked, no_body
from addon.protocol.errors import MirrorError, UpstreamFailure
from addon.protocol.fields import first_of, values_of
from addon.protocol.realm import Entrance, is_host_name, realm
from addon.protocol.reply import Reply, from_error
from addon.protocol.routes import (
    AcmeChallenge,
    Health,
    Ping,
    Ready,
    RegistryRoute,
    Route,
    Token,
    parse_route,
    take_namespace,
)
from addon.settings.options import Settings

logger = logging.getLogger(__name__)

# What is answered over plain HTTP as well where all else is led to TLS.
FOR_MONITORS = frozenset({"/health", "/ready"})


class Certificate(Protocol):
    """What the mirror's certificate is asked."""

    @property
    def present(self) -> bool:
        """Whether there is one."""

    def covers(self, sni: str | None) -> bool:
        """Whether it is valid for a name."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A client's request: what it asks, and the connection that it came over."""

    method: str
    target: str
    fields: Sequence[tuple[str, str]]
    peer: Address
    local_host: str
    local_port: int
    tls: bool = False
    sni: str | None = None
    tls_port: int = 443
    form: Callable[[], Awaitable[bytes]] = field(default=no_body)
    is_replayed: bool = False
    is_own: bool = False
    """Whether it is asked by whoever runs the mirror, from within: `docxy.pull`."""

    def get_all(self, name: str) -> list[str]:
        """All values of a field."""
        return values_of(self.fields, name)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def is_registry(self) -> bool:
        """Whether it is for the registry's API, where every answer says its version."""
        return self.path.startswith("/v2/") or self.path == "/v2"


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer that an upstream must give: its address, and the call that asks for it."""

    url: str
    reply: Callable[[], Awaitable[Reply]]
    holds_secret: bool = False
    is_config: bool = False


class Answering:
    """The mirror's behaviour, for one set of settings."""

    def __init__(
        self,
        settings: Settings,
        certificate: Certificate,
        fetcher: Fetcher,
        readiness: Readiness,
        check: Callable[[Address], None] = lambda client: None,
    ) -> None:
        """`check` is told of each client that asks, and raises `Refusal` for one too many."""
        self._settings = settings
        self._certificate = certificate
        self._fetcher = fetcher
        self._readiness = readiness
        self._check = check

    def answer(self, request: Incoming) -> Reply | Pending:
        """What the request gets. A refusal is a reply."""
        try:
            answer = self._answer(request)
        except MirrorError as e:
            current().failure = str(e)
            answer = from_error(e)
        if isinstance(answer, Reply):
            return _finished(answer, request)
        return replace(answer, reply=_safely(answer.reply, request))

    def client(self, request: Incoming) -> Address:
        """The client's own address, behind whatever proxy that is trusted."""
        forwarded = request.get_all("x-forwarded-for")
        return client_address(request.peer, forwarded, self._settings.behind_proxy)

    def _answer(self, request: Incoming) -> Reply | Pending:
        webroot = self._settings.acme_webroot
        if webroot and request.target.startswith("/.well-known/acme-challenge/"):
            # For everyone: the authority asks before there is a certificate.
            return self._local(_route_of(request))
        if request.path == "/health" and request.peer.is_loopback:
            # Behind a proxy too: a container's check and a service manager's ask from here.
            return self._local(_route_of(request))
        admission = self._admit(request)
        if request.path != "/health":
            self._check_client(request)
        if admission is Admission.REDIRECT and request.path not in FOR_MONITORS:
            base_url = self._https_base(request)
            return local.redirect_to_https(request.method, base_url, request.target)
        route = _route_of(request)
        if isinstance(route, Health | AcmeChallenge):
            return self._local(route)
        if isinstance(route, Ready):
            return self._ready(request)
        return self._upstream(route, request)

    def _admit(self, request: Incoming) -> Admission:
        if request.is_replayed or request.is_own:
            # By whoever runs the mirror, whoever it was that asked once, and in what way.
            return Admission.MIRROR
        door = Door(self._certificate.present, self._settings.behind_proxy)
        return door.admit(request.peer, tls=request.tls)

    def _check_client(self, request: Incoming) -> None:
        if request.is_replayed or request.is_own:
            return
        client = self.client(request)
        check_allowed(client, self._settings.allowed)
        self._check(client)

    def _local(self, route: Route) -> Reply:
        if isinstance(route, AcmeChallenge):
            return local.acme_challenge(self._settings.acme_webroot, route.token)
        return local.health()

    def _ready(self, request: Incoming) -> Reply | Pending:
        if not is_local(self.client(request)):
            # A stranger must not make the mirror ask, nor learn whom it asks.
            return local.readiness(self._readiness.known(), with_reasons=False)

        async def look() -> Reply:
            report = await self._readiness.look()
            current().given(Source.MIRROR)
            current().failure = report.trouble
            return local.readiness(report, with_reasons=True)

        return Pending(self._fetcher.url_for(Ping()), look)

    def _upstream(self, route: RegistryRoute | Token, request: Incoming) -> Reply | Pending:
        if not isinstance(route, Token | Ping):
            query, namespaces = take_namespace(route.query)
            for namespace in namespaces:
                self._settings.registry.check_namespace(namespace)
            route = replace(route, query=query)
        client = str(self.client(request))
        asked = Asked(
            request.method,
            request.fields,
            self._realm(request),
            client,
            request.form,
            request.is_replayed,
        )
        known = self._fetcher.known(route, asked)
        if known:
            return known
        return Pending(
            self._fetcher.url_for(route),
            lambda: self._fetcher.fetch(route, asked),
            holds_secret=isinstance(route, Token),
            is_config=self._fetcher.is_config(route),
        )

    def _realm(self, request: Incoming) -> str:
        return realm(self._settings.public_url, self._entrance(request))

    def _entrance(self, request: Incoming) -> Entrance:
        name = self._own_name(request.sni or "")
        return Entrance(request.local_host, request.local_port, request.tls, name)

    def _https_base(self, request: Incoming) -> str:
        if self._settings.public_url.startswith("https://"):
            return self._settings.public_url
        name = self._own_name((first_of(request.fields, "host") or "").partition(":")[0].lower())
        return Entrance(request.local_host, request.tls_port, tls=True, server_name=name).base_url

    def _own_name(self, name: str) -> str:
        """A name that the certificate has is ours, whoever said it; empty for any other."""
        return name if is_host_name(name) and self._certificate.covers(name) else ""


def _route_of(request: Incoming) -> Route:
    route = current().route = parse_route(request.method, request.target)
    return route


def _finished(reply: Reply, request: Incoming) -> Reply:
    return with_api_version(reply) if request.is_registry else reply


def _safely(
    fetch: Callable[[], Awaitable[Reply]], request: Incoming
) -> Callable[[], Awaitable[Reply]]:
    """The same call, which never raises: what fails is an answer too."""

    async def reply() -> Reply:
        try:
            return _finished(await fetch(), request)
        except UpstreamFailure as e:
            logger.warning("%s", e)
            current().failure = str(e)
            return _finished(from_error(e), request)
        except MirrorError as e:
            current().failure = str(e)
            return _finished(from_error(e), request)
        except Exception:
            logger.exception("a request could not be answered")
            return _finished(internal_error(), request)

    return reply


def internal_error() -> Reply:
    """The answer where the mirror itself failed; its log says why."""
    return from_error(MirrorError(500, "UNKNOWN", "the mirror failed; its log says why"))
