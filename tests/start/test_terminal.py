"""A line for the user, and whether there is a terminal, in processes with and without one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from addon.start.terminal import say, write_whole_lines

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


@pytest.mark.parametrize("flags", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_a_line_and_its_end_are_written_together_and_at_once(flags: list[str]) -> None:
    # Each write to a pipe of packets is read for itself (pipe(2), O_DIRECT).
    reading, writing = os.pipe2(os.O_DIRECT)
    code = (
        "import sys\nfrom addon.start.terminal import write_whole_lines\n"
        "write_whole_lines(sys.stdout)\nprint('one')\nprint('two')\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, *flags, "-c", code], stdin=subprocess.PIPE, stdout=writing
    ) as process:
        os.close(writing)
        assert [os.read(reading, 100), os.read(reading, 100)] == [b"one\n", b"two\n"]
        process.communicate()
    os.close(reading)


def test_what_is_no_files_text_is_left_alone() -> None:
    write_whole_lines(None)
