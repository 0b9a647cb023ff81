"""A line for the user, and whether there is a terminal, in processes with and without one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from addon.start.terminal import say

WITH = """
import fcntl, os, termios
held, terminal = os.openpty()
os.setsid()
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
"""
WITHOUT = "import os\nos.setsid()\n"


@pytest.mark.parametrize(
    ("prepared", "has_one"), [(WITH, "True"), (WITHOUT, "False")], ids=["with", "without"]
)
def test_a_process_knows_whether_it_has_a_terminal(prepared: str, has_one: str) -> None:
    code = f"{prepared}\nfrom addon.start.terminal import has_terminal\nprint(has_terminal())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == has_one, done.stderr


def test_a_line_begins_as_run_sh_begins_it(capsys: pytest.CaptureFixture[str]) -> None:
    say("why")
    assert capsys.readouterr().err == "docxy: why\n"
