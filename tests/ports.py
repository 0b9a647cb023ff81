"""Ports of this run's own: others may run on the same machine at the same time."""

from __future__ import annotations

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """A port for a program that is about to start, which nobody else is given meanwhile.

    A connection that was closed at this end first leaves the port in TIME_WAIT for a minute: the
    kernel does not choose it for anybody, while a server that names it gets it, by SO_REUSEADDR.
    """
    with socket.create_server((host, 0), family=_family(host)) as listener:
        port = int(listener.getsockname()[1])
        with socket.create_connection((host, port)) as connection:
            listener.accept()[0].close()
            assert connection.recv(1) == b""
    return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
