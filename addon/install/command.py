"""`./run.sh install` and `./run.sh uninstall`: the command line."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from addon.install import places
from addon.install.answers import (
    Answers,
    check_email,
    parse_allow,
    parse_answers,
    renew_answers,
)
from addon.install.checks import troubles
from addon.install.installing import Order, install_steps, is_open, uninstall_steps
from addon.install.machine import InstallError, Machine
from addon.install.release import is_installed
from addon.install.settings import get
from addon.install.steps import Step, take_all

OPEN = (
    "the mirror is open to everyone: one stranger can use up Docker Hub's pull limit of this"
    " address; --allow 192.0.2.0/24,... lets in only whom you know"
)
_QUESTION = (
    "Which networks may use the mirror (192.0.2.0/24,2001:db8::/32; nothing means everyone)? "
)

# A folder that is always there, and that nobody else can open and so hold an installer off.
LOCKED = "/root"

Say = Callable[[str], None]


class _UsageError(Exception):
    """A word on the command line is wrong."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message} ({self.prog} --help)")


def make_parser() -> argparse.ArgumentParser:
    """What may be said."""
    parser = _Parser(prog="./run.sh", description="Docxy on a server, with systemd. Needs root.")
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser(
        "install",
        prog="./run.sh install",
        help="install, or upgrade what is installed and keep its settings",
        description="Install the mirror as a service, or upgrade it and keep its settings.",
    )
    install.add_argument("--domain", help="the mirror's name, which leads to this machine")
    install.add_argument("--email", default="", help="for the authority of the certificate")
    install.add_argument(
        "--allow",
        metavar="CIDR,...",
        help="who may use the mirror (docxy_allow); '' lets everyone in",
    )
    install.add_argument(
        "--workers", metavar="N|auto", help="processes that share the ports (default: auto)"
    )
    install.add_argument(
        "--acme-home", metavar="DIR", help="acme.sh's folder (default: /root/.acme.sh)"
    )
    install.add_argument(
        "--acme-server",
        metavar="URL",
        help="the authority: a name of acme.sh's or its directory's address (default: letsencrypt)",
    )
    tune = install.add_mutually_exclusive_group()
    tune.add_argument(
        "--no-tune",
        dest="tune",
        action="store_false",
        default=None,
        help="leave the kernel's network settings",
    )
    tune.add_argument("--tune", dest="tune", action="store_true", help="set them after all")
    remove = commands.add_parser(
        "uninstall", prog="./run.sh uninstall", help="remove all that install has made"
    )
    for each in (install, remove):
        each.add_argument("--dry-run", action="store_true", help="show every step, and take none")
    return parser


def read_answers(machine: Machine) -> Answers | None:
    """What was said the last time; None where nothing is kept.

    Raises:
        InstallError: it cannot be read.
    """
    text = machine.read(places.ANSWERS)
    return None if text is None else parse_answers(text)


def install(machine: Machine, said: argparse.Namespace, say: Say, ask: Callable[[], str]) -> None:
    """Install or upgrade.

    Args:
        machine: what is worked on.
        said: the words.
        say: how a line is said.
        ask: asks who may use the mirror; called only where nobody has said so yet.

    Raises:
        InstallError: it is not installed, and all is as before.
    """
    check_email(said.email)
    names = ("domain", "workers", "acme_home", "acme_server", "tune")
    answers = renew_answers(read_answers(machine), {name: getattr(said, name) for name in names})
    stops = list(troubles(machine, answers))
    if stops and not said.dry_run:
        raise InstallError(f"{stops[0]}; nothing was changed")
    allow = parse_allow(said.allow) if said.allow is not None else None
    if allow is None and not machine.has(places.SETTINGS) and not said.dry_run:
        allow = parse_allow(ask())
    order = Order(answers, allow=allow, email=said.email)
    steps = install_steps(machine, order)
    if said.dry_run:
        show(steps, say)
        for line in stops:
            say(f"this would stop before the first step: {line}")
    else:
        for note in take_all(steps, machine, say).notes:
            say(f"note: {note}")
        url = get(machine.read(places.SETTINGS) or "", "docxy_public_url")
        say(f"{url} serves; settings: {places.SETTINGS}; its log: journalctl -u docxy")
    if is_open(machine, order):
        say(f"warning: {OPEN}")


def uninstall(machine: Machine, said: argparse.Namespace, say: Say) -> None:
    """Remove what is installed.

    Raises:
        InstallError: it is not removed, and all is as before.
    """
    if not is_installed(machine):
        say("nothing is installed")
        return
    steps = uninstall_steps(read_answers(machine))
    if said.dry_run:
        show(steps, say)
        return
    for note in take_all(steps, machine, say).notes:
        say(f"note: {note}")
    say("removed")


def show(steps: Sequence[Step], say: Say) -> None:
    """Say what would be done."""
    for step in steps:
        say(f"{step.name}: would {step.does}")


def ask_on_terminal() -> str:
    """Ask who may use the mirror, if somebody is there to answer."""
    return input(f"docxy: {_QUESTION}") if sys.stdin.isatty() else ""


def say_line(line: str) -> None:
    """One line for the user, as run.sh says its own."""
    print(f"docxy: {line}", file=sys.stderr, flush=True)


@contextmanager
def alone() -> Iterator[None]:
    """Hold off a second installer while this one runs; who is not root changes nothing.

    Raises:
        InstallError: one runs already.
    """
    if os.geteuid():
        yield
        return
    descriptor = os.open(LOCKED, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as e:
        raise InstallError("another installer is at work; wait for its end") from e
    finally:
        os.close(descriptor)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    # The way back must not be interrupted.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Install or uninstall; the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    os.umask(0o022)
    try:
        said = make_parser().parse_args(arguments)
        if os.geteuid() and not said.dry_run:
            raise _UsageError(f"{said.command} needs root: sudo ./run.sh {said.command} ...")
        machine = Machine()
        with alone():
            if said.command == "install":
                install(machine, said, say_line, ask_on_terminal)
            else:
                uninstall(machine, said, say_line)
    except _UsageError as e:
        say_line(str(e))
        return 2
    except InstallError as e:
        say_line(str(e))
        return 1
    except (KeyboardInterrupt, EOFError):
        say_line("interrupted; nothing was changed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
