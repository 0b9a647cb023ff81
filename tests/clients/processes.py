"""Clients and their daemons as processes: started, waited for, and ended without a trace."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

COMMAND_SECONDS = 90
START_SECONDS = 20.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.02


class ClientFailed(Exception):
    """A client refused; the text is all that it said."""


def need(*names: str) -> None:
    """Skip the test where one of these programs is not installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def run(
    command: Sequence[str], environ: Mapping[str, str], seconds: float = COMMAND_SECONDS
) -> str:
    """What a command printed.

    Raises:
        ClientFailed: its exit code is not 0.
    """
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode != 0:
        raise ClientFailed(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def becomes(condition: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


@contextmanager
def daemon(
    command: Sequence[str], environ: Mapping[str, str], log: Path, ready: Callable[[], bool]
) -> Iterator[None]:
    """A process that runs while the block does, from when it is ready."""
    with log.open("wb") as output:
        # setpriv: it ends with the tests, too, if these are killed.
        guarded = ("setpriv", "--pdeathsig=TERM", *command)
        process = subprocess.Popen(guarded, env=environ, stdout=output, stderr=output)
    try:
        started = becomes(lambda: process.poll() is not None or ready(), START_SECONDS)
        assert started, f"{command[0]} is not ready:\n{log.read_text()}"
        assert process.poll() is None, f"{command[0]} ended:\n{log.read_text()}"
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def succeeds(command: Sequence[str], environ: Mapping[str, str]) -> bool:
    try:
        run(command, environ)
    except ClientFailed:
        return False
    return True


def mounts_below(folder: Path) -> list[str]:
    """Mount points in a folder, the innermost first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((each for each in points if each.startswith(f"{folder}/")), reverse=True)


def processes_below(folder: Path) -> list[str]:
    """Command lines of the processes that have a folder in them, such as a daemon's children."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue  # it has ended
        if f"{folder}/" in words:
            found.append(words)
    return found
