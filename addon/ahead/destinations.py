"""Where a registry's redirects lead: the CDN's name, remembered over restarts.

Only scheme, host and port are kept: a presigned address is a secret, and short-lived.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from addon.protocol.registry import authority

# A CDN has one name or two; what was asked last is kept.
MAX_ORIGINS = 3
MAX_REGISTRIES = 8
MAX_FILE = 64 * 1024

FILE_NAME = "destinations.json"


class Destinations:
    """The origins that a registry's redirects led to, the last one first."""

    def __init__(self) -> None:
        self._kept: dict[str, list[str]] = {}
        # Called when there is a new one; set by whoever wants to know.
        self.on_new: Callable[[], None] = _ignore

    def of(self, registry: str) -> tuple[str, ...]:
        """The origins for a registry's address."""
        return tuple(self._kept.get(registry, ()))

    def note(self, registry: str, url: str) -> None:
        """A redirect led to an address that answered."""
        origin = _origin(url)
        kept = self._kept.get(registry, [])
        if kept[:1] == [origin]:
            return
        self._keep(registry, [origin, *(one for one in kept if one != origin)])
        if origin not in kept:
            self.on_new()

    def load(self, folder: Path) -> None:
        """Take what an earlier run knew; a file that holds anything else is no loss."""
        for registry, origins in _read(folder / FILE_NAME):
            known = self._kept.get(registry, [])
            self._keep(registry, [*known, *(one for one in origins if one not in known)])

    def save(self, folder: Path) -> None:
        """Keep it for the next run.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=folder, prefix=FILE_NAME)  # mkstemp makes it 0600
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._kept, file, indent=1)
            os.replace(aside, folder / FILE_NAME)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            raise

    def _keep(self, registry: str, origins: list[str]) -> None:
        self._kept.pop(registry, None)
        self._kept[registry] = list(dict.fromkeys(origins))[:MAX_ORIGINS]
        while len(self._kept) > MAX_REGISTRIES:
            del self._kept[next(iter(self._kept))]


def _ignore() -> None:
    pass


def _origin(url: str) -> str:
    return f"{urlsplit(url).scheme}://{authority(url)}"


def _read(path: Path) -> Iterator[tuple[str, list[str]]]:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(MAX_FILE))
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(content, dict):
        return
    for registry, origins in content.items():
        if isinstance(origins, list):
            yield registry, [one for one in origins if isinstance(one, str) and _is_origin(one)]


def _is_origin(text: str) -> bool:
    try:
        scheme = urlsplit(text).scheme
        return scheme in ("http", "https") and bool(authority(text)) and _origin(text) == text
    except ValueError:
        return False
