"""A worker's place: its sockets, the process that serves them now, and what it said last.

The worker speaks as to a service manager (sd_notify), to a socket of its own, so it is known who
speaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from typing import Final

from addon.service import notify
from addon.workers.worker import Worker, format_worker

# Seconds for a start, in which nothing is said.
START_SECONDS: Final = 120.0


class Supervised:
    """One of them; its processes come and go.

    Args:
        worker: what each process is told.
        address: a path for the socket that it speaks to.
        patience: seconds without a sign of life after which a process that serves is taken for
            dead.
    """

    def __init__(self, worker: Worker, address: str, patience: float) -> None:
        self.worker = worker
        self.process: Process | None = None
        self.is_ready = False
        self.changed = asyncio.Event()
        self.pause = 0.0
        self.patience = patience
        self._address = address
        self._served_from = 0.0
        self._heard = 0.0
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.setblocking(False)
        self.ear.bind(address)

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self.process is not None and self.process.returncode is None

    @property
    def is_silent(self) -> bool:
        """Whether the process has said nothing for too long."""
        patience = self.patience if self.is_ready else START_SECONDS
        return self.runs and time.monotonic() - self._heard > patience

    async def start(self, arguments: Sequence[str], environ: Mapping[str, str]) -> Process:
        """Let a process begin, with the sockets and these words and variables."""
        self._heard = time.monotonic()
        inherited = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
        told = {
            **format_worker(self.worker),
            "NOTIFY_SOCKET": self._address,
            "WATCHDOG_USEC": str(int(self.patience * 1_000_000)),
        }
        descriptors = [fd for fds in self.worker.listeners.values() for fd in fds]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "addon.launch"),
            *arguments,
            env={**inherited, **told, **environ},
            pass_fds=[*descriptors, self.worker.lifeline],
            # Out of reach of the terminal's signals, and of its end: they come from here alone.
            start_new_session=True,
        )
        return self.process

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if there is a process."""
        if self.process and self.runs:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def hear(self) -> list[str]:
        """What it has said; nothing where there was nothing."""
        try:
            words = self.ear.recv(4096).decode(errors="replace").split("\n")
        except OSError:
            return []
        self._heard = time.monotonic()
        if notify.READY in words:
            self._served_from = self._served_from if self.is_ready else self._heard
            self.is_ready = True
            self.changed.set()
        return words

    def end(self) -> float:
        """The process has ended; for how many seconds it had served."""
        served = time.monotonic() - self._served_from if self.is_ready else 0.0
        self.is_ready = False
        self.changed.set()
        return served
