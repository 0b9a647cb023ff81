"""The sockets that clients connect to, given their congestion control and a long queue.

mitmproxy says where it listens but keeps the sockets to itself: `Servers` of its proxyserver addon
holds an instance for each mode, whose `_servers` are asyncio's. This is an internal of mitmproxy,
used here and nowhere else; tests/mitm/test_sockets.py says in words when it changes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader

from addon.mitm.congestion import (
    OPTION,
    Settable,
    explain,
    parse_congestion_control,
    set_congestion_control,
    system_congestion_control,
)
from addon.settings.option import declare

logger = logging.getLogger(__name__)

# Connections that may wait to be accepted; net.core.somaxconn bounds it, which is 4096 as a rule.
QUEUE = 4096


class Listening(Settable, Protocol):
    """A socket that listens, or asyncio's view of one."""

    def fileno(self) -> int:
        """As `socket.socket` has it."""


def listening_sockets(instances: Iterable[object]) -> Iterator[Listening]:
    """The TCP sockets of mitmproxy's server instances."""
    for instance in instances:
        for server in getattr(instance, "_servers", ()):
            # QUIC's are of another kind, and no socket is to be had of them.
            if isinstance(server, asyncio.Server):
                yield from server.sockets


def lengthen_queue(listening: Listening) -> None:
    """Let so many connections wait to be accepted as the system allows (listen(2)).

    asyncio asks for a hundred. Where many open connections at once, the kernel drops what comes
    beyond them, and an honest client tries again only after a second, and then after two more.
    """
    family, kind = socket.AF_INET, socket.SOCK_STREAM  # of a copy, whose queue is the same
    with socket.fromfd(listening.fileno(), family, kind) as copy:
        copy.listen(QUEUE)


class ClientSockets:
    """Gives what listens all this, at the start and whenever a mode is added."""

    def __init__(self) -> None:
        self._name = ""
        self._said = ""

    def load(self, loader: Loader) -> None:
        """Declare the option, and wait for sockets: they are made before `running`."""
        declare(loader, [OPTION])
        proxyserver = _proxyserver()
        if proxyserver:
            proxyserver.servers.changed.connect(self._changed)

    def configure(self, updated: set[str]) -> None:
        """Give sockets that listen already the new one."""
        if OPTION.name not in updated:
            return
        try:
            name = parse_congestion_control(ctx.options.docxy_congestion_control)
        except ValueError as e:
            if listens():
                raise exceptions.OptionsError(str(e)) from e  # type: ignore[no-untyped-call]
            logger.error("%s", e)  # it ends the start; raised, it would have a traceback
            return
        was, self._name = self._name, name
        self._set(name or (system_congestion_control() if was else ""))

    def done(self) -> None:
        """Leave the sockets alone."""
        proxyserver = _proxyserver()
        if proxyserver:
            proxyserver.servers.changed.disconnect(self._changed)

    async def _changed(self) -> None:
        for listening in _listening():
            lengthen_queue(listening)
        self._set(self._name)

    def _set(self, name: str) -> None:
        if not name:
            return
        for listening in _listening():
            try:
                set_congestion_control(listening, name)
            except OSError as e:
                self._say(explain(name, e))

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            logger.warning("%s", line)


def listens() -> bool:
    """Whether there is a socket yet."""
    return any(True for _ in _listening())


def _listening() -> Iterator[Listening]:
    proxyserver = _proxyserver()
    return listening_sockets(proxyserver.servers if proxyserver else ())


def _proxyserver() -> Any:
    return ctx.master.addons.get("proxyserver")  # type: ignore[no-untyped-call]
