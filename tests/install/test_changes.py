from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from addon.install.changes import Changes, last_line
from addon.install.machine import Done, InstallError, Machine
from tests.install.trees import difference, tree

Change = Callable[[Changes], None]
OWNER = (os.getuid(), os.getgid())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "etc" / "a folder"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "file").write_text("before\n")
    (folder / "link").symlink_to("file")
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("inside\n")
    return tmp_path


@pytest.fixture
def changes(root: Path) -> Changes:
    return Changes(Machine(root))


def _rewrite(changes: Changes) -> None:
    """What another program may do to a folder that it was said of."""
    changes.will_change("/etc/a folder/full")
    place = changes.machine.at("/etc/a folder/full")
    (place / "file").write_text("other\n")
    (place / "more").write_text("more\n")


def _make(changes: Changes) -> None:
    changes.will_change("/etc/later")
    changes.machine.at("/etc/later").write_text("made\n")


def _write_twice(changes: Changes) -> None:
    for text in ("one\n", "two\n"):
        changes.write("/etc/a folder/file", text, 0o644, OWNER)


CHANGES: dict[str, Change] = {
    "a new file": lambda c: c.write("/etc/new", "text\n", 0o640, OWNER),
    "a new file in new folders": lambda c: c.write("/var/a/b/new", "text\n", 0o640, OWNER),
    "another text": lambda c: c.write("/etc/a folder/file", "after\n", 0o640, OWNER),
    "other rights": lambda c: c.write("/etc/a folder/file", "before\n", 0o600, OWNER),
    "twice another text": _write_twice,
    "a folder": lambda c: c.folder("/var/lib/new", 0o700, OWNER),
    "a folder that is there": lambda c: c.folder("/etc/a folder", 0o755, OWNER),
    "a link": lambda c: c.link("/etc/new", "a folder", OWNER),
    "another link": lambda c: c.link("/etc/a folder/link", "full", OWNER),
    "a link for a file": lambda c: c.link("/etc/a folder/file", "full", OWNER),
    "a file removed": lambda c: c.remove("/etc/a folder/file"),
    "a folder removed": lambda c: c.remove("/etc/a folder"),
    "a folder that programs change": _rewrite,
    "a file that programs make": _make,
    "a value": lambda c: c.set_value("/etc/a folder/file", "1 2"),
}
each = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())


@pytest.fixture(autouse=True)
def _owned_by_who_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    # The folders above what is asked for are root's.
    monkeypatch.setattr("addon.install.changes.ROOT", OWNER)


@each
def test_a_change_can_be_undone(changes: Changes, root: Path, change: Change) -> None:
    if os.geteuid():
        changes.machine = Machine(root, chown=lambda *_: None)
    before = tree(root)
    change(changes)
    assert difference(before, tree(root))
    assert changes.undo() == []
    assert difference(before, tree(root)) == []


@each
def test_a_change_that_is_kept_leaves_nothing_aside(
    changes: Changes, root: Path, change: Change
) -> None:
    if os.geteuid():
        changes.machine = Machine(root, chown=lambda *_: None)
    change(changes)
    after = {path for path in tree(root) if "docxy-" not in path}
    changes.keep()
    assert tree(root).keys() == after
    assert changes.undo() == []
    assert tree(root).keys() == after


def test_what_is_so_already_is_no_change(changes: Changes, root: Path) -> None:
    before = tree(root)
    changes.write("/etc/a folder/file", "before\n", 0o644, OWNER)
    changes.folder("/etc/a folder", 0o700, OWNER)
    changes.link("/etc/a folder/link", "file", OWNER)
    changes.remove("/etc/none")
    changes.set_value("/etc/a folder/file", "before")
    assert not changes.any
    assert difference(before, tree(root)) == []


def test_a_link_in_place_of_a_folder_is_not_followed(changes: Changes, root: Path) -> None:
    (root / "etc" / "other").symlink_to(root / "etc" / "a folder")
    with pytest.raises(InstallError, match="is a link; remove it"):
        changes.folder("/etc/other", 0o777, OWNER)


def test_a_file_in_place_of_a_folder_outlives_the_way_back(changes: Changes, root: Path) -> None:
    before = tree(root)
    for path in ("/etc/a folder/file", "/etc/a folder/file/new"):
        with pytest.raises(InstallError, match="is no folder; remove it"):
            changes.folder(path, 0o755, OWNER)
    assert changes.undo() == []
    assert difference(before, tree(root)) == []


def test_a_copy_that_fails_does_not_cost_what_it_is_a_copy_of(
    changes: Changes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_names: object) -> None:
        raise OSError("no space")

    before = tree(root)
    monkeypatch.setattr("shutil.copytree", fail)
    with pytest.raises(OSError, match="no space"):
        changes.will_change("/etc/a folder/full")
    assert changes.undo() == []
    assert difference(before, tree(root)) == []


def test_what_cannot_be_undone_is_said_and_the_rest_is_undone(changes: Changes, root: Path) -> None:
    def fail() -> None:
        raise OSError("busy")

    before = tree(root)
    changes.remove("/etc/a folder/file")
    changes.on_failure("the door", fail)
    assert changes.undo() == ["the door: busy"]
    assert difference(before, tree(root)) == []


def test_a_program_that_fails_is_told_by_its_last_line(root: Path) -> None:
    changes = Changes(Machine(root, run=lambda *_: Done(1, "first\n  last \n\n")))
    with pytest.raises(InstallError, match=r"useradd failed: last$"):
        changes.run("/usr/sbin/useradd", "x")


def test_a_program_that_says_nothing_is_told_by_its_code() -> None:
    assert last_line(Done(3, " \n")) == "exit code 3"
