"""The mirror's own user, without login."""

from __future__ import annotations

from addon.install import places
from addon.install.changes import Changes, Owner
from addon.install.machine import InstallError, Machine
from addon.install.steps import Step

# What userdel(8) writes. No program makes a user again just as it was.
_DATABASE = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow")


def make_user() -> Step:
    """The step that makes the user and its group."""
    return Step(
        "user", f"make a user {places.USER} without login, with a group of that name", _make
    )


def remove_user() -> Step:
    """The step that removes them."""
    return Step("user", f"remove the user {places.USER} and its group", _remove)


def owner(machine: Machine) -> Owner:
    """The mirror's user and group.

    Raises:
        InstallError: there is no such user.
    """
    found = machine.user_ids()
    if found is None:
        raise InstallError(f"the user {places.USER} is not there")
    return found


def _make(changes: Changes) -> None:
    machine = changes.machine
    if machine.user_ids() is not None:
        return
    changes.on_failure("removing the user", lambda: _remove_if_there(machine))
    changes.run(
        "useradd",
        "--system",
        "--user-group",
        f"--home-dir={places.STATE}",
        "--no-create-home",
        "--shell=/usr/sbin/nologin",
        places.USER,
    )


def _remove_if_there(machine: Machine) -> None:
    if machine.user_ids() is not None and not machine.succeeds("userdel", places.USER):
        raise InstallError(f"userdel {places.USER} failed")


def _remove(changes: Changes) -> None:
    if changes.machine.user_ids() is not None:
        for path in _DATABASE:
            changes.will_change(path)
        changes.run("userdel", places.USER)
