"""The terminal that a process may have: one line for the user, and whether there is one at all."""

from __future__ import annotations

import io
import os
import sys


def say(line: object) -> None:
    """One line for the user, as run.sh says its own."""
    print(f"docxy: {line}", file=sys.stderr, flush=True)


def write_whole_lines(stream: object) -> None:
    """Write each line as it is printed, and at once.

    A pipe, such as a container's log, would get lines only with 8 KiB of them; and with
    PYTHONUNBUFFERED a line and its end apart, so that those of several workers would mix.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(line_buffering=True, write_through=False)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal; without one, tty(4) cannot be opened."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
