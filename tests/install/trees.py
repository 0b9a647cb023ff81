"""What is on a disk, to be compared."""

from __future__ import annotations

import os
import stat
from pathlib import Path

Tree = dict[str, tuple[str, int, int, int, bytes]]


def tree(root: Path) -> Tree:
    """Kind, mode, owner, group and content of all that is below a folder."""
    found: Tree = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            kind, content = "folder", b""
            if stat.S_ISLNK(status.st_mode):
                kind, content = "link", os.readlink(path).encode()
            elif stat.S_ISREG(status.st_mode):
                kind, content = "file", path.read_bytes()
            mode = stat.S_IMODE(status.st_mode)
            found[str(path.relative_to(root))] = (
                kind,
                mode,
                status.st_uid,
                status.st_gid,
                content,
            )
    return found


def difference(before: Tree, after: Tree) -> list[str]:
    """What differs, a path each."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
