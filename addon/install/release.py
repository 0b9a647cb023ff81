"""A release below /opt: a copy of the project with a virtual environment of its own.

Each is in a folder named by its content, and a link leads to the one that is used, so that an
upgrade is a new folder and a new link, and the way back is the old link.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from addon import __version__
from addon.install import places
from addon.install.changes import Changes
from addon.install.machine import Machine
from addon.install.steps import Step

# Of a developer's folder only this: no environment, no cache, no state of a mirror.
PARTS = ("LICENSE", "README.md", "addon", "docs", "pyproject.toml", "run.sh", "tests")
_COMPLETE = ".complete"

PROJECT = Path(__file__).resolve().parent.parent.parent


def release_name(project: Path = PROJECT) -> str:
    """The folder's name: version, content, and the Python that the environment is made with."""
    content = hashlib.sha256()
    for path in _files(project):
        content.update(f"{path.relative_to(project)}\0".encode())
        content.update(hashlib.sha256(path.read_bytes()).digest())
    # An environment outlives an update of its Python, but not a new minor version.
    python = f"py{sys.version_info[0]}.{sys.version_info[1]}"
    return f"{__version__}-{content.hexdigest()[:12]}-{python}"


def install_release(project: Path = PROJECT) -> Step:
    """The step that puts the project below /opt."""
    name = release_name(project)
    return Step(
        "release",
        f"copy the project to {places.PROGRAM}/{name}, install mitmproxy and what else it needs"
        f" into a virtual environment there, and link {places.CURRENT} to it",
        lambda changes: _install(changes, project, name),
        remedy="the machine must reach the package index (pypi.org, or PIP_INDEX_URL)",
    )


def remove_old_releases(project: Path = PROJECT) -> Step:
    """The step that removes the releases that were used before."""
    name = release_name(project)
    return Step(
        "old releases",
        f"remove what is in {places.PROGRAM} besides {name}",
        lambda changes: _remove_others(changes, name),
    )


def _install(changes: Changes, project: Path, name: str) -> None:
    machine = changes.machine
    path = f"{places.PROGRAM}/{name}"
    if not machine.has(f"{path}/{_COMPLETE}"):
        changes.folder(places.PROGRAM, 0o755)
        changes.remove(path)
        changes.on_failure(f"removing {path}", lambda: _remove_tree(machine.at(path)))
        copy_project(project, machine.at(path))
        _make_environment(changes, path)
        changes.write(f"{path}/{_COMPLETE}", "")
    changes.link(places.CURRENT, name)


def _make_environment(changes: Changes, path: str) -> None:
    trial = f"{path}/.trial"
    environ = {"DOCXY_PYTHON": sys.executable, "DOCXY_STATE_DIR": trial}
    # run.sh's own way to install. That mitmproxy then tells its version shows that it can start.
    changes.run(f"{path}/run.sh", "--version", environ=environ)
    _remove_tree(changes.machine.at(trial))
    # The mirror's user may not write what Python would compile.
    changes.run(f"{path}/.venv/bin/python", "-m", "compileall", "-q", f"{path}/addon")


def copy_project(project: Path, target: Path) -> None:
    """Copy what belongs to the project, readable by everyone and writable by its owner."""
    for source in _files(project):
        copy = target / source.relative_to(project)
        for folder in reversed(copy.parents[: len(copy.relative_to(target).parents)]):
            if not folder.is_dir():
                folder.mkdir(parents=True)
                folder.chmod(0o755)
        shutil.copyfile(source, copy)
        copy.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _files(project: Path) -> Iterator[Path]:
    for part in PARTS:
        path = project / part
        if path.is_file():
            yield path
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _remove_others(changes: Changes, name: str) -> None:
    folder = changes.machine.at(places.PROGRAM)
    for entry in sorted(os.listdir(folder)):
        if entry not in (name, Path(places.CURRENT).name) and not entry.startswith("."):
            changes.remove(f"{places.PROGRAM}/{entry}")


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def is_installed(machine: Machine) -> bool:
    """Whether there is an installation, be it half of one."""
    return any(machine.has(p) for p in (places.UNIT, places.ETC, places.PROGRAM, places.STATE))
