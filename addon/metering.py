"""What happens, counted: each request of a client's that has ended, and each that was sent."""

from __future__ import annotations

from collections.abc import Callable

from addon.aheadbytes import AheadBytes
from addon.metrics import Metrics
from addon.registry import Registry, authority
from addon.roles import Role, role_of
from addon.sent import Sent

NONE = "none"


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

    def asked(self, sent: Sent) -> None:
        """A request is about to be sent."""
        self._coming[sent] = 0

    def answered(self, sent: Sent) -> None:
        """Its answer's head is here."""

    def ended(self, sent: Sent) -> None:
        """It is over."""
        role = self._role(sent)
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
            self._count_bytes(sent, self._role(sent))
        used, wasted = self._ahead.settled()
        self._metrics.ahead_used.inc(used)
        self._metrics.ahead_wasted.inc(wasted)

    def _count_bytes(self, sent: Sent, role: Role) -> None:
        more = sent.bytes - self._coming.get(sent, 0)
        if more:
            self._coming[sent] = sent.bytes
            self._metrics.received_bytes.labels(role).inc(more)

    def _role(self, sent: Sent) -> Role:
        registry = self._registry()
        return role_of(authority(sent.url), registry) if registry else Role.REGISTRY
