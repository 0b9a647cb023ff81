"""The Python side of ``run.sh``: read the user's words, try the ports, start mitmdump.

`inspector.py` and `recorder.py` start the same mirror in other ways.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from addon.start.configfile import config_files
from addon.start.listeners import Listener, check_listeners
from addon.start.plan import make_plan, usual_monitor_port
from addon.start.terminal import say, write_whole_lines
from addon.start.words import Words, parse_words, split_workers, without_mark
from addon.tls import acme
from addon.workers.supervisor import supervise
from addon.workers.worker import parse_worker

PROJECT = Path(__file__).resolve().parent.parent
ACME_HOME = "~/.acme.sh"


def has_certificate(words: Words, environ: Mapping[str, str]) -> bool:
    """Whether the mirror will speak TLS.

    Raises:
        ValueError: a certificate was named and cannot be found, or there are several.
    """
    if words.certs:
        return True
    found = acme.locate(
        cert_path=words.setting("docxy_cert_path"),
        key_path=words.setting("docxy_key_path"),
        domain=words.setting("docxy_domain"),
        acme_home=words.setting("docxy_acme_home", ACME_HOME),
        environ=environ,
    )
    return found is not None


def state_directory(environ: Mapping[str, str]) -> Path:
    """Where the mirror keeps what outlives it."""
    named = environ.get("DOCXY_STATE_DIR")
    return Path(named).expanduser().resolve() if named else PROJECT / ".docxy"


def make_private(directory: Path) -> None:
    """Make a directory that only its owner may read: mitmproxy writes the key of a CA into it.

    Raises:
        ValueError: it cannot be made; the message says why.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as e:
        raise ValueError(
            f"cannot make {directory}: {e.strerror or e}; name another place in DOCXY_STATE_DIR"
        ) from e


def read_config(directory: Path) -> dict[str, object]:
    """Read ``config.yaml``; what is wrong with it is left to mitmproxy to complain about.

    Raises:
        ValueError: it is no file.
    """
    found: dict[str, object] = {}
    for path in config_files(directory):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        from mitmproxy import exceptions, optmanager

        with contextlib.suppress(exceptions.OptionsError, TypeError, ValueError):
            found.update(optmanager.parse(text))  # type: ignore[no-untyped-call]  # mitmproxy's
    return found


@dataclass(frozen=True, slots=True)
class Start:
    """A mirror that can start."""

    words: Words
    listeners: tuple[Listener, ...]
    arguments: tuple[str, ...]
    """All of mitmproxy's."""


def prepare(arguments: Sequence[str], environ: Mapping[str, str]) -> Start:
    """What mitmproxy is to be told, once the ports and the config directory were tried.

    Raises:
        ValueError: the mirror cannot start; the message is the line for the user.
    """
    state = state_directory(environ)
    own = state / "mitmproxy"
    confdir = parse_words(arguments).setting("confdir")
    words = parse_words(arguments, read_config(Path(confdir).expanduser() if confdir else own))
    certificate = words.listens and has_certificate(words, environ)
    mirror = PROJECT / "addon" / "mirror.py"
    plan = make_plan(words, has_certificate=certificate, mirror=mirror, confdir=own)
    check_listeners(plan.listeners)
    if not confdir:
        make_private(state)
        make_private(own)
    return Start(words, plan.listeners, (*plan.arguments, *without_mark(arguments)))


def raise_open_files() -> None:
    """Let this process hold as many connections as the system allows it.

    The soft limit, often 1024, is for programs that know no larger number (systemd, "File
    Descriptor Limits"); a pull of many layers takes some ten connections.
    """
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def begin() -> None:
    """Make a process that starts ready to be a mirror's."""
    # Until mitmproxy's loop takes them over, they would be a traceback, a code that a service
    # manager counts as a failure, or an end that leaves the private key behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores the last, so that the mirror outlives its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: sys.exit(0))
    write_whole_lines(sys.stdout)
    raise_open_files()


def run(tool: Callable[[list[str]], object], arguments: Sequence[str]) -> int:
    """One of mitmproxy's programs in this process; its own exit codes pass on as ``SystemExit``."""
    # mitmproxy puts the first in front of its messages; a reload reads the others again.
    sys.argv[:] = ["docxy", *arguments]
    tool(list(arguments))
    return 0


def start_mitmdump(arguments: Sequence[str], *, logs_json: bool) -> int:
    """The mirror, in this process."""
    if logs_json:
        # mitmproxy's line before the mirror is there, and can give it its form.
        logging.getLogger("mitmproxy.addons.script").setLevel(logging.WARNING)
    from mitmproxy.tools.main import mitmdump

    return run(mitmdump, arguments)


def main() -> int:
    """Start mitmdump, or the supervisor of several."""
    begin()
    worker = parse_worker(os.environ)
    if worker:
        # What it is told has been planned, and its ports are open. mitmproxy listens before it
        # loads a script, so this cannot be an addon's.
        from addon.workers.inherited import listen_on

        listen_on(worker.listeners)
        return start_mitmdump(sys.argv[1:], logs_json=worker.logs_json)
    try:
        workers, arguments = split_workers(sys.argv[1:])
        start = prepare(arguments, os.environ)
        logs_json = start.words.setting("docxy_log") == "json"
        if workers > 1 and start.listeners:
            if start.words.saves:
                raise ValueError(
                    "several workers would write over each other's flows (-w, hardump)"
                )
            return supervise(
                start.listeners,
                workers,
                start.arguments,
                spare=usual_monitor_port(start.words),
                logs_json=logs_json,
            )
    except ValueError as e:
        say(e)
        return 2
    return start_mitmdump(start.arguments, logs_json=logs_json)


if __name__ == "__main__":
    sys.exit(main())
