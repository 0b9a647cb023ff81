"""From options to a mirror that answers: declared, checked, put together, said."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from mitmproxy import ctx, exceptions, optmanager
from mitmproxy.addonmanager import Loader
from mitmproxy.log import ALERT

from addon import __version__
from addon.ahead.warming import Warming
from addon.answering.answering import Answering
from addon.answering.fetching import Fetcher
from addon.hooks import Flows
from addon.inspection.ownflows import OwnFlows
from addon.limits.doorkeeper import Doorkeeper
from addon.memory.upstream import Upstream
from addon.metrics.readiness import Readiness
from addon.mitm.wire import end_clients
from addon.outbound.networks import is_loopback
from addon.outbound.outbound import Outbound
from addon.outbound.sent import Watch, Watches
from addon.protocol.realm import Entrance
from addon.redaction.loglines import PAGE, LogLines
from addon.settings import defaults
from addon.settings.option import declare
from addon.settings.options import OPTIONS, Settings, parse_settings
from addon.settings.wayout import OutboundSettings
from addon.tls.tls import Certificates
from addon.workers.worker import parse_worker, shared

logger = logging.getLogger(__name__)

# mitmproxy says several lines for each connection; the mirror says one for each request.
_CHATTER = ("mitmproxy.proxy", "mitmproxy.addons.clientplayback")
# mitmweb's line with its address would stand far above the mirror's.
_PAGE = "mitmproxy.tools.web.master"

_MITMPROXYS = frozenset(
    {
        "mode",
        "server",
        "ssl_insecure",
        "ssl_verify_upstream_trusted_ca",
        "ssl_verify_upstream_trusted_confdir",
    }
)
_READ = frozenset({option.name for option in OPTIONS} | _MITMPROXYS)


class Startup:
    """Reads the options and gives `flows` what answers by them."""

    def __init__(
        self,
        flows: Flows,
        certificates: Certificates,
        own_flows: OwnFlows,
        doorkeeper: Doorkeeper,
        watch: Watch,
        readiness: Readiness,
    ) -> None:
        self._flows = flows
        self._doorkeeper = doorkeeper
        self._watch = watch
        self._all_watches = Watches(own_flows, watch)
        self._readiness = readiness
        self._certificates = certificates
        self._lines = LogLines()
        self._settings: Settings | None = None
        # The pools for the settings before may still carry transfers: they end with the mirror.
        self._outbounds: dict[OutboundSettings, Outbound] = {}
        self._fetcher: Fetcher | None = None
        # Those for the settings before, as long as somebody is answered by them.
        self._retired: WeakSet[Fetcher] = WeakSet()
        self._warming: Warming | None = None
        self._errors: list[str] = []
        self._set: dict[str, object] = {}
        self._is_running = False

    @property
    def fetcher(self) -> Fetcher | None:
        """What answers by the options as they are now; None before they were read."""
        return self._fetcher

    def load(self, loader: Loader) -> None:
        """Declare the options."""
        declare(loader, OPTIONS)
        self._flows.inner.install()
        self._lines.install()
        if is_unsaid("termlog_verbosity"):
            for name in _CHATTER:
                # Not above: what mitmproxy answers a command with is an alert.
                logging.getLogger(name).setLevel(ALERT)
        if page_address():
            logging.getLogger(_PAGE).setLevel(logging.WARNING)

    def configure(self, updated: set[str]) -> None:
        """Check the options and answer by them from the next request on."""
        try:
            defaults.check_refused(_is_default)
            if not self._is_running:
                self._set |= _set_defaults()
            if self._settings is None or not _READ.isdisjoint(updated):
                self._apply(parse_settings(_values()))
        except ValueError as e:
            if self._is_running:
                raise exceptions.OptionsError(str(e)) from e  # type: ignore[no-untyped-call]
            # mitmproxy ends a start that logged an error; raised from a script's `configure`, it
            # would be shown with a traceback. Each option set on the way configures anew.
            if str(e) not in self._errors:
                self._errors.append(str(e))
                logger.error("%s", e)

    async def running(self) -> None:
        """Say where the mirror is, or end the start because of an option that nobody has."""
        self._is_running = True
        if self._warming and ctx.options.server:
            self._warming.start()
        unknown = [n for n in ctx.options.deferred if not defaults.is_of_another_program(n)]
        for name in unknown:
            logger.error("%s is not an option of mitmproxy or the mirror", name)
        worker = parse_worker(os.environ)
        if self._settings and not unknown and (worker is None or worker.speaks):
            # Only now: it would be noise around an error that ends the start.
            if self._set:
                logger.info("Set for a mirror: %s", _shown(self._set))
            for line in announcement(self._settings, self._certificates, listen_addresses()):
                logger.info("%s", line)
            if page_address():
                logging.getLogger(PAGE).info("Look inside: %s", page_address())

    async def done(self) -> None:
        """End all connections."""
        await end_clients()
        self._flows.inner.uninstall()
        for name in (*_CHATTER, _PAGE):
            logging.getLogger(name).setLevel(logging.NOTSET)
        if self._warming:
            self._warming.close()
        for fetcher in (*self._retired, *([self._fetcher] if self._fetcher else ())):
            fetcher.close()
        for outbound in self._outbounds.values():
            await outbound.close()
        self._lines.uninstall()

    def _apply(self, settings: Settings) -> None:
        outbound = self._outbounds.get(settings.outbound)
        if outbound is None:
            outbound = self._outbounds[settings.outbound] = Outbound(settings.outbound)
        for each in self._outbounds.values():
            each.watch = self._all_watches if settings.own_flows else self._watch
        self._settings = settings
        self._flows.shows_secrets = self._lines.shows_secrets = settings.show_secrets
        bounds = settings.bounds
        upstream = Upstream(settings.registry, outbound, bounds.memory, bounds.blobs)
        self._warm(upstream, settings)
        if self._fetcher:
            # What it remembers goes with the last request that it answers.
            self._fetcher.retire()
            self._retired.add(self._fetcher)
        self._fetcher = fetcher = Fetcher(upstream, bounds.ahead)
        self._doorkeeper.apply(settings.client_limits, settings.behind_proxy)
        self._flows.answering = Answering(
            settings, self._certificates, fetcher, self._readiness, self._doorkeeper.check
        )

    def _warm(self, upstream: Upstream, settings: Settings) -> None:
        if self._warming:
            self._warming.close()
        self._warming = Warming(upstream.learnt, upstream.outbound, settings.warming)
        upstream.used = self._warming.used
        if self._is_running:
            self._warming.start()


class Deferred:
    """The last addon to load: takes what the user set for options that were declared just now.

    mitmproxy does so itself right after, but a value of the wrong type then drops the whole script
    and serves on as a bare proxy; here it ends the start with one line.
    """

    def load(self, _loader: Loader) -> None:
        """Set the options that wait, one by one."""
        deferred = ctx.options.deferred
        waiting = dict(deferred)
        deferred.clear()
        for name, value in waiting.items():
            deferred[name] = value
            try:
                ctx.options.process_deferred()
            except (exceptions.OptionsError, TypeError) as e:
                # The latter for what config.yaml says.
                del deferred[name]
                # mitmproxy 11 does not name it.
                logger.error("%s", e if name in str(e) else f"{name}: {e}")


def announcement(
    settings: Settings, certificates: Certificates, listening: Sequence[tuple[str, int]]
) -> list[str]:
    """What a user must know once the mirror listens: where, and what Docker is told."""
    if not listening:
        return []
    host, port = listening[0]
    tls = certificates.present
    names = [name for name in certificates.names if not name.startswith("*")]
    if names:
        host = names[0]  # clients can verify no other
    elif host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = local_address()
    url = settings.public_url or Entrance(host, port, tls).base_url
    where = ", ".join(authority(*each) for each in listening)
    return [
        f"Docxy {__version__} mirrors {settings.registry.authority} at {url} (listening: {where})",
        *_for_docker(url, settings),
    ]


def _for_docker(url: str, settings: Settings) -> Iterator[str]:
    parts = urlsplit(url)
    place = parts.netloc
    insecure = parts.scheme == "http" and not is_loopback(parts.hostname or "")
    config: dict[str, list[str]] = {"insecure-registries": [place]} if insecure else {}
    # Docker takes a mirror of Docker Hub alone; no other registry has official images.
    if settings.registry.official:
        config = {"registry-mirrors": [url], **config}
    if config:
        yield f"Docker: put {json.dumps(config)} into /etc/docker/daemon.json and restart it"
    if not settings.registry.official:
        yield f"Docker: name the mirror, docker pull {place}/OWNER/IMAGE"


def authority(address: str, port: int) -> str:
    """An address and its port (RFC 3986, section 3.2.2: IPv6 goes in brackets)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def local_address() -> str:
    """This machine's address towards the Internet, as its clients on the LAN may know it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it only chooses a route
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def page_address() -> str:
    """The address of mitmweb's page with its token; nothing where there is neither."""
    return str(getattr(ctx.master, "web_url", ""))


