"""What must be so before anything is changed."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator

from addon.install import acmesh, places
from addon.install.answers import Answers
from addon.install.machine import Machine
from addon.install.service import is_active

# Where the mirror's user cannot go, or what is gone tomorrow.
_PRIVATE = ("/home/", "/root/", "/run/", "/tmp/", "/var/tmp/")  # noqa: S108 - only compared
_PORTS = (80, 443)
# Folders that become the installer's, which removes all that is in them one day.
_OURS = (places.PROGRAM, places.STATE, places.WEBROOT, places.TLS, places.UNIT)


def troubles(machine: Machine, answers: Answers, python: str = sys.executable) -> Iterator[str]:
    """What stands in the way of an installation, a line each that says what to do."""
    if not {"debian", "ubuntu"} & _systems(machine.read("/etc/os-release") or ""):
        yield "this is neither Debian nor Ubuntu: README.md says how to run the mirror without this"
    if not machine.has("/run/systemd/system"):
        yield "systemd does not run here: README.md says how to run the mirror without it"
    real = os.path.realpath(python)
    if real.startswith(_PRIVATE):
        yield (
            f"{real} is not for all users: install the system's Python (apt install python3-venv),"
            " or name another in DOCXY_PYTHON"
        )
    yield from _strangers(machine)
    if not machine.has(acmesh.program(answers.acme_home)):
        yield acmesh.GET_IT.format(home=answers.acme_home)
    if not is_active(machine):
        for port in _PORTS:
            if not machine.port_is_free(port):
                yield f"port {port} is taken by another program (ss -ltnp names it): stop it"


def _strangers(machine: Machine) -> Iterator[str]:
    """What was there before the first installation, and would be lost with the last."""
    if machine.has(places.ANSWERS):
        return
    remedy = "move it away; what an installation left that did not end, ./run.sh uninstall removes"
    for path in _OURS:
        if machine.has(path):
            yield f"{path} is there already, and would be removed one day: {remedy}"
    if machine.user_ids() is not None:
        yield f"there is a user {places.USER} already, whose files and account would go: {remedy}"
    known = {os.path.basename(path) for path in (places.SETTINGS, places.ENVIRONMENT)}
    others = sorted(set(_names(machine, places.ETC)) - known)
    if others and not machine.has(places.TLS):
        yield f"{places.ETC}/{others[0]} is there already, and would be removed one day: {remedy}"


def _names(machine: Machine, path: str) -> list[str]:
    try:
        return os.listdir(machine.at(path))
    except OSError:
        return []


def _systems(os_release: str) -> set[str]:
    """The names of a system and of those that it is like: os-release(5)."""
    found: set[str] = set()
    for line in os_release.splitlines():
        name, _, value = line.partition("=")
        if name in ("ID", "ID_LIKE"):
            found.update(" ".join(shlex.split(value)).split())
    return found
