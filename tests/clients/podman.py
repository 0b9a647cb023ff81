"""podman, without any container: pulls, and mounts what it pulled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.containers import configure
from tests.clients.engine import Pulled, unpacked_in
from tests.clients.processes import run
from tests.clients.site import Site


class Podman:
    def __init__(self, folder: Path, site: Site) -> None:
        self._site = site
        self._configuration = configure(folder, site)
        self._trust = f"--cert-dir={self._configuration.certificates}"

    def pull(self, name: str, *, platform: str = "", plain: bool = False) -> Pulled:
        choice = [f"--platform={platform}"] if platform else []
        trust = "--tls-verify=false" if plain else self._trust
        policy = f"--signature-policy={self._configuration.policy}"
        image = self._run("pull", "--quiet", trust, policy, *choice, name).strip()
        inspected = json.loads(self._run("image", "inspect", name))[0]
        assert inspected["Id"] == image
        # With vfs it is a folder, not a mount.
        root = Path(self._run("image", "mount", image).strip())
        try:
            return Pulled(inspected["Digest"], f"sha256:{image}", unpacked_in(root))
        finally:
            self._run("image", "unmount", image)

    @contextmanager
    def logged_in(self, user: str, password: str) -> Iterator[None]:
        host = self._site.mirror.authority
        self._run("login", self._trust, "--username", user, "--password", password, host)
        try:
            yield
        finally:
            self._run("logout", host)

    def _run(self, *words: str) -> str:
        return run(("podman", *words), self._configuration.environ)
