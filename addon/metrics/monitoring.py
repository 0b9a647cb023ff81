"""Metrics and readiness for whoever runs the mirror, on a port of their own."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from importlib.metadata import version
from platform import python_version

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.connection import Client

from addon import __version__
from addon.answering.fetching import Fetcher
from addon.flows.account import Account
from addon.memory.singleflight import SingleFlight
from addon.metrics.levels import Levels, Sources
from addon.metrics.metering import Metering
from addon.metrics.metrics import Metrics
from addon.metrics.monitorport import USUAL, MonitorPort, Page, parse_listener
from addon.metrics.readiness import Readiness, Way
from addon.outbound.sent import Watches
from addon.protocol.errors import CONTENT_TYPE
from addon.protocol.registry import Registry
from addon.settings.option import Option, declare
from addon.start.listeners import Listener, explain
from addon.startup import authority, is_unsaid
from addon.tls.tls import Certificates
from addon.workers.worker import Worker, parse_worker

logger = logging.getLogger(__name__)

OPTION = Option(
    "docxy_metrics",
    str,
    USUAL,
    "ADDRESS:PORT of /metrics (Prometheus) and /ready, beside the mirror's own ports. Empty: none.",
)

# Seconds after which a process tells the others how much there is of everything.
TELL_SECONDS = 5.0


class Monitoring:
    """The addon: `fetcher` gives what answers now."""

    def __init__(self, fetcher: Callable[[], Fetcher | None], certificates: Certificates) -> None:
        self._fetcher = fetcher
        self._clients: set[str] = set()
        self._listener: Listener | None = None
        self._is_running = False
        self._serves = False
        self._telling: asyncio.Task[None] | None = None
        self._scrapes: SingleFlight[Page] = SingleFlight()
        self._metrics = Metrics()
        self._metering = Metering(self._metrics, self._registry)
        self.readiness = Readiness(self._way, certificates)
        self.watches = Watches(self.readiness)
        sources = Sources(fetcher, lambda: certificates.not_after, lambda: len(self._clients))
        self._levels = Levels(self._metrics, sources)
        self._port = MonitorPort({"/metrics": self._give_metrics, "/ready": self._give_readiness})

    def load(self, loader: Loader) -> None:
        """Declare the option."""
        declare(loader, [OPTION])

    def configure(self, updated: set[str]) -> None:
        """Check the option; where is listened is decided at the start."""
        if OPTION.name not in updated:
            return
        if self._is_running:
            raise exceptions.OptionsError(f"{OPTION.name} cannot be changed while the mirror runs")  # type: ignore[no-untyped-call]
        try:
            self._listener = parse_listener(ctx.options.docxy_metrics, OPTION.name)
        except ValueError as e:
            logger.error("%s", e)  # it ends the start

    async def running(self) -> None:
        """Serve the port; one that is taken ends the start, if somebody has asked for it."""
        self._is_running = True
        if self._listener is None or not ctx.options.server:
            return
        worker = parse_worker(os.environ)
        try:
            place = await self._listen(self._listener, worker)
        except OSError as e:
            is_asked_for = not is_unsaid(OPTION.name)
            level = logging.ERROR if is_asked_for else logging.WARNING
            logger.log(level, "No metrics: %s", explain(self._listener, e))
            return
        if place is None:
            return
        if worker is None or worker.speaks:
            logger.info("Metrics: http://%s/metrics", authority(*place))
        self._metrics.build.labels(__version__, version("mitmproxy"), python_version()).set(1)
        self._serves = True
        self.watches.all = (self._metering, self.readiness)
        if self._metrics.is_shared:
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    def done(self) -> None:
        """Serve no more."""
        self._port.close()
        if self._telling:
            self._telling.cancel()
        self._metrics.leave()

    def finished(self, account: Account) -> None:
        """Count a client's request that has ended."""
        if self._serves:
            self._metering.finished(account)

    def client_connected(self, client: Client) -> None:
        """Count a client's connection, unless somebody has refused it."""
        if client.error:
            self._metrics.refused.inc()
        else:
            self._clients.add(client.id)

    def client_disconnected(self, client: Client) -> None:
        """It has ended."""
        self._clients.discard(client.id)

    async def _listen(self, listener: Listener, worker: Worker | None) -> tuple[str, int] | None:
        """Where it is: of a worker's, on what its supervisor has opened, if it has."""
        if worker is None:
            return await self._port.listen(listener, is_shared=self._metrics.is_shared)
        given = worker.listeners.get((listener.host, listener.port))
        return await self._port.take(given) if given else None

    async def _tell(self) -> None:
        """Let the other processes know: whoever is asked answers for all."""
        while True:
            self._read()
            await asyncio.sleep(TELL_SECONDS)

    def _read(self) -> None:
        self._levels.read()
        self._metering.settle()

    async def _give_metrics(self, accept: str) -> Page:
        # The text in a thread, and once for all who ask for it now: it takes some milliseconds.
        self._read()
        return await self._scrapes.once(accept, lambda: asyncio.to_thread(self._page, accept))

    def _page(self, accept: str) -> Page:
        return Page(*self._metrics.text(accept))

    async def _give_readiness(self, _accept: str) -> Page:
        report = await self.readiness.look()
        content = report.json(with_reasons=True)
        return Page(content, CONTENT_TYPE, 200 if report.is_ready else 503)

    def _registry(self) -> Registry | None:
        fetcher = self._fetcher()
        return fetcher.upstream.learnt.now if fetcher else None

    def _way(self) -> Way | None:
        fetcher = self._fetcher()
        return Way(fetcher.upstream.learnt.now, fetcher.upstream.outbound) if fetcher else None
