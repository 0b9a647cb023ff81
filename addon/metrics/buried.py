"""What workers have counted that are dead, in one file of each kind instead of one of each worker.

prometheus_client keeps what a process counts in files of its own, which outlive it, and reads all
of them for each scrape. The module that it does so with, mmap_dict, is not a public one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

KINDS = ("counter", "histogram")
_LOCK = "lock"


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Let nothing move from file to file meanwhile: it would count twice, or not at all."""
    with (folder / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def bury(folder: Path, living: Container[int]) -> None:
    """Add up the files of all processes but these; not while somebody reads, but the next time."""
    with (folder / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for kind in KINDS:
            files = [
                (path, path.stem.removeprefix(f"{kind}_")) for path in folder.glob(f"{kind}_*.db")
            ]
            gone = [path for path, pid in files if pid.isdecimal() and int(pid) not in living]
            if gone:
                _add(gone, folder / f"{kind}_dead.db")


def _add(gone: Sequence[Path], total: Path) -> None:
    new = total.with_suffix(".part")  # no name that is read
    new.unlink(missing_ok=True)
    sums = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    for path in (*gone, *([total] if total.exists() else [])):
        for key, value, _time, _at in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            before, _ = sums.read_value(key)  # type: ignore[no-untyped-call]
            sums.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
    sums.close()  # type: ignore[no-untyped-call]
    os.replace(new, total)
    for path in gone:
        path.unlink()
