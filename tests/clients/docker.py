"""Docker: a dockerd of its own, whose registry mirror is ours, and its client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.containerd import Containerd
from tests.clients.engine import Pulled, Unpacked, unpacked_tar
from tests.clients.processes import daemon, run, succeeds
from tests.clients.site import Site

# Debian's, not what else may stand earlier in PATH.
CLIENT = "/usr/bin/docker"
DAEMON = "/usr/sbin/dockerd"


class Docker:
    def __init__(self, folder: Path, site: Site) -> None:
        self.socket = f"unix://{folder}/docker.sock"
        self._folder = folder
        self._site = site
        no_certificates = folder / "no-certificates"
        no_certificates.mkdir()
        self.environ = {
            **site.environ(folder),
            "DOCKER_HOST": self.socket,
            "DOCKER_CONFIG": str(folder / "client"),
            # Go's own, in place of /etc/docker/certs.d; the client asks for the login itself.
            "SSL_CERT_FILE": str(site.ca_file),
            "SSL_CERT_DIR": str(no_certificates),
        }

    def pull(self, name: str, *, platform: str = "", plain: bool = False) -> Pulled:
        # `plain` needs no word: Docker tries both on 127.0.0.0/8.
        choice = [f"--platform={platform}"] if platform else []
        full_name = self._run("pull", "--quiet", *choice, name).strip()
        inspected = json.loads(self._run("image", "inspect", full_name))[0]
        digest = inspected["RepoDigests"][0].partition("@")[2]
        return Pulled(digest, inspected["Id"], self._unpacked(inspected["Id"], choice))

    @contextmanager
    def logged_in(self, user: str, password: str) -> Iterator[None]:
        host = self._site.mirror.authority
        self._run("login", "--username", user, "--password", password, host)
        try:
            yield
        finally:
            self._run("logout", host)

    def _unpacked(self, image: str, choice: list[str]) -> Unpacked:
        container = self._run("create", *choice, image).strip()
        tar = self._folder / f"{container}.tar"
        try:
            self._run("export", f"--output={tar}", container)
            return unpacked_tar(tar)
        finally:
            self._run("rm", container)
            tar.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        return succeeds((CLIENT, "version"), self.environ)

    def _run(self, *words: str) -> str:
        return run((CLIENT, *words), self.environ)


@contextmanager
def running_docker(folder: Path, site: Site, containerd: Containerd) -> Iterator[Docker]:
    folder.mkdir()
    docker = Docker(folder, site)
    config = folder / "daemon.json"
    # Its place in /etc/docker is the only path that no option moves.
    config.write_text(json.dumps({"deprecated-key-path": str(folder / "key.json")}))
    command = (
        DAEMON,
        f"--config-file={config}",
        f"--registry-mirror={site.mirror.url}",
        f"--host={docker.socket}",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
        f"--containerd={containerd.socket}",
        "--storage-driver=vfs",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
    )
    with daemon(command, docker.environ, folder / "log", docker.is_ready):
        yield docker
