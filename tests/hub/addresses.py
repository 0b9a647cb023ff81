"""Where the three roles listen."""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int = 0
    name: str = ""
    """Stands in the URLs in place of the IP address."""
    announced_port: int = 0
    """Stands in the URLs in place of the port, where something in front listens; 0: nothing."""


def loopback_addresses() -> tuple[str, str, str]:
    """Three of 127/8 where they can be bound (Linux), else the one that can."""
    wanted = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    try:
        for host in wanted:
            with socket.socket() as sock:
                sock.bind((host, 0))
    except OSError:
        return ("127.0.0.1", "127.0.0.1", "127.0.0.1")
    return wanted
