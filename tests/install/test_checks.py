from __future__ import annotations

from dataclasses import replace

import pytest

from addon.install.answers import Answers
from addon.install.checks import troubles
from tests.install.scratch import HOME, Scratch

PYTHON = "/usr/bin/python3"


def lines(scratch: Scratch, python: str = PYTHON, **ports: bool) -> list[str]:
    machine = replace(scratch.machine, port_is_free=lambda port: ports.get(f"p{port}", True))
    return list(troubles(machine, Answers(), python))


def test_a_server_that_is_ready_has_no_trouble(scratch: Scratch) -> None:
    assert lines(scratch) == []


@pytest.mark.parametrize(
    "text", ["ID=ubuntu\nID_LIKE=debian\n", 'ID=mint\nID_LIKE="ubuntu debian"\n']
)
def test_what_is_like_debian_is_taken(scratch: Scratch, text: str) -> None:
    scratch.put("/etc/os-release", text)
    assert lines(scratch) == []


def test_another_system_is_refused(scratch: Scratch) -> None:
    scratch.put("/etc/os-release", "ID=alpine\n")
    assert lines(scratch)[0].startswith("this is neither Debian nor Ubuntu")


def test_without_systemd_it_is_refused(scratch: Scratch) -> None:
    scratch.at("/run/systemd/system").rmdir()
    assert lines(scratch)[0].startswith("systemd does not run here")


def test_a_users_own_python_is_refused(scratch: Scratch) -> None:
    assert "not for all users" in lines(scratch, "/root/.pyenv/versions/3.13.1/bin/python3")[0]


def test_without_acme_sh_it_is_said_where_it_is_to_be_had(scratch: Scratch) -> None:
    scratch.at(f"{HOME}/acme.sh").unlink()
    (line,) = lines(scratch)
    assert line.startswith(f"acme.sh is not in {HOME}: install it as root")


def test_a_port_that_another_program_has_is_named(scratch: Scratch) -> None:
    (line,) = lines(scratch, p80=False)
    assert line.startswith("port 80 is taken by another program")


def test_a_mirror_that_runs_may_have_its_ports(scratch: Scratch) -> None:
    scratch.running = ("", "", "")
    assert lines(scratch, p80=False, p443=False) == []
