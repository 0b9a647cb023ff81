"""Copies that are as good as what they are copies of."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def delete(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; none is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy_exactly(source: Path, target: Path) -> None:
    """Copy with times, modes and owners; nobody else can read what is half copied."""
    if source.is_symlink():
        os.symlink(os.readlink(source), target)
        _copy_owner(source, target)
        return
    if not source.is_dir():
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        shutil.copy2(source, target)
        _copy_owner(source, target)
        return
    target.mkdir(mode=0o700)
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    for folder, folders, files in os.walk(source):
        inside = target / Path(folder).relative_to(source)
        _copy_owner(Path(folder), inside)
        for name in (*folders, *files):
            _copy_owner(Path(folder, name), inside / name)


def _copy_owner(source: Path, target: Path) -> None:
    found = source.lstat()
    with contextlib.suppress(PermissionError):  # whoever may not give files away owns them all
        os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
