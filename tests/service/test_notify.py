"""What a service manager is told, over a real datagram socket."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from addon.service.notify import (
    ALIVE,
    READY,
    Notifier,
    more_time,
    reloading,
    status,
    to_address,
    watchdog_pause,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("/run/systemd/notify", "/run/systemd/notify", id="a path"),
        pytest.param("@docxy", "\0docxy", id="an abstract name"),
        pytest.param("", None, id="no manager"),
        pytest.param("@", None, id="no name"),
        pytest.param("vsock:2:1", None, id="the host of a virtual machine"),
        pytest.param("relative", None, id="no path from the root"),
    ],
)
def test_the_managers_socket_is_a_path_or_a_name(text: str, address: str | None) -> None:
    assert to_address(text) == address


@pytest.mark.parametrize(
    ("environ", "pause"),
    [
        pytest.param({"WATCHDOG_USEC": "30000000"}, 15.0, id="half of the time"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0, id="for this one"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0, id="for another"),
        pytest.param({}, 0.0, id="none"),
        pytest.param({"WATCHDOG_USEC": "soon"}, 0.0, id="no number"),
    ],
)
def test_signs_of_life_come_in_half_of_the_time(environ: dict[str, str], pause: float) -> None:
    assert watchdog_pause(environ, 7) == pause


@pytest.mark.parametrize("kind", ["a path", "an abstract name"])
def test_a_message_arrives_as_one_datagram(tmp_path: Path, kind: str) -> None:
    name = f"@docxy-test-{os.getpid()}" if kind == "an abstract name" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        assert notifier
        notifier.tell(READY, status("two\nlines"), more_time(1.5))
        notifier.tell(ALIVE)
        assert manager.recv(4096) == b"READY=1\nSTATUS=two lines\nEXTEND_TIMEOUT_USEC=1500000"
        assert manager.recv(4096) == b"WATCHDOG=1"


def test_a_manager_that_is_gone_or_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    Notifier({}).tell(READY)
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "full"))
        for _ in range(2000):
            Notifier({"NOTIFY_SOCKET": str(tmp_path / "full")}).tell(READY)


def test_a_reload_says_when_it_began() -> None:
    first, second = reloading()
    assert first == "RELOADING=1"
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", second)
