"""skopeo: copies images into a folder, unpacks nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.cases import OWN
from tests.clients.containers import Configuration, configure
from tests.clients.processes import run
from tests.clients.site import Site


@dataclass(frozen=True, slots=True)
class Copied:
    """What lies in a `dir:`."""

    manifest: bytes
    files: frozenset[str]
    """SHA-256 of each file's bytes, whatever the file's name."""


class Skopeo:
    def __init__(self, folder: Path, site: Site) -> None:
        self._folder = folder
        self._site = site
        self._configuration = configure(folder, site)
        self._copies = 0

    def pull(self, name: str, *words: str, platform: str = "", plain: bool = False) -> Copied:
        self._copies += 1
        target = self._folder / f"copy-{self._copies}"
        trust = "--src-tls-verify=false" if plain else f"--src-cert-dir={self._certificates}"
        self._run(
            *("--override-arch", (platform or OWN).split("/")[1], "copy", trust, *words),
            *(f"docker://{name}", f"dir:{target}"),
        )
        return _copied(target)

    def inspect(self, name: str) -> dict[str, object]:
        inspected: dict[str, object] = json.loads(
            self._run("inspect", f"--cert-dir={self._certificates}", f"docker://{name}")
        )
        return inspected

    def tags(self, name: str) -> list[str]:
        listed = self._run("list-tags", f"--cert-dir={self._certificates}", f"docker://{name}")
        tags: list[str] = json.loads(listed)["Tags"]
        return tags

    @contextmanager
    def logged_in(self, user: str, password: str) -> Iterator[None]:
        host = self._site.mirror.authority
        trust = f"--cert-dir={self._certificates}"
        self._run("login", trust, "--username", user, "--password", password, host)
        try:
            yield
        finally:
            self._run("logout", host)

    @property
    def _certificates(self) -> Path:
        return self._configuration.certificates

    def _run(self, *words: str) -> str:
        configuration: Configuration = self._configuration
        # Other than podman and buildah it does not heed CONTAINERS_REGISTRIES_CONF.
        start = ("skopeo", f"--policy={configuration.policy}")
        registries = f"--registries-conf={configuration.registries}"
        return run((*start, registries, *words), configuration.environ)


def _copied(folder: Path) -> Copied:
    digests = set()
    for file in folder.iterdir():
        with file.open("rb") as opened:
            digests.add(f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}")
    return Copied((folder / "manifest.json").read_bytes(), frozenset(digests))
