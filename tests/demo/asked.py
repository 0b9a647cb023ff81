"""A client's request, and which of the Hub's requests came of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.hub import Seen

# In a registry's path `sha256:` and 64 digits, in a CDN's `sha256/`, the first two, and all.
_DIGEST = re.compile(r"sha256[:/](?:[0-9a-f]{2}/)?([0-9a-f]{64})")
_KINDS = {"manifests": "manifest", "blobs": "blob", "tags": "tags", "referrers": "referrers"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a client to the mirror, answered."""

    kind: str
    method: str
    target: str
    status: int | None
    """None: it broke off."""
    size: int | None
    """Bytes of the body; None where they were not counted."""
    started: float
    """Of `time.monotonic()`, as `ended`."""
    ended: float

    def __str__(self) -> str:
        return f"{self.method} {self.target.partition('?')[0]}"


@dataclass(slots=True)
class Attribution:
    """Gives each request that the Hub saw to the client's request for the same thing.

    Not to the one of the same moment: layers are asked for side by side, and a mirror may ask for
    a thing before a client does.
    """

    log: Sequence[Seen]
    _read: int = 0
    _waiting: list[Seen] = field(default_factory=list)

    def take(self, asked: Asked) -> list[Seen]:
        """What the Hub saw for it, each request once: a later client's is not there yet."""
        subject = subject_of(asked.target)
        taken: list[Seen] = []
        kept: list[Seen] = []
        for seen in self.rest():
            is_for_it = subject_of(seen.target) == subject and seen.time <= asked.ended
            (taken if is_for_it else kept).append(seen)
        self._waiting = kept
        return taken

    def rest(self) -> list[Seen]:
        """What nobody asked for so far."""
        self._waiting += self.log[self._read :]
        self._read = len(self.log)
        return self._waiting


def subject_of(target: str) -> str:
    """What a request is about, the same on both sides of the mirror: a digest, a tag, `token`."""
    path = target.partition("?")[0]
    digest = _DIGEST.search(path)
    return digest[1] if digest else path.rstrip("/").rpartition("/")[2]


def kind_of(target: str) -> str:
    """The name of a request that another client made."""
    parts = target.partition("?")[0].strip("/").split("/")
    if parts == ["v2"]:
        return "ping"
    return _KINDS.get(parts[-2], "") if len(parts) > 2 else parts[-1]
