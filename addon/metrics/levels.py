"""How much there is of everything now, read when somebody looks: it costs a request nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import Counter, Gauge, ProcessCollector
from prometheus_client.metrics_core import Metric

from addon.answering.fetching import Fetcher
from addon.memory.inventory import stocks
from addon.memory.upstream import Upstream
from addon.metrics.metrics import Metrics
from addon.outbound.roles import Role, role_of
from addon.protocol.pulllimits import PullLimit
from addon.protocol.registry import Registry


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where it is read: what answers now, and when the certificate ends; None where there is none.

    `clients` counts the connections of clients.
    """

    fetcher: Callable[[], Fetcher | None]
    not_after: Callable[[], datetime | None]
    clients: Callable[[], int]
    now: Callable[[], datetime] = utc_now


class Levels:
    """Sets the gauges."""

    def __init__(self, metrics: Metrics, sources: Sources) -> None:
        self._metrics = metrics
        self._sources = sources
        self._heard: dict[str, PullLimit] = {}
        # One process answers for all, and prometheus_client's own collector knows only itself.
        self._process = _Process(metrics) if metrics.is_shared else None

    def read(self) -> None:
        """Read all of it."""
        self._metrics.clients.set(self._sources.clients())
        self._read_certificate()
        fetcher = self._sources.fetcher()
        if fetcher:
            self._metrics.ahead_images.set(fetcher.images_ahead)
            self._read_memory(fetcher)
            self._read_connections(fetcher.upstream)
            self._read_limits(fetcher.upstream)
        if self._process:
            self._process.read()

    def _read_certificate(self) -> None:
        ends = self._sources.not_after()
        if ends:
            left = (ends - self._sources.now()).total_seconds()
            self._metrics.certificate_end.labels("server").set(ends.timestamp())
            self._metrics.certificate_left.labels("server").set(left)

    def _read_memory(self, fetcher: Fetcher) -> None:
        for stock in stocks(fetcher.upstream, fetcher.images_ahead):
            kind = stock.what.replace(" ", "_")
            if kind not in KINDS:
                continue
            self._metrics.entries.labels(kind).set(stock.count)
            if stock.held is not None:
                self._metrics.bytes.labels(kind).set(stock.held)
            if stock.budget is not None:
                self._metrics.budget.labels(kind).set(stock.budget)

    def _read_connections(self, upstream: Upstream) -> None:
        registry: Registry = upstream.learnt.now
        connections, busy = dict.fromkeys(Role, 0), dict.fromkeys(Role, 0)
        for name, host in upstream.outbound.hosts.known():
            role = role_of(name, registry)
            connections[role] += host.connections
            busy[role] += host.busy
        for role in Role:
            self._metrics.connections.labels(role).set(connections[role])
            self._metrics.busy.labels(role).set(busy[role])

    def _read_limits(self, upstream: Upstream) -> None:
        # The newest last, so that it stays.
        for limit in reversed(upstream.pull_limits.heard):
            counted = "address" if limit.is_of_an_address else "account"
            before = self._heard.get(counted)
            if limit.left is None or (before and limit.heard <= before.heard):
                # Of several processes the one counts that has heard it last.
                continue
            self._heard[counted] = limit
            self._metrics.pulls_left.labels(counted).set(limit.left)
            if limit.allowed is not None:
                self._metrics.pulls_allowed.labels(counted).set(limit.allowed)


KINDS = frozenset({"manifests", "tags", "small_blobs", "tokens", "redirects"})


class _Process:
    """What prometheus_client tells of a process, summed up over several."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._collector = ProcessCollector(registry=None)
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, tuple[Counter, float]] = {}

    def read(self) -> None:
        """Read it anew."""
        for family in self._collector.collect():
            value = family.samples[0].value
            if family.type == "counter":
                self._grow(family, value)
            else:
                self._gauge(family).set(value)

    def _gauge(self, family: Metric) -> Gauge:
        if family.name not in self._gauges:
            # Of several starts the first.
            of = "min" if family.name == "process_start_time_seconds" else "sum"
            made = self._metrics.gauge(family.name, family.documentation, of=of)
            self._gauges[family.name] = made
        return self._gauges[family.name]

    def _grow(self, family: Metric, value: float) -> None:
        counter, before = self._counters.get(family.name) or (
            self._metrics.counter(family.name, family.documentation),
            0.0,
        )
        counter.inc(value - before)
        self._counters[family.name] = (counter, value)
