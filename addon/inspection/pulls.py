"""`docxy.pull`: an image is pulled through the mirror itself to nowhere, and each request timed.

mitmproxy's commands give their result at once, and a pull takes its time: so `docxy.pull` begins
one, the log tells each request and the end, and `docxy.pulls` shows the tables.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

import mitmproxy.types
from mitmproxy import command, ctx, exceptions
from mitmproxy.log import ALERT

from addon import __version__
from addon.answering.answering import Certificate
from addon.answering.fetching import Fetcher
from addon.inspection.engine import Engine
from addon.inspection.inspection import NO_MIRROR
from addon.inspection.loopback import Loopback, OwnPort, Peer
from addon.inspection.ownclients import OwnClients
from addon.inspection.pullreport import Pull, report, step_line, summary
from addon.inspection.steps import PullFailed, Step
from addon.protocol.errors import Refusal
from addon.protocol.imagename import parse_image_name
from addon.protocol.platforms import PLATFORMS, own_platform, parse_platform
from addon.startup import listen_addresses

logger = logging.getLogger(__name__)

AGENT = f"docxy-pull/{__version__}"
# Pulls at once, and those whose tables are kept.
MAX_PULLS = 4
MAX_KEPT = 8

_PLATFORM = mitmproxy.types.Choice("docxy.pull.platforms")  # type: ignore[no-untyped-call]

NO_PULLS = "nothing was pulled yet: docxy.pull does"


class Pulls:
    """The commands, and the pulls that are under way."""

    def __init__(
        self,
        fetcher: Callable[[], Fetcher | None],
        certificate: Named,
        clients: OwnClients,
    ) -> None:
        self._fetcher = fetcher
        self._certificate = certificate
        self._clients = clients
        self._pulls: deque[Pull] = deque(maxlen=MAX_KEPT)
        self._tasks: set[asyncio.Task[None]] = set()

    @command.command("docxy.pull")  # type: ignore[untyped-decorator]
    @command.argument("platform", type=_PLATFORM)  # type: ignore[untyped-decorator, no-untyped-call]
    def pull(self, image: str, platform: str = "") -> str:
        """Pull an image through the mirror to nowhere; docxy.pulls shows each request's time."""
        fetcher = self._fetcher()
        where = listen_addresses()
        if fetcher is None or not where:
            raise _error(NO_MIRROR)
        try:
            name = parse_image_name(image, self._check_host)
            wanted = parse_platform(platform) if platform else own_platform()
        except ValueError as e:
            raise _error(str(e)) from e
        if len(self._tasks) >= MAX_PULLS:
            raise _error(f"{MAX_PULLS} pulls are under way; docxy.pulls shows them")
        pull = Pull(name, wanted)
        self._pulls.appendleft(pull)
        # A command is part of no client's request.
        task = asyncio.get_running_loop().create_task(
            self._run(pull, fetcher, self._port(where[0])), context=Context()
        )
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, pull))
        return f"Pulling {pull}. docxy.pulls shows each request; each is a flow, too."

    @command.command("docxy.pulls")  # type: ignore[untyped-decorator]
    def pulls(self) -> str:
        """Show the last pulls of docxy.pull, the newest first, with each request and its time."""
        return "\n\n".join(map(report, self._pulls)) or NO_PULLS

    @command.command("docxy.pull.platforms")  # type: ignore[untyped-decorator]
    def platforms(self) -> Sequence[str]:
        """Say which platforms docxy.pull knows."""
        return PLATFORMS

    async def done(self) -> None:
        """The mirror ends, and whatever is under way with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, pull: Pull, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not pull.ended:
            pull.end("it was stopped")

    async def _run(self, pull: Pull, fetcher: Fetcher, port: OwnPort) -> None:
        opened: list[Peer] = []

        def note(peer: Peer) -> None:
            opened.append(peer)
            self._clients.opened(peer)

        def told(step: Step) -> None:
            pull.steps.append(step)
            logger.info("docxy.pull %s", step_line(step))

        client = Loopback(port, AGENT, note, self._clients.source)
        failure = ""
        try:
            await Engine(client, told).pull(pull.name, pull.platform)
        except PullFailed as e:
            failure = str(e)
        except Exception:
            logger.exception("a pull failed")
            failure = "the mirror failed; its log says why"
        finally:
            for peer in opened:
                self._clients.forget(peer)
            await client.close()
        pull.end(failure, fetcher.upstream.pull_limits.lines()[0])
        logger.log(ALERT, "docxy.pull %s", summary(pull))

    def _port(self, where: tuple[str, int]) -> OwnPort:
        # Clients ask for a name that the certificate has, and are told to ask there for a token.
        names = [name for name in self._certificate.names if "*" not in name]
        return OwnPort(*where, self._certificate.present, names[0] if names else "")

    def _check_host(self, host: str) -> None:
        """Take the mirror's own names and the registry's.

        Raises:
            ValueError: it is another's.
        """
        fetcher = self._fetcher()
        if fetcher is None or self._is_own(host.lower()):
            return
        try:
            fetcher.upstream.learnt.now.check_namespace(host)
        except Refusal as e:
            raise ValueError(str(e)) from e

    def _is_own(self, host: str) -> bool:
        public = urlsplit(ctx.options.docxy_public_url).netloc
        name, _, port = host.partition(":")
        ports = {str(port) for _, port in listen_addresses()}
        is_here = name in ("localhost", *(address for address, _ in listen_addresses()))
        is_here = is_here or self._certificate.covers(name)
        return host == public or (is_here and port in ("", *ports))


class Named(Certificate, Protocol):
    """The mirror's certificate, as a client knows it."""

    @property
    def names(self) -> Sequence[str]:
        """The names that it is good for."""


def _error(message: str) -> exceptions.CommandError:
    return exceptions.CommandError(message)
