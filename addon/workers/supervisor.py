"""`./run.sh --workers N`: N mirrors on one port, watched, started again, and ended together.

The sockets that listen are this process's, so a worker that dies is never missed at the port: who
connects meanwhile waits in its queue for the successor. Workers speak to it as to a service manager
(sd_notify); it tells the real one when all of them serve. mitmproxy is loaded in the workers only.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from addon.log.jsonlines import JsonLines
from addon.service import notify
from addon.start.listeners import Listener, bind_once, explain
from addon.start.terminal import has_terminal
from addon.workers.restarts import next_pause
from addon.workers.spread import open_group
from addon.workers.supervised import Supervised
from addon.workers.worker import Where, Worker

# Seconds for an end after the drain, and for all workers' reading anew.
END_SECONDS: Final = 15.0
RELOAD_SECONDS: Final = 60.0
# Seconds without a sign of life after which a worker is taken for dead.
WATCHDOG_SECONDS: Final = 30.0
BACKLOG: Final = 1024

_PROMETHEUS: Final = "PROMETHEUS_MULTIPROC_DIR"


logger = logging.getLogger(__name__)


def supervise(
    listeners: Sequence[Listener],
    workers: int,
    arguments: Sequence[str],
    *,
    spare: Listener | None = None,
    logs_json: bool,
) -> int:
    """Run so many workers with these arguments until a signal ends them; the exit code.

    Without the spare listener they do where it cannot be had.

    Raises:
        ValueError: a port, or a place for sockets, cannot be had; the message is for the user.
    """
    _begin_log(as_json=logs_json)
    opened: list[tuple[Where, list[list[socket.socket]]]] = []
    for listener in (*listeners, *_to_be_had(spare)):
        try:
            group = open_group(listener, workers, BACKLOG)
        except OSError as e:
            raise ValueError(explain(listener, e)) from e
        opened.append(((listener.host, listener.port), group))
    # The sockets of sd_notify and the files of metrics: nobody else's.
    with tempfile.TemporaryDirectory(prefix="docxy-workers-", ignore_cleanup_errors=True) as place:
        try:
            supervisor = Supervisor(opened, workers, arguments, Path(place), logs_json=logs_json)
        except OSError as e:
            raise ValueError(f"{place} is no place for sockets: {e}; name one in TMPDIR") from e
        return asyncio.run(supervisor.run())


def _to_be_had(spare: Listener | None) -> Iterator[Listener]:
    """The listener that can be done without, unless another program has it."""
    if spare is None:
        return
    try:
        # A group's sockets would join another mirror's, if that is the same user's.
        bind_once(spare)
    except OSError as e:
        logger.warning("No metrics: %s", explain(spare, e))
    else:
        yield spare


def _begin_log(*, as_json: bool) -> None:
    """Let this process's lines look as run.sh's own, or as the workers'."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("docxy: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class Supervisor:
    """Starts workers, watches them, and passes signals on."""

    def __init__(
        self,
        opened: Sequence[tuple[Where, list[list[socket.socket]]]],
        workers: int,
        arguments: Sequence[str],
        place: Path,
        *,
        logs_json: bool,
    ) -> None:
        self._sockets = [one for _, groups in opened for group in groups for one in group]
        self._arguments = arguments
        self._metrics = place / "metrics"
        self._metrics.mkdir(mode=0o700)
        # Nobody writes into it: its end is what the workers see when this process is gone.
        self._lifeline, self._held = os.pipe()
        self._manager = notify.Notifier(os.environ)
        pause = self._manager.watchdog_pause
        self._patience = min(WATCHDOG_SECONDS, pause * 2) if pause else WATCHDOG_SECONDS
        self._all = [
            Supervised(
                Worker(
                    number,
                    workers,
                    {where: tuple(s.fileno() for s in groups[number]) for where, groups in opened},
                    self._lifeline,
                    logs_json,
                ),
                str(place / f"notify.{number}"),
                self._patience,
            )
            for number in range(workers)
        ]
        self._ending = asyncio.Event()
        self._was_ready = False
        self._code = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until it is to end; the exit code."""
        loop = asyncio.get_running_loop()
        self._take_signals(loop)
        for each in self._all:
            loop.add_reader(each.ear, self._hear, each)
        try:
            async with asyncio.TaskGroup() as watching:
                tasks = [watching.create_task(self._watch()), watching.create_task(self._tell())]
                async with asyncio.TaskGroup() as kept:
                    first, *others = self._all
                    kept.create_task(self._keep(first))
                    # One at first: what is wrong with the options is said once.
                    await self._until_ready([first])
                    for each in others:
                        kept.create_task(self._keep(each))
                for task in tasks:
                    task.cancel()
        finally:
            self._close_sockets()
        return self._code

    # Workers

    async def _until_ready(self, awaited: Sequence[Supervised]) -> None:
        for each in awaited:
            while not (each.is_ready or self._ending.is_set()):
                each.changed.clear()
                await each.changed.wait()

    async def _keep(self, each: Supervised) -> None:
        """Let a worker run, and its successors, until the end."""
        while not self._ending.is_set():
            try:
                process = await each.start(self._arguments, {_PROMETHEUS: str(self._metrics)})
            except OSError as e:
                # No memory, say, or no more processes: the others serve on.
                logger.error("worker %d cannot be started: %s", each.worker.number, e)
                await self._ended(each, "before its start", 1)
                continue
            if self._ending.is_set():
                each.send(signal.SIGTERM)  # it was not there yet when the others were told
            code = await process.wait()
            self._bury(process.pid)
            await self._ended(each, _said(code), code)

    async def _ended(self, each: Supervised, how: str, code: int) -> None:
        """What follows from a worker's end: another one after a pause, or everybody's end."""
        was_ready, served = each.is_ready, each.end()
        if self._ending.is_set():
            self._code = self._code or (0 if code in (0, -signal.SIGTERM) else 1)
            return
        if not was_ready and not self._was_ready:
            # It has been said why: an option, a certificate.
            self._code = code if code > 0 else 1
            self._end()
            return
        each.pause = next_pause(each.pause, served)
        logger.warning(
            "worker %d ended (%s); it is started again in %g s",
            each.worker.number,
            how,
            each.pause,
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), each.pause)

    def _bury(self, pid: int) -> None:
        """Let the metrics forget what was only a dead worker's, and keep what all have counted."""
        if not importlib.util.find_spec("prometheus_client"):
            return
        try:
            importlib.import_module("prometheus_client.multiprocess").mark_process_dead(
                pid, str(self._metrics)
            )
            running = {each.process.pid for each in self._all if each.process and each.runs}
            importlib.import_module("addon.metrics.buried").bury(self._metrics, running)
        except Exception:  # a worker that was killed may leave anything; the others serve on
            logger.exception("what worker process %d has counted cannot be added up", pid)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._patience / 4)
            for each in filter(lambda one: one.is_silent, self._all):
                logger.error("worker %d gave no sign of life; it is killed", each.worker.number)
                each.send(signal.SIGKILL)

    def _hear(self, each: Supervised) -> None:
        words = each.hear()
        # A drain takes as long as the worker says.
        more = [word for word in words if word.startswith(notify.MORE_TIME)]
        if more and self._ending.is_set():
            self._manager.tell(*more)

    # The service manager

    async def _tell(self) -> None:
        await self._until_ready(self._all)
        if self._ending.is_set():
            return
        self._was_ready = True
        self._manager.tell(notify.READY, notify.status(f"{len(self._all)} workers serve"))
        logger.info("%d workers serve", len(self._all))
        while self._manager.watchdog_pause:
            self._manager.tell(notify.ALIVE)
            await asyncio.sleep(self._manager.watchdog_pause)

    # Signals

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._end)
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            return  # nohup
        if has_terminal():
            loop.add_signal_handler(signal.SIGHUP, self._end)
        else:
            loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _end(self) -> None:
        """Let workers drain; the second time, end them at once."""
        is_second = self._ending.is_set()
        self._ending.set()
        self._close_sockets()
        self._manager.tell(notify.STOPPING, notify.more_time(END_SECONDS))
        for each in self._all:
            each.changed.set()
            # To a worker the first is the drain however often it comes (systemd sends it to all).
            each.send(signal.SIGINT if is_second else signal.SIGTERM)

    def _reload(self) -> None:
        if self._ending.is_set():
            return  # the manager was told so
        task = asyncio.get_running_loop().create_task(self._reread())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reread(self) -> None:
        self._manager.tell(*notify.reloading())
        reading = [each for each in self._all if each.is_ready]
        for each in reading:
            each.changed.clear()
            each.send(signal.SIGHUP)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELOAD_SECONDS):
                for each in reading:
                    await each.changed.wait()
        self._manager.tell(notify.READY)

    def _close_sockets(self) -> None:
        for one in self._sockets:
            one.close()


def _said(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
