"""containerd, a daemon of its own, and its client ctr with `hosts.toml`."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.cases import OWN
from tests.clients.engine import Pulled, unpacked_in
from tests.clients.processes import daemon, run, succeeds
from tests.clients.site import Site

# Needs no mounts, unlike overlayfs.
SNAPSHOTTER = "--snapshotter=native"


class Containerd:
    def __init__(self, folder: Path, site: Site) -> None:
        self.socket = folder / "containerd.sock"
        self.environ = site.environ(folder)
        self._hosts = folder / "certs.d"
        self._credentials: list[str] = []
        self._views = itertools.count(1)
        for host in ("docker.io", site.mirror.authority):
            _write_hosts(self._hosts / host, site)

    def pull(self, name: str, *, platform: str = "", plain: bool = False) -> Pulled:
        choice = [f"--platform={platform}"] if platform else []
        words = (SNAPSHOTTER, "--print-chainid", *choice, *self._access(plain=plain))
        said = self._run("images", "pull", *words, name)
        chain = re.search(r"^image chain ID: (\S+)$", said, re.MULTILINE)
        assert chain, said
        digest = self._digest(name)
        config = self._config(digest, platform or OWN)
        return Pulled(digest, config, unpacked_in(self._root(chain[1])))

    def fetch(self, name: str, *words: str) -> frozenset[str]:
        """Fetch what need not be an image, and unpack nothing; the digests of what came."""
        self._run("content", "fetch", *words, *self._access(plain=False), name)
        return self._tree(self._digest(name))

    @contextmanager
    def logged_in(self, user: str, password: str) -> Iterator[None]:
        """Credentials with each pull: ctr has no login."""
        self._credentials = [f"--user={user}:{password}"]
        try:
            yield
        finally:
            self._credentials = []

    def _access(self, *, plain: bool) -> list[str]:
        return ["--plain-http"] if plain else [f"--hosts-dir={self._hosts}", *self._credentials]

    def _digest(self, name: str) -> str:
        return self._run("images", "list", f"name=={name}").splitlines()[1].split()[2]

    def _config(self, digest: str, platform: str) -> str:
        document = json.loads(self._content(digest))
        if "manifests" in document:
            return self._config(_choose(document["manifests"], platform), platform)
        return str(document["config"]["digest"])

    def _tree(self, digest: str) -> frozenset[str]:
        """A manifest's digest and all below it that is there."""
        document = json.loads(self._content(digest))
        below = [self._tree(each["digest"]) for each in document.get("manifests", ())]
        parts = [document["config"], *document["layers"]] if "config" in document else []
        there = set(self._run("content", "list", "--quiet").split())
        named = {digest, *(part["digest"] for part in parts)}
        return frozenset(named & there).union(*below)

    def _content(self, digest: str) -> bytes:
        return self._run("content", "get", digest).encode()

    def _root(self, chain: str) -> Path:
        """Where an image's files are: a read-only view is the snapshot's own folder, bound."""
        view = f"view-{next(self._views)}"
        mounts = json.loads(self._run("snapshots", SNAPSHOTTER, "view", "--mounts", view, chain))
        return Path(mounts[0]["Source"])

    def is_ready(self) -> bool:
        return succeeds(self._ctr("version"), self.environ)

    def _run(self, *words: str) -> str:
        return run(self._ctr(*words), self.environ)

    def _ctr(self, *words: str) -> tuple[str, ...]:
        return ("ctr", f"--address={self.socket}", *words)


def _write_hosts(folder: Path, site: Site) -> None:
    folder.mkdir(parents=True)
    (folder / "hosts.toml").write_text(
        f"""
[host."{site.mirror.url}"]
  capabilities = ["pull", "resolve"]
  ca = "{site.ca_file}"
"""
    )


def _choose(descriptors: list[dict[str, object]], platform: str) -> str:
    system, architecture = platform.split("/")
    wanted = {"os": system, "architecture": architecture}
    return str(next(each["digest"] for each in descriptors if each["platform"] == wanted))


@contextmanager
def running_containerd(folder: Path, site: Site) -> Iterator[Containerd]:
    folder.mkdir()
    containerd = Containerd(folder, site)
    config = folder / "config.toml"
    config.write_text(
        f"""
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{containerd.socket}"
[ttrpc]
  address = "{containerd.socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"""
    )
    command = ("containerd", f"--config={config}")
    with daemon(command, containerd.environ, folder / "log", containerd.is_ready):
        yield containerd
