"""All metrics of the mirror: their names, labels and meaning, in Prometheus' conventions.

Every label has few values, whatever is asked: neither a repository nor an address is one. Where
PROMETHEUS_MULTIPROC_DIR names a folder, prometheus_client keeps the values there, and whichever
process is asked answers for all of them.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from addon.metrics.buried import reading
from addon.outbound.faults import Fault
from addon.outbound.roles import Role

# Seconds: what comes from memory takes one or some thousandths, a large layer minutes.
BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The metrics of one mirror, in a registry of their own."""

    def __init__(self) -> None:
        # A second sample for each counter, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.is_shared = FOLDER in os.environ
        self._own = CollectorRegistry()
        self._of_clients()
        self._of_upstreams()
        self._of_memory()
        self._of_itself()

    def text(self, accept: str) -> tuple[bytes, str]:
        """All values in the format that a scraper accepts, and its media type.

        Of all processes where there are several. It takes some milliseconds, and may be called in
        a thread.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # It names a version that is none.
            encode, content_type = choose_encoder("")
        if not self.is_shared:
            return encode(self._own), content_type
        all_processes = CollectorRegistry()
        MultiProcessCollector(all_processes)  # type: ignore[no-untyped-call]
        with reading(Path(os.environ[FOLDER])):
            return encode(all_processes), content_type

    def leave(self) -> None:
        """This process ends: what there is of it is part of no sum any more, what it counted is."""
        if self.is_shared:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """A number that only grows."""
        return Counter(name, meaning, labels, registry=self._own)

    def gauge(self, name: str, meaning: str, *labels: str, of: str = "sum") -> Gauge:
        """A number as it is now; `of` several processes that live: sum, min, max, mostrecent."""
        mode = f"live{of}"
        return Gauge(name, meaning, labels, registry=self._own, multiprocess_mode=mode)  # type: ignore[arg-type]

    def _seconds(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, registry=self._own, buckets=BUCKETS)

    def _of_clients(self) -> None:
        self.requests = self.counter(
            "docxy_requests",
            "Requests of clients that have ended; upstream: the one that was asked, if any;"
            " source: where the answer came from; status none: no answer.",
            *("route", "upstream", "source", "status"),
        )
        self.broken = self.counter(
            "docxy_broken_answers",
            "Answers that did not reach their end: the client left, or the upstream broke off.",
            "route",
        )
        self.sent_bytes = self.counter(
            "docxy_sent_bytes", "Bytes of bodies that were given to clients.", "route"
        )
        self.pulls = self.counter(
            "docxy_pulls", "Images whose manifest (not an index) was given to a client."
        )
        self.first_byte = self._seconds(
            "docxy_first_byte_seconds", "Time from a request to the head of its answer.", "route"
        )
        self.duration = self._seconds(
            "docxy_request_duration_seconds", "Time from a request to its answer's end.", "route"
        )
        self.resumed = self.counter(
            "docxy_resumed_transfers", "Times that a broken transfer went on where it had ended."
        )
        self.lagged = self.counter(
            "docxy_lagging_pieces", "Pieces that were asked for again because they came too slowly."
        )
        self.clients = self.gauge("docxy_client_connections", "Connections of clients now.")
        self.refused = self.counter(
            "docxy_refused_client_connections", "Connections of clients that were refused."
        )

    def _of_upstreams(self) -> None:
        self.asked = self.counter(
            "docxy_upstream_requests",
            "Requests that the mirror has sent and that have ended; status none: no answer.",
            *("upstream", "purpose", "status"),
        )
        self.received_bytes = self.counter(
            "docxy_upstream_received_bytes", "Bytes of bodies from upstreams.", "upstream"
        )
        self.upstream_first_byte = self._seconds(
            "docxy_upstream_first_byte_seconds",
            "Time from a request that was sent to the head of its answer.",
            "upstream",
        )
        self.opened = self.counter(
            "docxy_upstream_connections_opened", "Connections that were opened.", "upstream"
        )
        self.connections = self.gauge(
            "docxy_upstream_connections", "Connections that are open now.", "upstream"
        )
        self.busy = self.gauge(
            "docxy_upstream_busy_connections",
            "Connections over which an answer is coming now.",
            "upstream",
        )
        self.errors = self.counter(
            "docxy_upstream_errors",
            "Requests that an upstream did not answer as it should, by cause.",
            *("upstream", "cause"),
        )
        for role in Role:
            # Zeros, because a rate begins with the second sample.
            for fault in Fault:
                self.errors.labels(role, fault)
            self.received_bytes.labels(role)
            self.opened.labels(role)
        self.pulls_left = self.gauge(
            "docxy_pull_limit_remaining",
            "Pulls that are left, as the registry said last; counted: by address or by account.",
            "counted",
            of="mostrecent",
        )
        self.pulls_allowed = self.gauge(
            "docxy_pull_limit",
            "Pulls that are allowed, as the registry said last.",
            "counted",
            of="mostrecent",
        )

    def _of_memory(self) -> None:
        self.entries = self.gauge("docxy_memory_entries", "What is remembered.", "kind")
        self.bytes = self.gauge("docxy_memory_bytes", "Bytes that it takes.", "kind")
        self.budget = self.gauge("docxy_memory_limit_bytes", "Bytes that it may take.", "kind")
        self.ahead_images = self.gauge(
            "docxy_look_ahead_images", "Images that are looked ahead for now."
        )
        self.ahead_used = self.counter(
            "docxy_look_ahead_used_bytes", "Bytes asked for ahead that a client came for."
        )
        self.ahead_wasted = self.counter(
            "docxy_look_ahead_wasted_bytes", "Bytes asked for ahead that were dropped unused."
        )

    def _of_itself(self) -> None:
        self.certificate_end = self.gauge(
            "docxy_certificate_not_after_timestamp_seconds",
            "When the certificate in use ends, in seconds since 1970.",
            "certificate",
            of="min",
        )
        self.certificate_left = self.gauge(
            "docxy_certificate_left_seconds",
            "Time until the certificate in use ends, negative afterwards.",
            "certificate",
            of="min",
        )
        self.build = self.gauge(
            "docxy_build_info",
            "1, for the versions in the labels.",
            *("version", "mitmproxy", "python"),
            of="max",
        )
        if not self.is_shared:
            ProcessCollector(registry=self._own)
