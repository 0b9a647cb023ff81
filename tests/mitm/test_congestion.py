"""Congestion control: names, a real socket, and what a refusal is answered with."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from addon.mitm.congestion import (
    explain,
    parse_congestion_control,
    set_congestion_control,
    system_congestion_control,
)


@pytest.mark.parametrize("name", ["", "bbr", "cubic", "tcp-prague", "bbr2", "x" * 15])
def test_names(name: str) -> None:
    assert parse_congestion_control(name) == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("BBR", id="the kernel's names are small"),
        pytest.param("bbr cubic", id="one, not a list"),
        pytest.param("x" * 16, id="longer than the kernel takes"),
        pytest.param("bbr\n", id="a line's end"),
    ],
)
def test_no_names(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"^docxy_congestion_control: .* is not a name such as bbr"
    ):
        parse_congestion_control(name)


def used(sock: socket.socket) -> str:
    value = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return value.rstrip(b"\0").decode()


def test_accepted_sockets_inherit_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert used(listening) == system_congestion_control()
        set_congestion_control(listening, "reno")  # every kernel has it and lets everyone
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert used(accepted) == "reno"


def test_one_that_is_not_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with pytest.raises(OSError, match="No such file") as caught:
            set_congestion_control(listening, "nonesuch")
        line = explain("nonesuch", caught.value)
    assert line == (
        f"docxy_congestion_control: {system_congestion_control()} stays, not nonesuch: the kernel"
        " has not loaded it; as root: modprobe tcp_nonesuch"
        " (at each boot: echo tcp_nonesuch > /etc/modules-load.d/docxy.conf)"
    )


def test_one_that_is_not_allowed(tmp_path: Path) -> None:
    (tmp_path / "tcp_congestion_control").write_text("cubic\n")
    (tmp_path / "tcp_allowed_congestion_control").write_text("reno cubic\n")
    line = explain("bbr", OSError(errno.EPERM, "Operation not permitted"), tmp_path)
    assert line == (
        "docxy_congestion_control: cubic stays, not bbr: it is not allowed to this user; as root:"
        " sysctl -w net.ipv4.tcp_allowed_congestion_control='reno cubic bbr'"
    )


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    line = explain("bbr", OSError(errno.ENOPROTOOPT, "this system lets nobody choose"), tmp_path)
    assert line == (
        "docxy_congestion_control: the system's stays, not bbr: this system lets nobody choose"
    )
