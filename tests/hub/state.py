"""What the three roles share: repositories, users, and the numbers that a test may turn."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .images import Blob, Manifest
from .presigned import Presigner
from .tokens import Signer

# None: the repository is public.
Readers = frozenset[str] | None


@dataclass(slots=True)
class Repository:
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    readers: Readers = None

    def add(self, manifest: Manifest) -> None:
        self.manifests[manifest.digest] = manifest
        self.blobs.update((blob.digest, blob) for blob in manifest.blobs)
        for child in manifest.manifests:
            self.add(child)

    def find(self, reference: str) -> Manifest | None:
        return self.manifests.get(self.tags.get(reference, reference))

    def referrers(self, digest: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests.values() if manifest.subject == digest]


@dataclass(slots=True)
class Settings:
    """To be changed at any time; they hold for the next request."""

    users: Mapping[str, str]
    token_seconds: int = 300
    redirect_seconds: int = 1200
    pull_limit: int = 100
    """Manifest GETs in the window, for each address or account; 429 after them."""
    pull_window_seconds: int = 21600
    link: Literal["relative", "absolute"] = "relative"
    now: Callable[[], float] = time.time


@dataclass(slots=True)
class State:
    settings: Settings
    signer: Signer
    presigner: Presigner = field(default_factory=Presigner)
    repositories: dict[str, Repository] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    pulls: Counter[str] = field(default_factory=Counter)
    """Manifest GETs that were answered with 200, by account or address."""
    registry_url: str = ""
    token_url: str = ""
    cdn_url: str = ""

    def repository(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository())

    def may_read(self, name: str, user: str) -> bool:
        found = self.repositories.get(name)
        return found is not None and (found.readers is None or user in found.readers)

    def blob(self, digest: str) -> Blob | None:
        every = (repository.blobs.get(digest) for repository in self.repositories.values())
        return next((blob for blob in every if blob), None)
