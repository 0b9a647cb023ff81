"""The mirror as a service: signals, and what the service manager is told of it.

SIGTERM and SIGINT drain, a second one ends at once; a worker drains at SIGTERM however often it
comes (its supervisor passes on what a service manager may have sent to it as well), and when the
supervisor is gone, and ends at SIGINT. SIGHUP rereads certificates and settings, or
ends the mirror in good order where it has a terminal, which sends that signal as it closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.tools.dump import DumpMaster

from addon.service import notify
from addon.service.drain import OPTION, drain
from addon.service.reload import FIXED, changed, read_said
from addon.settings.option import check_numbers, declare
from addon.start.terminal import has_terminal
from addon.tls.tls import Certificates
from addon.workers.worker import parse_worker

logger = logging.getLogger(__name__)

# Seconds that the end takes beyond the drain's.
_END_SECONDS = 10.0


class Service:
    """Takes over the signals once the mirror runs; mitmweb and the console keep mitmproxy's own."""

    def __init__(self, certificates: Certificates, drains: Callable[[], None]) -> None:
        """`drains` is called once nobody new is served."""
        self._certificates = certificates
        self._drains = drains
        self._notifier = notify.Notifier(os.environ)
        self._worker = parse_worker(os.environ)
        self._said: dict[str, Any] = {}
        self._hangup = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_draining = False

    def load(self, loader: Loader) -> None:
        """Declare the option."""
        declare(loader, [OPTION])

    def configure(self, updated: set[str]) -> None:
        """Check the option."""
        if OPTION.name not in updated:
            return
        try:
            check_numbers([OPTION], {OPTION.name: ctx.options.docxy_drain_timeout})
        except ValueError as e:
            raise exceptions.OptionsError(str(e)) from e  # type: ignore[no-untyped-call]

    def running(self) -> None:
        """Take over the signals, and say that the mirror serves."""
        # A loop that is not the main thread's has no signals.
        with contextlib.suppress(RuntimeError, ValueError):
            self._take_signals(asyncio.get_running_loop())
        if self._notifier:
            self._own(self._tell_ready())

    def done(self) -> None:
        """Say that it ends; a signal that still comes changes nothing."""
        self._is_draining = True
        for task in self._tasks:
            task.cancel()
        self._notifier.tell(notify.STOPPING)

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        is_dump = isinstance(ctx.master, DumpMaster)
        if is_dump:
            loop.add_signal_handler(signal.SIGTERM, self._end)
            at_once = ctx.master.shutdown
            loop.add_signal_handler(signal.SIGINT, at_once if self._worker else self._end)
        if self._worker:
            loop.add_reader(self._worker.lifeline, self._be_orphaned, self._worker.lifeline)
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            return  # nohup: the mirror outlives its terminal
        if "console.exit" in ctx.master.commands.commands:
            # urwid reads a closed terminal again and again, and the loop calls nobody any more.
            signal.signal(signal.SIGHUP, lambda *_: sys.exit(0))
        elif has_terminal() or not is_dump:
            loop.add_signal_handler(signal.SIGHUP, ctx.master.shutdown)
        else:
            self._said = read_said(ctx.options, sys.argv[1:])
            loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
            self._own(self._reload_on_hangup())

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_ready(self) -> None:
        await asyncio.sleep(0)  # until all addons know that mitmproxy runs
        if _has_failed():
            return
        self._notifier.tell(notify.READY, notify.status("serving"))
        while self._notifier.watchdog_pause:
            self._notifier.tell(notify.ALIVE)
            await asyncio.sleep(self._notifier.watchdog_pause)

    # The end

    def _be_orphaned(self, lifeline: int) -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        self._end()

    def _end(self) -> None:
        if self._is_draining and self._worker:
            return
        if self._is_draining or not ctx.options.docxy_drain_timeout:
            ctx.master.shutdown()  # type: ignore[no-untyped-call]
            return
        self._is_draining = True
        self._drains()
        self._own(self._drain(ctx.options.docxy_drain_timeout))

    async def _drain(self, seconds: int) -> None:
        self._notifier.tell(
            notify.STOPPING, notify.status("draining"), notify.more_time(seconds + _END_SECONDS)
        )
        logger.info("Draining: running answers have %d s; a second signal ends at once.", seconds)
        try:
            left = await drain(seconds)
            if left:
                logger.warning("%d connections are cut off after %d s.", left, seconds)
        finally:
            ctx.master.shutdown()  # type: ignore[no-untyped-call]

    # Settings and certificates anew

    async def _reload_on_hangup(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            if self._is_draining:
                continue  # nobody new is served, and the manager was told so
            self._notifier.tell(*notify.reloading())
            try:
                await self._certificates.reread()
                await self._reread_settings()
            except Exception:  # the next one must not be missed
                logger.exception("SIGHUP: not all could be read anew.")
            self._notifier.tell(notify.READY, notify.status("serving"))

    async def _reread_settings(self) -> None:
        try:
            said = await asyncio.to_thread(read_said, ctx.options, sys.argv[1:])
            differing = changed(self._said, said)
            fixed = sorted(FIXED & differing.keys())
            wanted = {name: v for name, v in differing.items() if name not in FIXED}
            ctx.options.update(**wanted)  # type: ignore[no-untyped-call]
        except (exceptions.OptionsError, ValueError) as e:
            logger.error("SIGHUP: the settings stay as they are: %s", e)
            return
        self._said |= wanted
        # Their names alone: a value may be a secret.
        logger.info("SIGHUP: settings set anew: %s.", ", ".join(sorted(wanted)) or "none differs")
        if fixed:
            logger.warning("SIGHUP: only a restart changes %s.", ", ".join(fixed))


def _has_failed() -> bool:
    """Whether mitmproxy is about to end a start that has logged an error."""
    check = ctx.master.addons.get("errorcheck")  # type: ignore[no-untyped-call]
    return bool(check and check.logger.has_errored)
