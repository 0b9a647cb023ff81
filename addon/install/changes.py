"""What a run changes, each change with its way back.

Undone in reverse order, the disk is as before: contents, modes, owners and links. What is removed
is only put aside until the whole run has succeeded.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from addon.install.copies import copy_exactly, delete
from addon.install.machine import Done, InstallError, Machine

Owner = tuple[int, int]
ROOT: Owner = (0, 0)


class Changes:
    """The changes of one run, until they are kept or undone."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.notes: list[str] = []
        """What the user must know and what is no failure."""
        self.any = False
        """Whether something has changed since this was last set to False."""
        self._back: list[tuple[str, Callable[[], object]]] = []
        self._last: list[Callable[[], object]] = []
        self._asides = 0

    def on_failure(self, what: str, action: Callable[[], object]) -> None:
        """Have something done when the run is undone; `what` names it, should that fail."""
        self._back.append((what, action))

    def undo(self) -> list[str]:
        """Go all the way back; what could not be undone, a line each."""
        troubles = []
        while self._back:
            what, action = self._back.pop()
            try:
                action()
            except Exception as e:  # the others must be undone all the same
                troubles.append(f"{what}: {e}")
        self._last.clear()
        return troubles

    def keep(self) -> None:
        """Let all that was changed be, and delete what was put aside."""
        self._back.clear()
        while self._last:
            with contextlib.suppress(OSError):
                self._last.pop()()

    def run(self, *words: str, environ: Mapping[str, str] | None = None) -> Done:
        """Run a program that must succeed.

        Raises:
            InstallError: it does not; the message is its last line.
        """
        self.any = True
        done = self.machine.run(words, environ or {})
        if done.code:
            raise InstallError(f"{Path(words[0]).name} failed: {last_line(done)}")
        return done

    def folder(self, path: str, mode: int, owner: Owner = ROOT) -> None:
        """Make a folder, and the missing ones above it; one that is there gets mode and owner."""
        place = self.machine.at(path)
        if place.is_dir() or place.is_symlink():
            self._set_rights(place, mode, owner)
            return
        if place.exists():
            # Before there is a way back, which would remove it.
            raise InstallError(f"{place} is no folder; remove it")
        above = os.path.dirname(path)
        if not self.machine.at(above).is_dir():
            self.folder(above, 0o755)
        self.any = True
        self.on_failure(f"removing {path}", lambda: delete(place))
        place.mkdir()
        os.chmod(place, mode)
        self.machine.chown(place, *owner)

    def write(self, path: str, text: str, mode: int = 0o644, owner: Owner = ROOT) -> None:
        """Have a file with this text, whole or not at all."""
        place = self.machine.at(path)
        if self.machine.read(path) == text:
            self._set_rights(place, mode, owner)
            return
        if not place.parent.is_dir():
            self.folder(os.path.dirname(path), 0o755)
        self.remove(path)
        self.any = True
        self.on_failure(f"removing {path}", lambda: place.unlink(missing_ok=True))
        aside = self._aside(place)
        self.on_failure(f"removing {aside}", lambda: aside.unlink(missing_ok=True))
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(aside, mode)
        self.machine.chown(aside, *owner)
        os.replace(aside, place)

    def link(self, path: str, target: str, owner: Owner = ROOT) -> None:
        """Have a symbolic link."""
        place = self.machine.at(path)
        if place.is_symlink() and os.readlink(place) == target:
            return
        former = os.readlink(place) if place.is_symlink() else None
        if former is None:
            self.remove(path)
        self.any = True
        self.on_failure(f"{path} as it was", lambda: _link_again(place, former))
        # Over the former one, so that whoever starts meanwhile finds one of the two.
        aside = self._aside(place)
        self.on_failure(f"removing {aside}", lambda: aside.unlink(missing_ok=True))
        os.symlink(target, aside)
        self.machine.chown(aside, *owner)
        os.replace(aside, place)

    def remove(self, path: str) -> None:
        """Put a file or a folder with all that is in it aside, and delete it in the end."""
        place = self.machine.at(path)
        if not os.path.lexists(place):
            return
        self.any = True
        aside = self._aside(place)
        os.rename(place, aside)
        self.on_failure(f"{path} as it was", lambda: os.rename(aside, place))
        self._last.append(lambda: delete(aside))

    def will_change(self, path: str) -> None:
        """Have what other programs are about to do to a file or folder undone."""
        place = self.machine.at(path)
        aside = self._aside(place)

        def put_back() -> None:
            delete(place)
            if os.path.lexists(aside):
                os.rename(aside, place)

        if os.path.lexists(place):
            try:
                copy_exactly(place, aside)
            except OSError:
                delete(aside)
                raise
        # Not before: half a copy must not take the place of what it is a copy of.
        self.on_failure(f"{path} as it was", put_back)
        self._last.append(lambda: delete(aside))

    def set_value(self, path: str, text: str) -> None:
        """Write a value of the kernel's, which is a file below /proc.

        Raises:
            OSError: there is none of that name, or it may not be set here.
        """
        place = self.machine.at(path)
        former = place.read_text()
        if former.split() == text.split():
            return
        _put(place, f"{text}\n")
        self.any = True
        self.on_failure(f"{path} as it was", lambda: _put(place, former))

    def _aside(self, place: Path) -> Path:
        """A free place beside another; what a run left that was killed is in nobody's way."""
        self._asides += 1
        aside = place.with_name(f".{place.name}.docxy-{self._asides}")
        delete(aside)
        return aside

    def rights(self, path: str, mode: int, owner: Owner) -> None:
        """Have mode and owner of what is there be these."""
        self._set_rights(self.machine.at(path), mode, owner)

    def _set_rights(self, place: Path, mode: int, owner: Owner) -> None:
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            # In a folder of the mirror's user it might lead anywhere.
            raise InstallError(f"{place} is a link; remove it")
        before = stat.S_IMODE(found.st_mode)
        if before != mode:
            self.any = True
            self.on_failure(f"the mode of {place}", lambda: _set_mode(place, before))
            _set_mode(place, mode)
        if (found.st_uid, found.st_gid) != owner:
            self.on_failure(
                f"the owner of {place}",
                lambda: self.machine.chown(place, found.st_uid, found.st_gid),
            )
            self.machine.chown(place, *owner)


def last_line(done: Done) -> str:
    """What a program said last, or else its exit code."""
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.code}"


def _link_again(place: Path, former: str | None) -> None:
    place.unlink(missing_ok=True)
    if former is not None:
        os.symlink(former, place)


def _set_mode(place: Path, mode: int) -> None:
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _put(place: Path, text: str) -> None:
    # In place: below /proc there is nothing to be renamed.
    with place.open("w") as file:
        file.write(text)
