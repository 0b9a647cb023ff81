"""What happens, counted: each request of a client's that has ended, and each that was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from addon.flows.account import Account
from addon.flows.story import Source, Story
from addon.metrics.aheadbytes import AheadBytes
from addon.metrics.metrics import Metrics
from addon.outbound.roles import Role, role_of
from addon.outbound.sent import Sent
from addon.protocol.registry import Registry
from addon.protocol.routes import (
    AcmeChallenge,
    Blob,
    Health,
    Manifest,
    Ping,
    Ready,
    Referrers,
    Route,
    Tags,
    Token,
)

NONE = "none"
# What is malformed, or nothing that is served.
OTHER = "other"

ROUTES: Mapping[type[Route], str] = {
    AcmeChallenge: "acme_challenge",
    Blob: "blob",
    Health: "health",
    Manifest: "manifest",
    Ping: "ping",
    Ready: "ready",
    Referrers: "referrers",
    Tags: "tags",
    Token: "token",
}
SOURCES: Mapping[Source, str] = {
    Source.MIRROR: "mirror",
    Source.MEMORY: "memory",
    Source.CHECKED: "memory_checked",
    Source.STALE: "stale",
    Source.AHEAD: "ahead",
    Source.NETWORK: "network",
}


class Metering:
    """Watches what is sent, and hears what became of clients' requests.

    `registry` tells whom the mirror asks, None before it is known.
    """

    def __init__(self, metrics: Metrics, registry: Callable[[], Registry | None]) -> None:
        self._metrics = metrics
        self._registry = registry
        self._ahead = AheadBytes()
        # What is on its way, and the bytes of it that are counted already.
        self._coming: dict[Sent, int] = {}
        for route in (*ROUTES.values(), OTHER):
            metrics.broken.labels(route)  # zero, because a rate begins with the second sample

    def finished(self, account: Account) -> None:
        """A client's request has ended."""
        story, metrics = account.story, self._metrics
        route = ROUTES[type(story.route)] if story.route else OTHER
        status = str(account.status) if account.status else NONE
        source = SOURCES[story.came_from]
        metrics.requests.labels(route, self._asked_of(story), source, status).inc()
        metrics.sent_bytes.labels(route).inc(account.size)
        metrics.duration.labels(route).observe(account.seconds)
        if account.status:
            head = story.head or account.ended
            metrics.first_byte.labels(route).observe(head - account.started)
        if account.broken:
            metrics.broken.labels(route).inc()
        if story.gives_image and account.method == "GET" and not account.broken:
            metrics.pulls.inc()
        self._count_repairs(story)

    def asked(self, sent: Sent) -> None:
        """A request is about to be sent."""
        self._coming[sent] = 0

    def answered(self, sent: Sent) -> None:
        """Its answer's head is here."""

    def ended(self, sent: Sent) -> None:
        """It is over."""
        role = self._role(sent.name)
        metrics = self._metrics
        self._count_bytes(sent, role)
        self._coming.pop(sent, None)
        status = str(sent.status) if sent.status else NONE
        metrics.asked.labels(role, sent.purpose.replace(" ", "_"), status).inc()
        if sent.opened:
            metrics.opened.labels(role).inc()
        if sent.head:
            metrics.upstream_first_byte.labels(role).observe(sent.head - sent.gone)
        if sent.fault:
            metrics.errors.labels(role, sent.fault).inc()
        self._ahead.ended(sent)

    def settle(self) -> None:
        """Count what has come since the last time of what is still on its way."""
        for sent in self._coming:
            self._count_bytes(sent, self._role(sent.name))
        used, wasted = self._ahead.settled()
        self._metrics.ahead_used.inc(used)
        self._metrics.ahead_wasted.inc(wasted)

    def _count_bytes(self, sent: Sent, role: Role) -> None:
        more = sent.bytes - self._coming.get(sent, 0)
        if more:
            self._coming[sent] = sent.bytes
            self._metrics.received_bytes.labels(role).inc(more)

    def _count_repairs(self, story: Story) -> None:
        for each in (story, story.ahead):
            if each and each.resumed:
                self._metrics.resumed.inc(each.resumed)
            if each and each.lagged:
                self._metrics.lagged.inc(each.lagged)

    def _asked_of(self, story: Story) -> str:
        """Whom the mirror has asked last for it, be it ahead."""
        host = story.upstream or (story.ahead.upstream if story.ahead else "")
        return self._role(host) if host else NONE

    def _role(self, host: str) -> Role:
        registry = self._registry()
        return role_of(host, registry) if registry else Role.REGISTRY
