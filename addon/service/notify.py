"""Telling a service manager what becomes of the mirror: sd_notify(3), datagrams of a few words."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"
MORE_TIME = "EXTEND_TIMEOUT_USEC="


def reloading() -> tuple[str, str]:
    """What is said before settings are read anew; the second is what Type=notify-reload needs."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def status(text: str) -> str:
    """One line for whoever asks the manager."""
    return f"STATUS={' '.join(text.split())}"


def more_time(seconds: float) -> str:
    """Lets the manager wait for a start, a reload or an end as long as it takes."""
    return f"{MORE_TIME}{int(seconds * 1_000_000)}"


def to_address(text: str) -> str | None:
    """The socket that $NOTIFY_SOCKET names, as Python has it; None where nobody listens.

    A path, or a name without one ("@"); one of a virtual machine's host (vsock) is not spoken to.
    """
    if text.startswith("/"):
        return text
    return f"\0{text[1:]}" if text.startswith("@") and len(text) > 1 else None


def watchdog_pause(environ: Mapping[str, str], pid: int) -> float:
    """Seconds between two signs of life: half of what the manager waits; 0 where it wants none.

    sd_watchdog_enabled(3): the time is for one process, if that is named.
    """
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isascii() and text.isdecimal() else 0.0


class Notifier:
    """The way to the service manager, if there is one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = to_address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_pause = watchdog_pause(environ, os.getpid())

    def __bool__(self) -> bool:
        return self._address is not None

    def tell(self, *words: str) -> None:
        """Send one message; a manager that does not hear is no reason to fail or to wait."""
        if self._address is None:
            return
        way = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with way, contextlib.suppress(OSError):
            way.setblocking(False)
            way.sendto("\n".join(words).encode(), self._address)
