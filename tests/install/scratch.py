"""A machine in a folder: its files are real, its programs are acted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from addon.install import places, settings
from addon.install.answers import Answers
from addon.install.installing import Order, install_steps, uninstall_steps
from addon.install.machine import Done, Machine
from addon.install.steps import take_all

HOME = "/root/.acme.sh"
DOMAIN = "mirror.example.com"
NET = "/proc/sys/net/ipv4"

_FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\n",
    "/etc/os-release": 'NAME="Debian GNU/Linux"\nID=debian\n',
    f"{NET}/tcp_available_congestion_control": "reno cubic\n",
    f"{NET}/tcp_allowed_congestion_control": "reno cubic\n",
    f"{NET}/tcp_slow_start_after_idle": "1\n",
    f"{NET}/tcp_wmem": "4096 16384 4194304\n",
    f"{HOME}/acme.sh": "#!/bin/sh\n",
    f"{HOME}/account.conf": "ACCOUNT_EMAIL=''\n",
}
_FOLDERS = (
    "/run/systemd/system",
    "/etc/systemd/system/multi-user.target.wants",
    "/etc/sysctl.d",
    "/etc/modules-load.d",
    "/opt",
    "/var/lib",
)


@dataclass
class Scratch:
    """The acted programs, and what they have done besides their files.

    Attributes:
        root: the folder.
        calls: all that was run.
        fails: whether a call fails; asked with its number and its words.
        half: a call that fails has done its work all the same.
        running: the unit, release and settings that the mirror was started with; None: it is not.
        proves: whether the authority finds what acme.sh has put into the webroot.
        trouble: why the mirror does not answer.
        refused: a release that does not start, by a word in one of its files.
    """

    root: Path
    calls: list[tuple[str, ...]] = field(default_factory=list)
    fails: Callable[[int, tuple[str, ...]], bool] = lambda _number, _words: False
    half: bool = False
    running: tuple[str | None, str, str | None] | None = None
    refused: str = "does not start"
    proves: bool = True
    trouble: str = ""
    issued: int = 0

    def __post_init__(self) -> None:
        for path, text in _FILES.items():
            self.put(path, text)
        for folder in _FOLDERS:
            self.at(folder).mkdir(parents=True)

    @property
    def machine(self) -> Machine:
        chown = os.chown if os.geteuid() == 0 else _no_chown
        return Machine(
            self.root, run=self.run, chown=lambda *a: chown(*a, follow_symlinks=False),
            port_is_free=lambda _port: True, ask_health=lambda _name, _port: self.trouble,
        )  # fmt: skip

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def put(self, path: str, text: str) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text)

    def text(self, path: str) -> str:
        return self.at(path).read_text()

    def run(self, words: Sequence[str], environ: Mapping[str, str]) -> Done:
        said = tuple(words)
        self.calls.append(said)
        fails = self.fails(len(self.calls) - 1, said)
        if fails and not self.half:
            return Done(1, "it was made to fail\n")
        name = Path(said[0]).name.replace(".", "_").replace("-", "_")
        act: Callable[..., Done] = getattr(self, f"_{name}", lambda *_: Done(0))
        done = act(said)
        return Done(1, "it was made to fail\n") if fails else done

    # ---- The programs

    def _useradd(self, words: tuple[str, ...]) -> Done:
        with self.at("/etc/passwd").open("a") as file:
            file.write(f"{words[-1]}:x:990:989::{places.STATE}:/usr/sbin/nologin\n")
        with self.at("/etc/group").open("a") as file:
            file.write(f"{words[-1]}:x:989:\n")
        return Done(0)

    def _userdel(self, words: tuple[str, ...]) -> Done:
        for path in ("/etc/passwd", "/etc/group"):
            lines = self.text(path).splitlines(keepends=True)
            self.put(path, "".join(one for one in lines if not one.startswith(f"{words[-1]}:")))
        return Done(0)

    def _modprobe(self, words: tuple[str, ...]) -> Done:
        names = "reno cubic" if words[1] == "-r" else "reno cubic bbr"
        self.put(f"{NET}/tcp_available_congestion_control", f"{names}\n")
        return Done(0)

    def _crontab(self, _words: tuple[str, ...]) -> Done:
        return Done(0, '4 4 * * * "/root/.acme.sh"/acme.sh --cron\n')

    def _journalctl(self, _words: tuple[str, ...]) -> Done:
        return Done(0, "the mirror said why\n")

    def _systemctl(self, words: tuple[str, ...]) -> Done:
        verb, wants = words[1], self.at(places.WANTED)
        if verb in ("stop", "restart") or "--now" in words:
            self.running = None
        if verb in ("start", "restart"):
            return self._start()
        if verb == "is-active":
            return Done(0 if self.running else 3)
        if verb == "enable" and not os.path.lexists(wants):
            wants.symlink_to(places.UNIT)
        if verb == "disable":
            wants.unlink(missing_ok=True)
        return Done(0)

    def _start(self) -> Done:
        machine = self.machine
        release = os.readlink(self.at(places.CURRENT))
        program = self.at(f"{places.PROGRAM}/{release}/addon/__init__.py")
        if self.refused in program.read_text() or not machine.has(places.UNIT):
            return Done(1, "Job for docxy.service failed.\n")
        text = machine.read(f"{places.CONFDIR}/config.yaml") or machine.read(places.SETTINGS)
        needed = settings.get(text or "", "docxy_cert_path")
        if needed and not machine.read(needed):
            return Done(1, "Job for docxy.service failed.\n")
        self.running = (machine.read(places.UNIT), release, text)
        return Done(0)

    def _run_sh(self, words: tuple[str, ...]) -> Done:
        release = self.at(words[0]).parent
        for path in (".venv/bin/python", ".trial/mitmproxy/ca.pem"):
            (release / path).parent.mkdir(parents=True)
            (release / path).write_text("")
        return Done(0, "Mitmproxy: 11.0.2\n")

    def _acme_sh(self, words: tuple[str, ...]) -> Done:
        domain = words[words.index("--domain") + 1]
        folder = f"{HOME}/{domain}_ecc"
        self.put(f"{HOME}/http.header", f"{len(self.calls)}\n")
        if "--issue" in words:
            return self._issue(words, domain, folder)
        conf = self.text(f"{folder}/{domain}.conf")
        for option, name, source in (
            ("--key-file", "Le_RealKeyPath", f"{folder}/{domain}.key"),
            ("--fullchain-file", "Le_RealFullChainPath", f"{folder}/fullchain.cer"),
        ):
            target = words[words.index(option) + 1]
            conf += f"{name}='{target}'\n"
            with self.at(target).open("w") as file:  # in place, as acme.sh does
                file.write(self.text(source))
        self.put(f"{folder}/{domain}.conf", conf)
        return Done(0)

    def _issue(self, words: tuple[str, ...], domain: str, folder: str) -> Done:
        webroot = words[words.index("--webroot") + 1]
        text = self.running[2] if self.running else None
        self.put(f"{folder}/{domain}.csr", "asked\n")
        if not self.proves or not text or settings.get(text, "docxy_acme_webroot") != webroot:
            return Done(1, "[Sat Nov 28 03:40:47 UTC 2026] mirror.example.com: Invalid status.\n")
        self.issued += 1
        self.put(f"{HOME}/ca/{words[words.index('--server') + 1]}/account.key", "an account\n")
        self.hold(words[words.index("--webroot") + 1], domain=domain)
        return Done(0)

    def hold(self, webroot: str, *, domain: str = DOMAIN, more: str = "") -> None:
        """Have acme.sh hold a certificate."""
        folder = f"{HOME}/{domain}_ecc"
        self.put(
            f"{folder}/{domain}.conf",
            f"Le_Domain='{domain}'\nLe_Alt='no'\nLe_Webroot='{webroot}'\n{more}",
        )
        self.put(f"{folder}/{domain}.key", f"key {self.issued}\n")
        self.put(f"{folder}/fullchain.cer", f"chain {self.issued}\n")


def _no_chown(*_arguments: object, **_names: object) -> None:
    """Only root gives files away."""


def make_project(folder: Path, text: str = "first") -> Path:
    """A small project that can be installed."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "addon" / "views").mkdir(parents=True)
    for name in ("run.sh", "pyproject.toml", "README.md", "addon/views/__init__.py"):
        (folder / name).write_text(f"{name}\n")
    (folder / "addon" / "__init__.py").write_text(f"{text}\n")
    (folder / "run.sh").chmod(0o755)
    return folder


def install(scratch: Scratch, project: Path, **said: object) -> list[str]:
    """Install as the command does; what it notes."""
    allow = said.pop("allow", None)
    answers = Answers(domain=DOMAIN, **said)  # type: ignore[arg-type]  # names of its fields
    order = Order(answers, allow=allow if isinstance(allow, str) else None, project=project)
    return take_all(install_steps(scratch.machine, order), scratch.machine, lambda _: None).notes


def uninstall(scratch: Scratch, home: str = HOME) -> list[str]:
    """Uninstall as the command does; what it notes."""
    answers = Answers(domain=DOMAIN, acme_home=home)
    return take_all(uninstall_steps(answers), scratch.machine, lambda _: None).notes
