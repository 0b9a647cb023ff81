"""Steps, one after the other: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from addon.install.changes import Changes
from addon.install.machine import InstallError, Machine


@dataclass(frozen=True, slots=True)
class Step:
    """One step; taken again, it changes nothing."""

    name: str
    does: str
    """One line for `--dry-run`."""
    take: Callable[[Changes], None]
    remedy: str = "see what it says, and try again"
    """What the user does where it fails without saying so itself."""


def take_all(steps: Iterable[Step], machine: Machine, say: Callable[[str], None]) -> Changes:
    """Take all steps; the first that fails ends it, and all is undone.

    Raises:
        InstallError: a step failed; the message says which, why, and what to do.
    """
    changes = Changes(machine)
    name, remedy = "", ""
    try:
        for step in steps:
            name, remedy = step.name, step.remedy
            say(f"{step.name}: {step.does}")
            step.take(changes)
    except BaseException as e:
        troubles = changes.undo()
        left = "all is as it was" if not troubles else f"but this was left: {'; '.join(troubles)}"
        if isinstance(e, (InstallError, OSError)):
            reason = e if isinstance(e, InstallError) else f"{e.strerror or e}: {e.filename or ''}"
            raise InstallError(f"{name}: {reason}; {remedy}; {left}") from e
        if isinstance(e, KeyboardInterrupt):
            raise InstallError(f"{name}: interrupted; {left}") from e
        raise
    changes.keep()
    return changes
