from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from addon.install import places
from addon.install.machine import Done, InstallError
from addon.install.release import (
    PARTS,
    PROJECT,
    copy_project,
    install_release,
    is_installed,
    release_name,
    remove_old_releases,
)
from addon.install.steps import take_all
from tests.install.scratch import Scratch, make_project


def test_a_release_is_named_by_its_content(project: Path) -> None:
    name = release_name(project)
    (project / "addon" / "__pycache__").mkdir()
    (project / "addon" / "__pycache__" / "x.pyc").write_bytes(b"1")
    (project / ".venv").mkdir()
    assert release_name(project) == name
    (project / "addon" / "x.py").write_text("")
    assert release_name(project) != name


def test_a_copy_is_for_everyone_to_read_whatever_the_users_umask(
    project: Path, tmp_path: Path
) -> None:
    for path in project.rglob("*"):
        path.chmod(0o700 if path.is_dir() or path.name == "run.sh" else 0o600)
    copy_project(project, tmp_path / "copy")
    modes = {
        str(path.relative_to(tmp_path / "copy")): path.stat().st_mode & 0o7777
        for path in (tmp_path / "copy").rglob("*")
    }
    assert modes.pop("run.sh") == modes.pop("addon") == modes.pop("addon/views") == 0o755
    assert set(modes.values()) == {0o644}
    assert release_name(tmp_path / "copy") == release_name(project)


def test_all_parts_of_the_project_are_known() -> None:
    # What is new at the top belongs to a release, or is left out knowingly.
    left_out = (".", "build", "__pycache__")
    there = {path.name for path in PROJECT.iterdir() if not path.name.startswith(left_out)}
    assert {name for name in there if not name.endswith(".egg-info")} == set(PARTS)


def test_what_a_run_left_half_done_is_done_again(scratch: Scratch, project: Path) -> None:
    scratch.put(f"{places.PROGRAM}/{release_name(project)}/half", "")
    take_all([install_release(project)], scratch.machine, lambda _: None)
    assert "half" not in os.listdir(scratch.at(f"{places.PROGRAM}/{release_name(project)}"))
    assert os.readlink(scratch.at(places.CURRENT)) == release_name(project)
    assert not scratch.machine.has(f"{places.CURRENT}/.trial")


def test_the_environment_is_made_with_the_python_that_asks(scratch: Scratch, project: Path) -> None:
    told: list[str] = []

    def run(words: Sequence[str], environ: Mapping[str, str]) -> Done:
        told.extend(value for name, value in environ.items() if name == "DOCXY_PYTHON")
        return scratch.run(words, environ)

    take_all([install_release(project)], replace(scratch.machine, run=run), lambda _: None)
    assert told == [sys.executable]


def test_without_a_package_index_one_line_says_so(scratch: Scratch, project: Path) -> None:
    scratch.fails = lambda _number, words: words[0].endswith("run.sh")
    with pytest.raises(InstallError, match=r"release: run.sh failed: .*must reach the package"):
        take_all([install_release(project)], scratch.machine, lambda _: None)
    assert not scratch.machine.has(places.PROGRAM)


def test_other_releases_go(scratch: Scratch, project: Path) -> None:
    take_all([install_release(project)], scratch.machine, lambda _: None)
    make_project(project, "second")
    steps = [install_release(project), remove_old_releases(project)]
    take_all(steps, scratch.machine, lambda _: None)
    names = sorted(os.listdir(scratch.at(places.PROGRAM)))
    assert names == sorted(["current", release_name(project)])


@pytest.mark.parametrize("path", [places.UNIT, places.ETC, places.PROGRAM, places.STATE])
def test_half_an_installation_is_one(scratch: Scratch, path: str) -> None:
    assert not is_installed(scratch.machine)
    scratch.put(f"{path}/x", "")
    assert is_installed(scratch.machine)
