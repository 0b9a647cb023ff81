from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from addon.start import listeners
from addon.start.listeners import Listener, explain

EXPLAINED = {
    "taken": (
        Listener("127.0.0.1", 8080),
        OSError(errno.EADDRINUSE, "x"),
        "port 8080 on 127.0.0.1 is taken by another program; choose another with -p PORT",
    ),
    "taken, every address": (
        Listener("", 80, "move it"),
        OSError(errno.EADDRINUSE, "x"),
        "port 80 on all addresses is taken by another program; move it",
    ),
    "not permitted": (
        Listener("", 443),
        PermissionError(errno.EACCES, "x"),
        "port 443 on all addresses is not permitted to this user; take ports above 1023"
        " (-p 8443 --set docxy_http_port=8080), or grant it: authbind, setcap"
        " cap_net_bind_service on Python, systemd's AmbientCapabilities=CAP_NET_BIND_SERVICE",
    ),
    "a name without an address": (
        Listener("nowhere", 1),
        socket.gaierror(-2, "Name or service not known"),
        "cannot listen on 'nowhere': not an address of this machine",
    ),
    "another machine's address": (
        Listener("192.0.2.1", 1),
        OSError(errno.EADDRNOTAVAIL, "x"),
        "cannot listen on '192.0.2.1': not an address of this machine",
    ),
    "brackets": (
        Listener("[::1]", 1),
        socket.gaierror(-2, "x"),
        "cannot listen on '[::1]': not an address of this machine"
        " (an IPv6 address goes without brackets)",
    ),
    "all else": (
        Listener("::1", 1),
        OSError(errno.ENOBUFS, "No buffer space available"),
        "cannot listen on port 1 on ::1: No buffer space available",
    ),
}


@pytest.mark.parametrize(
    ("listener", "error", "line"), EXPLAINED.values(), ids=list(EXPLAINED.keys())
)
def test_a_port_that_cannot_be_had_is_explained_in_one_line(
    listener: Listener, error: OSError, line: str
) -> None:
    def bind(_: Listener) -> None:
        raise error

    assert explain(listener, error) == line
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # compared whole
        listeners.check_listeners([listener], bind)
    assert str(caught.value) == line


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[int]:
    with socket.create_server((host, 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_found_on_its_address_and_on_all() -> None:
    with listening() as port:
        for host in ("127.0.0.1", ""):
            with pytest.raises(OSError, match="in use"):
                listeners.bind_once(Listener(host, port))
        listeners.bind_once(Listener("127.0.0.2", port))
    listeners.bind_once(Listener("127.0.0.1", port))


def test_connections_of_a_mirror_that_just_ended_do_not_count_as_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        connection, _ = server.accept()
        connection.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    listeners.bind_once(Listener("127.0.0.1", port))


def test_a_trial_gives_the_port_back() -> None:
    with listening() as port:
        pass
    listeners.bind_once(Listener("127.0.0.1", port))
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", port))
