"""A secret that another program's API wants as a file."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

_PREFIX = "docxy-tls-"
_NAME = re.compile(rf"{_PREFIX}([1-9][0-9]{{0,8}})-\w+")


def is_private_file(path: Path) -> bool:
    """Say whether a path is that of a private file, of this process or of one before."""
    return path.parent.name.startswith(_PREFIX)


class PrivateFile:
    """The combined PEM, which holds the private key: 0600 in a directory 0700 of its own.

    Each content has its own name. mitmproxy reads the leaf when it is told the path, but the chain
    only at the next handshake, and keeps what it made of it by that path: under one name a new leaf
    could meet an old chain, and there would be nothing to go back to if mitmproxy refused the new
    one. Everything is removed by `close`, or when the interpreter ends without it (a start that
    fails, an exception). What a process left that was killed, the next one removes.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None

    def write(self, content: bytes) -> Path:
        """Add a content under its own name; it is there whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        folder = self._make_folder()
        path = folder / f"{hashlib.sha256(content).hexdigest()}.pem"
        descriptor, aside = tempfile.mkstemp(dir=folder)  # mkstemp makes it 0600
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(aside, path)
        return path

    def holds(self, path: Path | None) -> bool:
        """Say whether a content that was written is still there."""
        return path is not None and path.is_file()

    def keep(self, path: Path | None) -> None:
        """Remove all contents but this one."""
        if path is None or self._folder is None:
            self.close()
            return
        for other in self._folder.iterdir():
            if other != path:
                other.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove it all; writing makes a new directory."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
        atexit.unregister(self.close)

    def _make_folder(self) -> Path:
        # Systems clean /tmp of what is days old, and a renewal comes after months.
        if self._folder is None or not self._folder.is_dir():
            remove_stale(Path(tempfile.gettempdir()))
            prefix = f"{_PREFIX}{os.getpid()}-"
            self._folder = Path(tempfile.mkdtemp(prefix=prefix))  # mkdtemp makes it 0700
            atexit.unregister(self.close)
            atexit.register(self.close)
        return self._folder


def remove_stale(place: Path) -> None:
    """Remove this user's folders of processes that are gone; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        for folder in place.iterdir():
            match = _NAME.fullmatch(folder.name)
            if match and _is_own_folder(folder) and _is_gone(int(match[1])):
                shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(path: Path) -> bool:
    """Whether a path is a folder of this user itself, no link to one."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # no signal is sent: it only looks
    except ProcessLookupError:
        return True
    except OSError:
        pass  # another user's
    return False
