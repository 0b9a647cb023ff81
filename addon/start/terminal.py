"""The terminal that a process may have: one line for the user, and whether there is one at all."""

from __future__ import annotations

import os
import sys


def say(line: object) -> None:
    """One line for the user, as run.sh says its own."""
    print(f"docxy: {line}", file=sys.stderr, flush=True)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal; without one, tty(4) cannot be opened."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
