from __future__ import annotations

import os
from pathlib import Path

import pytest

from addon.install.copies import copy_exactly, delete
from tests.install.trees import tree


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "secret").write_text("x")
    (folder / "inner" / "secret").chmod(0o600)
    (folder / "link").symlink_to("inner/secret")
    (folder / "nowhere").symlink_to("none")
    folder.chmod(0o750)
    if os.geteuid() == 0:
        os.chown(folder / "inner" / "secret", 64990, 64991)
        os.chown(folder / "link", 64990, 64991, follow_symlinks=False)
    return folder


@pytest.mark.parametrize("name", ["", "inner/secret", "link", "nowhere"])
def test_a_copy_is_as_what_it_is_a_copy_of(source: Path, tmp_path: Path, name: str) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    copy_exactly(source / name, tmp_path / "a" / "copy")
    os.rename(source / name, tmp_path / "b" / "copy")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_nobody_else_can_read_what_is_half_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        "shutil.copy2", lambda _source, target: seen.append(Path(target).stat().st_mode & 0o777)
    )
    copy_exactly(source / "inner" / "secret", tmp_path / "copy")
    assert seen == [0o600]


@pytest.mark.parametrize("name", ["", "inner/secret", "link", "nowhere", "none"])
def test_what_is_deleted_is_gone_and_what_a_link_led_to_stays(source: Path, name: str) -> None:
    delete(source / name)
    assert not os.path.lexists(source / name) or not name
    if name == "link":
        assert (source / "inner" / "secret").exists()
