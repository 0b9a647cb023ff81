"""buildah: pulls, and makes a working container, which is a folder, from what it pulled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.containers import configure
from tests.clients.engine import Pulled, unpacked_in
from tests.clients.processes import run
from tests.clients.site import Site


class Buildah:
    def __init__(self, folder: Path, site: Site) -> None:
        self._site = site
        self._configuration = configure(folder, site)
        self._trust = f"--cert-dir={self._configuration.certificates}"
        self._policy = f"--signature-policy={self._configuration.policy}"

    def pull(self, name: str, *, platform: str = "", plain: bool = False) -> Pulled:
        choice = [f"--platform={platform}"] if platform else []
        trust = "--tls-verify=false" if plain else self._trust
        # It asks the registry only if told to when it has the image.
        words = ("--quiet", "--policy=always", trust, self._policy, *choice)
        image = self._run("pull", *words, name).strip()
        listed = json.loads(self._run("images", "--json", image))[0]
        container = self._run("from", "--pull-never", self._policy, *choice, image).strip()
        try:
            root = Path(self._run("mount", container).strip())
            return Pulled(listed["digest"], f"sha256:{image}", unpacked_in(root))
        finally:
            self._run("rm", container)

    @contextmanager
    def logged_in(self, user: str, password: str) -> Iterator[None]:
        host = self._site.mirror.authority
        self._run("login", self._trust, "--username", user, "--password", password, host)
        try:
            yield
        finally:
            self._run("logout", host)

    def _run(self, *words: str) -> str:
        return run(("buildah", *words), self._configuration.environ)
