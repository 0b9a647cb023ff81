"""The ports that are to be listened on: tried before mitmproxy starts, and explained if need be."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Listener:
    """One TCP port to be listened on."""

    host: str
    """A name or an address; ``""`` is every address, IPv4 and IPv6."""
    port: int
    remedy: str = "choose another with -p PORT"
    """What the user does when the port cannot be had."""


def parse_port(text: str, option: str) -> int:
    """A TCP port; 0 lets the system choose.

    Raises:
        ValueError: no number from 0 to 65535.
    """
    if text.isascii() and text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise ValueError(f"{option} {text!r} is not a port: expected is a number such as 8443")


def explain(listener: Listener, error: OSError) -> str:
    """One line that says why a port cannot be had and what to do."""
    where = f"port {listener.port} on {listener.host or 'all addresses'}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        hint = " (an IPv6 address goes without brackets)" if "[" in listener.host else ""
        return f"cannot listen on {listener.host!r}: not an address of this machine{hint}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken by another program; {listener.remedy}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{where} is not permitted to this user; take ports above 1023"
            " (-p 8443 --set docxy_http_port=8080), or grant it: authbind, setcap"
            " cap_net_bind_service on Python, systemd's AmbientCapabilities=CAP_NET_BIND_SERVICE"
        )
    return f"cannot listen on {where}: {error.strerror or error}"


def addresses(listener: Listener) -> list[tuple[int, Any]]:
    """What a listener means: a family, and an address as `bind` takes it, one after the other.

    Raises:
        OSError: the name cannot be resolved.
    """
    found = socket.getaddrinfo(
        listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return [(family, address) for family, _kind, _protocol, _name, address in found]


def bind_once(listener: Listener) -> None:
    """Take a port as asyncio will, and give it back at once.

    Raises:
        OSError: the port cannot be had.
    """
    for family, address in addresses(listener):
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # a kernel without IPv6 still names its addresses; asyncio goes on too
        with probe:
            # Without this, connections of a mirror that just ended would count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)


def check_listeners(
    listeners: Sequence[Listener], bind: Callable[[Listener], None] = bind_once
) -> None:
    """Try every port before mitmproxy starts, which takes a while and says it less plainly.

    Raises:
        ValueError: the line for the user.
    """
    for listener in listeners:
        try:
            bind(listener)
        except OSError as e:
            raise ValueError(explain(listener, e)) from e
