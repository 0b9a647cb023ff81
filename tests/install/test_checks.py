from __future__ import annotations

from dataclasses import replace

import pytest

from addon.install import places
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


STRANGERS = {
    "a clone where releases go": f"{places.PROGRAM}/run.sh",
    "a file where releases go": places.PROGRAM,
    "another program's state": f"{places.STATE}/data",
    "another program's web pages": f"{places.WEBROOT}/index.html",
    "another unit": places.UNIT,
    "certificates of a container": f"{places.ETC}/fullchain.cer",
    "certificates": f"{places.TLS}/mirror.key",
}


@pytest.mark.parametrize("path", STRANGERS.values(), ids=STRANGERS.keys())
def test_what_was_there_before_is_not_taken_for_the_mirrors(scratch: Scratch, path: str) -> None:
    scratch.put(path, "somebody's\n")
    (line,) = lines(scratch)
    assert "is there already" in line
    assert "move it away" in line
    # It may be a former installation's, which is known by what it was told.
    scratch.put(places.ANSWERS, "{}")
    assert lines(scratch) == []


def test_a_user_of_that_name_is_somebody(scratch: Scratch) -> None:
    with scratch.at("/etc/passwd").open("a") as file:
        file.write(f"{places.USER}:x:1000:1000:A Person:/home/docxy:/bin/bash\n")
    (line,) = lines(scratch)
    assert line.startswith(f"there is a user {places.USER} already")


def test_settings_may_be_written_beforehand(scratch: Scratch) -> None:
    for path in (places.SETTINGS, places.ENVIRONMENT):
        scratch.put(path, "")
    assert lines(scratch) == []
