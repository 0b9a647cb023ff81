"""The machine that is worked on: its files below a root, its programs, its ports."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from addon.install.places import USER

# What programs are given of the caller's environment: acme.sh refuses to work where it sees that
# sudo called it, and a folder of the caller's on the PATH must not decide what root runs.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_PASSED_ON_PREFIX = "PIP_"
_ANSWER_SECONDS = 10.0


class InstallError(Exception):
    """What stops an installation; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended."""

    code: int
    output: str = ""
    """Both of its streams, as they came."""


Run = Callable[[Sequence[str], Mapping[str, str]], Done]
"""Runs a program with the environment's variables added to a plain one."""


def run_program(words: Sequence[str], environ: Mapping[str, str]) -> Done:
    """Run a program to its end, with no input and root's own plain environment."""
    try:
        done = subprocess.run(  # noqa: S603 - the installer's own words, no shell
            list(words),
            env={**plain_environment(os.environ), **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
        )
    except FileNotFoundError:
        return Done(127, f"{words[0]}: there is no such program")
    except OSError as e:
        return Done(126, f"{words[0]}: {e.strerror or e}")
    return Done(done.returncode, done.stdout)


def plain_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Root's own environment, with the ways out that the caller has set."""
    passed = {
        name: value
        for name, value in environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIX)
    }
    return {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", **passed}


def port_is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine, on any of its addresses."""
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):  # noqa: S104 - as the mirror will
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # a kernel without IPv6
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def ask_health(name: str, port: int) -> str:
    """Ask this machine's own mirror over TLS whether it serves; why not, or nothing.

    The certificate is not checked: a test authority's is nobody's to trust.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            request = f"GET /health HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
            tls.sendall(request.encode())
            head = tls.recv(4096).decode("latin-1")
    except OSError as e:
        return str(e.strerror or e)
    line = head.partition("\r\n")[0]
    return "" if line.startswith("HTTP/1.1 200") else f"it answers {line!r}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, or a folder that stands for one."""

    root: Path = Path("/")
    run: Run = run_program
    chown: Callable[[Path, int, int], None] = field(
        default=lambda path, user, group: os.chown(path, user, group, follow_symlinks=False)
    )
    port_is_free: Callable[[int], bool] = port_is_free
    ask_health: Callable[[str, int], str] = ask_health

    def at(self, path: str) -> Path:
        """Where an absolute path of the machine is."""
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        """A file's text; None where there is none that can be read."""
        try:
            return self.at(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def has(self, path: str) -> bool:
        """Whether something is there, were it a link that leads nowhere."""
        return os.path.lexists(self.at(path))

    def succeeds(self, *words: str) -> bool:
        """Whether a program that only looks says yes."""
        return self.run(words, {}).code == 0

    def user_ids(self) -> tuple[int, int] | None:
        """The mirror's user and group; None where there is no such user."""
        for line in (self.read("/etc/passwd") or "").splitlines():
            name, *rest = line.split(":")
            if name == USER and len(rest) >= 3:
                return int(rest[1]), int(rest[2])
        return None