def listen_addresses() -> list[tuple[str, int]]:
    """The addresses that the mirror listens on, the first mode's first; none without a server."""
    proxyserver = ctx.master.addons.get("proxyserver")  # type: ignore[no-untyped-call]
    addresses = proxyserver.listen_addrs() if proxyserver else []
    return list(dict.fromkeys((str(a[0]), int(a[1])) for a in addresses))


def is_unsaid(name: str) -> bool:
    """Whether nobody has set an option, be it to the value that it has by default."""
    return name not in ctx.options or ctx.options._options[name].value is optmanager.unset


def _is_default(name: str) -> bool:
    return name not in ctx.options or not ctx.options.has_changed(name)  # type: ignore[no-untyped-call]


def _values() -> Mapping[str, Any]:
    values = {name: getattr(ctx.options, name) for name in _READ}
    return shared(values, parse_worker(os.environ))


def _set_defaults() -> dict[str, object]:
    # mitmweb and the console lack some of mitmdump's.
    values = {name: getattr(ctx.options, name) for name in defaults.NEEDED if name in ctx.options}
    changed = defaults.missing(values, is_unsaid, listens=ctx.options.server)
    if changed:
        ctx.options.update(**changed)  # type: ignore[no-untyped-call]
    return changed


def _shown(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in options.items())
