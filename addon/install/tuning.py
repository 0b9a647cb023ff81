"""The system's part of a fast line: what only root can set, each a step of its own.

A step has one file, which holds at each boot, and the kernel's value, which holds at once. The file
also says what the value was before, so that it can be given back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from addon.install.changes import Changes
from addon.install.machine import Machine
from addon.install.steps import Step

MODULES = "/etc/modules-load.d/docxy.conf"
_MODULE = "tcp_bbr"
_NET = "/proc/sys/net/ipv4"
_AVAILABLE = f"{_NET}/tcp_available_congestion_control"

# One connection over 200 ms at 300 Mbit/s has 7.5 MB on its way; the kernel counts twice that. It
# is a limit: memory is taken as a connection needs it, and tcp_mem bounds them all.
SEND_BUFFER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the kernel's.

    Attributes:
        step: the step's name.
        key: as sysctl(8) names it.
        why: half a sentence.
        wanted: the value that is to be, of the one that is.
    """

    step: str
    key: str
    why: str
    wanted: Callable[[str], str]

    @property
    def file(self) -> str:
        """Where it is kept for the next boot."""
        return f"/etc/sysctl.d/60-docxy-{self.step.replace(' ', '-')}.conf"

    @property
    def proc(self) -> str:
        """The kernel's own file."""
        return f"/proc/sys/{self.key.replace('.', '/')}"


def with_bbr(allowed: str) -> str:
    """The congestion controls that every user may choose, bbr among them."""
    names = allowed.split()
    return " ".join(names if "bbr" in names else [*names, "bbr"])


def with_room(buffers: str) -> str:
    """tcp_wmem (least, first and largest size) with a largest one that fills a long line."""
    *smaller, largest = buffers.split()
    return " ".join([*smaller, str(max(int(largest), SEND_BUFFER))])


VALUES = (
    Value(
        "bbr allowed",
        "net.ipv4.tcp_allowed_congestion_control",
        "the mirror's user may choose bbr",
        with_bbr,
    ),
    Value(
        "no slow start after a pause",
        "net.ipv4.tcp_slow_start_after_idle",
        "an open connection keeps its rate while nothing is asked on it",
        lambda _before: "0",
    ),
    Value(
        "send buffer",
        "net.ipv4.tcp_wmem",
        "one connection fills a long line",
        with_room,
    ),
)


def tune() -> list[Step]:
    """The steps that set them."""
    module = Step(
        "bbr loaded", f"load {_MODULE}, at once and at each boot ({MODULES})", _load_module
    )
    return [module, *(_setting(value) for value in VALUES)]


def untune() -> list[Step]:
    """The steps that give back what was."""
    module = Step(
        "bbr loaded",
        f"remove {MODULES}; the module stays until the next boot",
        lambda changes: changes.remove(MODULES),
    )
    return [*(_giving_back(value) for value in reversed(VALUES)), module]


def _setting(value: Value) -> Step:
    return Step(
        value.step, f"set {value.key}: {value.why} ({value.file})", lambda c: _set(c, value)
    )


def _giving_back(value: Value) -> Step:
    return Step(
        value.step,
        f"remove {value.file} and give {value.key} its former value",
        lambda changes: _give_back(changes, value),
    )


def _load_module(changes: Changes) -> None:
    machine = changes.machine
    if "bbr" not in (machine.read(_AVAILABLE) or "").split():
        done = machine.run(("modprobe", _MODULE), {})
        if done.code:
            changes.notes.append(
                f"this kernel has no {_MODULE} to load: connections to clients stay with cubic"
                " (in a container: load it on the host)"
            )
            return
        changes.any = True
        changes.on_failure("unloading bbr", lambda: machine.run(("modprobe", "-r", _MODULE), {}))
    changes.write(MODULES, f"{_MODULE}\n")


def _set(changes: Changes, value: Value) -> None:
    current = changes.machine.read(value.proc)
    if current is None:
        changes.notes.append(f"{value.key} is left: this kernel or container has none")
        return
    wanted = value.wanted(current)
    try:
        changes.set_value(value.proc, wanted)
    except OSError as e:
        changes.notes.append(
            f"{value.key} is left at {_one_line(current)}: {e.strerror or e}"
            " (in a container: set it on the host)"
        )
        return
    before = _before(changes.machine, value) or _one_line(current)
    changes.write(
        value.file, f"# Made by Docxy's installer; before: {before}\n{value.key} = {wanted}\n"
    )


def _give_back(changes: Changes, value: Value) -> None:
    machine = changes.machine
    text = machine.read(value.file)
    if text is None:
        return
    before = _before(machine, value)
    ours = text.rpartition("=")[2].split()
    # Somebody else's value is not ours to take away.
    if before and ours == (machine.read(value.proc) or "").split():
        try:
            changes.set_value(value.proc, before)
        except OSError as e:
            changes.notes.append(f"{value.key} stays until the next boot: {e.strerror or e}")
    changes.remove(value.file)


def _before(machine: Machine, value: Value) -> str:
    match = re.search(r"before: (.+)", machine.read(value.file) or "")
    return match[1].strip() if match else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
