"""A program under the unit's restrictions, as far as they can be had without systemd.

Run as root, as `unshare --mount python -m tests.e2e.confined FOLDER -- PROGRAM...`: the disk is
read-only but for FOLDER's `state`, home directories and /tmp are empty but for what the program is
made of, and it runs as a user without rights, but for binding ports below 1024.

Not applied: SystemCallFilter, RestrictAddressFamilies and what else systemd does by seccomp, and
the limits by cgroup.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.running import PROJECT

USER = 64990
CAPABILITY = "net_bind_service"
# ProtectHome and PrivateTmp.
EMPTY = {"/home": "0755", "/root": "0755", "/tmp": "1777", "/var/tmp": "1777"}


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def confine(folder: Path) -> None:
    """Make this mount namespace as the unit's is."""
    os.umask(0o022)
    mount("--make-rprivate", "/")
    needed = {PROJECT, Path(sys.prefix), Path(sys.base_prefix), folder}
    # Opened before the folders above them are hidden.
    opened = {path: os.open(path, os.O_PATH) for path in needed if _is_hidden(path)}
    for place, mode in EMPTY.items():
        if Path(place).is_dir():
            mount("-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", place)
    for path, descriptor in opened.items():
        path.mkdir(parents=True, exist_ok=True)
        # Not by the path that this is a link to: another folder is there by then.
        source = f"/proc/{os.getpid()}/fd/{descriptor}"
        mount("--no-canonicalize", "--bind", source, str(path))
    state = folder / "state"
    mount("--bind", str(state), str(state))
    # ProtectSystem=strict.
    for place in [*_mounted_elsewhere(), *map(str, opened)]:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=False)


def _mounted_elsewhere() -> list[str]:
    """What is mounted, but for the kernel's own and what is hidden by now."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = {line.split()[4].replace("\\040", " ") for line in lines}
    kept = ("/proc", "/sys", "/dev", "/tmp", "/var/tmp")
    below = (*kept, *EMPTY)
    return sorted(
        place
        for place in places
        if place not in kept and not any(place.startswith(f"{each}/") for each in below)
    )


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in EMPTY)


def run(words: list[str]) -> None:
    """Become the program, as a user without rights."""
    only = f"-all,+{CAPABILITY}"
    os.umask(0o077)
    os.execvp(
        "setpriv",
        [
            "setpriv",
            f"--reuid={USER}",
            f"--regid={USER}",
            "--clear-groups",
            f"--bounding-set={only}",
            f"--inh-caps={only}",
            f"--ambient-caps={only}",
            "--no-new-privs",
            *words,
        ],
    )


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    run(sys.argv[3:])
