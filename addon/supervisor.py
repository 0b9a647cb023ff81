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
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from addon import notify
from addon.jsonlines import JsonLines
from addon.listeners import Listener, explain
from addon.restarts import next_pause
from addon.spread import open_group
from addon.terminal import has_terminal
from addon.worker import Where, Worker, format_worker

# Seconds for a start, an end after the drain, and all workers' reading anew.
START_SECONDS: Final = 120.0
END_SECONDS: Final = 15.0
RELOAD_SECONDS: Final = 60.0
# Seconds without a sign of life after which a worker is taken for dead.
WATCHDOG_SECONDS: Final = 30.0
BACKLOG: Final = 1024

_PROMETHEUS: Final = "PROMETHEUS_MULTIPROC_DIR"


logger = logging.getLogger(__name__)


def supervise(
    listeners: Sequence[Listener], workers: int, arguments: Sequence[str], *, logs_json: bool
) -> int:
    """Run so many workers with these arguments until a signal ends them; the exit code.

    Raises:
        ValueError: a port cannot be had; the message is the line for the user.
    """
    _begin_log(as_json=logs_json)
    opened: list[tuple[Where, list[list[socket.socket]]]] = []
    for listener in listeners:
        try:
            group = open_group(listener, workers, BACKLOG)
        except OSError as e:
            raise ValueError(explain(listener, e)) from e
        opened.append(((listener.host, listener.port), group))
    # The sockets of sd_notify and the files of metrics: nobody else's.
    with tempfile.TemporaryDirectory(prefix="docxy-workers-", ignore_cleanup_errors=True) as place:
        supervisor = Supervisor(opened, workers, arguments, Path(place), logs_json=logs_json)
        return asyncio.run(supervisor.run())


def _begin_log(*, as_json: bool) -> None:
    """Let this process's lines look as run.sh's own, or as the workers'."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("docxy: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class Supervised:
    """One worker's place: its sockets, the process that serves them, and what it said last."""

    def __init__(self, worker: Worker, address: str) -> None:
        self.worker = worker
        self.address = address
        self.process: Process | None = None
        self.is_ready = False
        self.served_from = 0.0
        self.heard = 0.0
        self.pause = 0.0
        self.changed = asyncio.Event()
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.setblocking(False)
        self.ear.bind(address)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if there is a process."""
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


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
            each.process = await self._start(each)
            if self._ending.is_set():
                each.send(signal.SIGTERM)  # it was not there yet when the others were told
            code = await each.process.wait()
            self._bury(each.process.pid)
            lived = time.monotonic() - each.served_from if each.is_ready else 0.0
            was_ready, each.is_ready = each.is_ready, False
            each.changed.set()
            if self._ending.is_set():
                self._code = self._code or (0 if code in (0, -signal.SIGTERM) else 1)
            elif not was_ready and not self._was_ready:
                # It has said why: an option, a certificate.
                self._code = code if code > 0 else 1
                self._end()
            else:
                each.pause = next_pause(each.pause, lived)
                logger.warning(
                    "worker %d ended (%s); it is started again in %g s",
                    each.worker.number,
                    _said(code),
                    each.pause,
                )
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), each.pause)

    async def _start(self, each: Supervised) -> Process:
        each.heard = time.monotonic()
        worker = each.worker
        environ = {name: v for name, v in os.environ.items() if name != "WATCHDOG_PID"} | {
            **format_worker(worker),
            "NOTIFY_SOCKET": each.address,
            "WATCHDOG_USEC": str(int(self._patience * 1_000_000)),
            _PROMETHEUS: str(self._metrics),
        }
        descriptors = [fd for fds in worker.listeners.values() for fd in fds]
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "addon.launch"),
            *self._arguments,
            env=environ,
            pass_fds=[*descriptors, worker.lifeline],
            # Out of reach of the terminal's signals, and of its end: they come from here alone.
            start_new_session=True,
        )

    def _bury(self, pid: int) -> None:
        """Let the metrics forget what was only a dead worker's."""
        if importlib.util.find_spec("prometheus_client"):
            library = importlib.import_module("prometheus_client.multiprocess")
            library.mark_process_dead(pid, str(self._metrics))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._patience / 4)
            now = time.monotonic()
            for each in self._all:
                patience = self._patience if each.is_ready else START_SECONDS
                if each.process and each.process.returncode is None and now - each.heard > patience:
                    number = each.worker.number
                    logger.error("worker %d gave no sign of life for %g s", number, patience)
                    each.send(signal.SIGKILL)

    def _hear(self, each: Supervised) -> None:
        with contextlib.suppress(OSError):
            words = each.ear.recv(4096).decode(errors="replace").split("\n")
            each.heard = time.monotonic()
            if notify.READY in words:
                each.served_from = each.served_from if each.is_ready else each.heard
                each.is_ready = True
                each.changed.set()
            if self._ending.is_set():
                # A drain takes as long as the worker says.
                more = [word for word in words if word.startswith("EXTEND_TIMEOUT_USEC=")]
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
