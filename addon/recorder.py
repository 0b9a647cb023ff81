"""`./run.sh record FILE -- COMMAND…`: a mirror for one command, and a recording of what it asked.

The mirror is a process of its own on a free port of 127.0.0.1. Its recording is mitmproxy's (`-w`),
so whatever the mirror does to what it saves holds here too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from addon.start.terminal import say
from addon.start.words import refuse_workers

USAGE = "use: ./run.sh record FILE [the mirror's options] -- COMMAND…"

START_SECONDS = 60.0
STOP_SECONDS = 10.0
LAST_LINES = 5

# A shell's codes for a command that it cannot run.
NOT_EXECUTABLE, NOT_FOUND = 126, 127

# Its line in the log once it serves (startup.py); where it listens, not the name in a certificate.
_ADDRESS: Final = re.compile(r"^.*\(listening: (127\.0\.0\.1:\d+)[,)]", re.MULTILINE)

# What a certificate is found by: the command is given an address without one.
_OF_CERTIFICATES: Final = ("CERT_PATH", "KEY_PATH", "DOMAIN")

_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AWAITED: Final = (*_FORWARDED, signal.SIGCHLD)
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


@dataclass(frozen=True, slots=True)
class Order:
    """What the user wants recorded."""

    file: Path
    options: tuple[str, ...]
    """For the mirror."""
    command: tuple[str, ...]


class Failed(Exception):
    """There is no recording; the message is the line for the user."""

    def __init__(self, line: str, code: int = 1) -> None:
        super().__init__(line)
        self.code = code


def parse_order(words: Sequence[str]) -> Order:
    """Read the command line.

    Raises:
        Failed: there is no file, no command, or an option that would record elsewhere.
    """
    if "--" not in words:
        raise Failed(USAGE, 2)
    end = list(words).index("--")
    said, command = words[:end], words[end + 1 :]
    if not said or said[0].startswith("-") or not said[0] or not command:
        raise Failed(USAGE, 2)
    file, *options = said
    try:
        refuse_workers(options, "record")
    except ValueError as e:
        raise Failed(str(e), 2) from e
    return Order(Path(file).absolute(), tuple(options), tuple(command))


def mirror_arguments(order: Order) -> list[str]:
    """What the mirror is told: what record stands for comes last, and wins."""
    return [
        *_unless_said(order, "docxy_acme_home="),
        # Once the command has ended nobody is left who waits for an answer.
        *_unless_said(order, "docxy_drain_timeout=0"),
        # What the mirror sends belongs to what is looked for in a recording.
        *_unless_said(order, "docxy_own_flows=true"),
        # It lives as long as one command, beside the mirror that is watched.
        *_unless_said(order, "docxy_metrics="),
        *("--listen-port", "0"),
        *order.options,
        *("--listen-host", "127.0.0.1"),
        # mitmproxy reads a date's formats in it.
        *("--save-stream-file", str(order.file).replace("%", "%%")),
    ]


def _unless_said(order: Order, setting: str) -> tuple[str, ...]:
    # Two `--set` of one name would be a list, which these options are not.
    name = setting.partition("=")[0]
    is_said = any(word.startswith(f"{name}=") for word in order.options)
    return () if is_said else ("--set", setting)


def reserve(file: Path) -> None:
    """Make the file, readable by its owner alone.

    Raises:
        Failed: it is there already, or cannot be made.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as e:
        raise Failed(f"{file} is there already; remove it, or name another file", 2) from e
    except OSError as e:
        raise Failed(f"cannot make {file}: {e.strerror or e}", 2) from e


def address_in(log: str) -> str:
    """Where a mirror serves, once it has said so."""
    found = _ADDRESS.search(log)
    return found[1] if found else ""


def exit_code(returncode: int) -> int:
    """A process's end as a shell's exit code."""
    return 128 - returncode if returncode < 0 else returncode


class Mirror:
    """The mirror's process and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], log: BinaryIO) -> None:
        self._process = process
        self._log = log

    def wait_until_it_serves(self, seconds: float = START_SECONDS) -> str:
        """Its address.

        Raises:
            Failed: it ended, or a signal came, or it took too long.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            address = address_in(self._read())
            if address:
                return address
            if self._process.poll() is not None:
                break
            came = signal.sigtimedwait(_AWAITED, 0.05)
            if came and came.si_signo in _FORWARDED:
                raise Failed("stopped before the mirror served", 128 + came.si_signo)
        raise Failed(f"the mirror does not start:\n{self.last_lines()}")

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def last_lines(self) -> str:
        """What it said last."""
        lines = [line for line in self._read().splitlines() if line.strip()]
        return "\n".join(f"  {line}" for line in lines[-LAST_LINES:])

    def stop(self) -> None:
        """End it in good order, which completes the recording."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> str:
        # By its own offset: the mirror writes at the one that both share.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")


@contextlib.contextmanager
def running_mirror(order: Order, mask: Iterable[int]) -> Iterator[Mirror]:
    """A mirror that records, ended with the block."""
    environ = {k: v for k, v in os.environ.items() if k not in _OF_CERTIFICATES}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "addon.launch", *mirror_arguments(order)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**environ, "PYTHONUNBUFFERED": "1"},
            # What the terminal sends to all in the foreground is not for the mirror: the command
            # may go on.
            process_group=0,
            preexec_fn=_in_the_mirror(mask),
        )
        mirror = Mirror(process, log)
        try:
            yield mirror
        finally:
            mirror.stop()


def _in_the_mirror(mask: Iterable[int]) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        # Nobody would end it if this process were killed.
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    return prepare


def run_command(command: Sequence[str], address: str, mask: Iterable[int]) -> int:
    """Run the command to its end; its exit code.

    Raises:
        Failed: there is no such command.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - what the user wants run
            command,
            env={**os.environ, "DOCXY": address},
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
        )
    except FileNotFoundError as e:
        raise Failed(f"{command[0]}: there is no such command", NOT_FOUND) from e
    except OSError as e:
        raise Failed(f"{command[0]}: {e.strerror or e}", NOT_EXECUTABLE) from e
    while process.poll() is None:
        came = signal.sigwaitinfo(_AWAITED)
        # What the terminal sends (the kernel, so above 0) has reached the command as well.
        if came.si_signo in _FORWARDED and came.si_code <= 0:
            process.send_signal(came.si_signo)
    return exit_code(process.returncode)


def record(order: Order) -> int:
    """Record a command; its exit code.

    Raises:
        Failed: there is no recording.
    """
    reserve(order.file)
    # Blocked, they wait until they are asked for; the two children get what was before.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    try:
        with running_mirror(order, mask) as mirror:
            address = mirror.wait_until_it_serves()
            code = run_command(order.command, address, mask)
            ended = f":\n{mirror.last_lines()}" if mirror.has_ended else ""
    except Failed:
        order.file.unlink(missing_ok=True)
        raise
    if ended:
        say(f"the mirror ended before the command did{ended}")
    say(f"the recording is {order.file} ({order.file.stat().st_size} bytes)")
    return code


def main() -> int:
    """Record what the command line says."""
    try:
        return record(parse_order(sys.argv[1:]))
    except Failed as e:
        say(e)
        return e.code


if __name__ == "__main__":
    sys.exit(main())
