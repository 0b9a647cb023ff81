"""The image of docs/Containerfile, on a Debian that debootstrap unpacked, and containers of it."""

from __future__ import annotations

import ast
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.containers import configure
from tests.clients.processes import ClientFailed, becomes, run, succeeds
from tests.clients.site import Site
from tests.running import PROJECT

CONTAINERFILE = PROJECT / "docs" / "Containerfile"
IMAGE = "localhost/docxy"
_BASE = "localhost/debian"

# Only unpacked: what the packages' scripts do takes as long again, and no image needs it.
_UNPACK = """
set -e
for package in "$1"/var/cache/apt/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -C "$1" -x --keep-directory-symlink
done
rm -rf "$1"/debootstrap "$1"/var/cache/apt "$1"/dev "$1"/proc
mkdir "$1"/dev "$1"/proc
tar -C "$1" -c . | podman import --quiet - "$2"
"""

# Where the engine itself may not raise them, a container must not have more than it.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
# crun does not know the cgroups of every kernel.
_PODMAN = ("podman", "--runtime=runc")


@dataclass(frozen=True, slots=True)
class Container:
    """One that runs, and its mirror."""

    name: str
    environ: Mapping[str, str]

    def run(self, *words: str) -> str:
        return run((*_PODMAN, "exec", self.name, *words), self.environ)

    @property
    def pid(self) -> int:
        """Of the mirror, as the host sees it."""
        return int(self._inspect("State", "Pid"))

    def is_healthy(self) -> bool:
        """What the image's own check says."""
        try:
            run((*_PODMAN, "healthcheck", "run", self.name), self.environ)
        except ClientFailed as failed:
            if not any(word in str(failed) for word in ("unhealthy", "exceeded timeout")):
                raise
            return False
        return True

    def stop(self) -> int:
        """End it by the image's stop signal, and by SIGKILL only much later; its exit code."""
        run((*_PODMAN, "stop", "--time=30", self.name), self.environ)
        return int(self._inspect("State", "ExitCode"))

    def log(self) -> str:
        return run(("sh", "-c", f"podman logs {self.name} 2>&1"), self.environ)

    def _inspect(self, *path: str) -> str:
        found = json.loads(run((*_PODMAN, "inspect", self.name), self.environ))[0]
        for key in path:
            found = found[key]
        return str(found)


@dataclass(frozen=True)
class Containers:
    """The image, and containers of it, run as README.md says."""

    environ: Mapping[str, str]
    policy: Path
    numbers: Iterator[int]

    @contextmanager
    def running(self, *arguments: str, options: Sequence[str], said: str) -> Iterator[Container]:
        """A container that runs while the block does.

        Args:
            arguments: the mirror's.
            options: the engine's, besides those that every container gets.
            said: a part of the mirror's log that tells that it is ready.
        """
        name = f"docxy-{next(self.numbers)}"
        container = Container(name, self.environ)
        run(
            (
                *(*_PODMAN, "run", "--detach", f"--name={name}", "--http-proxy=false"),
                *("--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp"),
                *("--volume=docxy:/state", "--cap-drop=ALL"),
                *("--security-opt=no-new-privileges", f"--signature-policy={self.policy}"),
                *(*_LIMITS, *options, IMAGE, *arguments),
            ),
            self.environ,
        )
        try:
            assert becomes(lambda: said in container.log(), 30), container.log()
            yield container
        finally:
            run((*_PODMAN, "rm", "--force", name), self.environ)

    @contextmanager
    def files(self) -> Iterator[Path]:
        """What is in the image."""
        root = Path(run((*_PODMAN, "image", "mount", IMAGE), self.environ).strip())
        try:
            yield root
        finally:
            run((*_PODMAN, "image", "unmount", IMAGE), self.environ)


def build_image(folder: Path, site: Site) -> Containers:
    configuration = configure(folder, site, _driver(folder))
    # Unlike the clients, pip must get out.
    ways = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    environ = {name: each for name, each in configuration.environ.items() if name not in ways}
    outside = {**environ, **{name: os.environ[name] for name in ways if name in os.environ}}
    debian = folder / "debian"
    fetch = ("debootstrap", "--foreign", "--variant=minbase", "--include=python3-venv")
    run((*fetch, "bookworm", str(debian)), outside, 300)
    run(("sh", "-c", _UNPACK, "sh", str(debian), _BASE), environ, 300)
    run(
        (
            *("buildah", "build", "--format=docker", "--pull-never", "--isolation=chroot"),
            *("--network=host", f"--signature-policy={configuration.policy}"),
            *(*_pip_mounts(folder), f"--build-arg=BASE={_BASE}"),
            *(f"--file={CONTAINERFILE}", f"--tag={IMAGE}", str(PROJECT)),
        ),
        outside,
        300,
    )
    return Containers(environ, configuration.policy, itertools.count(1))


def _driver(folder: Path) -> str:
    """The quick one where the file system takes it, which another overlay does not."""
    probe = folder.with_name("overlay")
    below, above, work, merged = (probe / name for name in ("below", "above", "work", "merged"))
    for each in (below, above, work, merged):
        each.mkdir(parents=True)
    options = f"lowerdir={below},upperdir={above},workdir={work}"
    if not succeeds(("mount", "-t", "overlay", "overlay", "-o", options, str(merged)), os.environ):
        return "vfs"
    run(("umount", str(merged)), os.environ)
    return "overlay"


def _pip_mounts(folder: Path) -> list[str]:
    """Options that tell the image's pip what this machine's pip is told: index, authority, …"""
    listed = run((sys.executable, "-m", "pip", "config", "list"), os.environ)
    told: dict[str, str] = {}
    # `global.index-url='…'`; the environment's `:env:.index-url='…'` wins.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        told[name.rpartition(".")[2]] = ast.literal_eval(value)
    mounts = []
    authority = told.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE")
    if authority:
        told["cert"] = "/etc/pip-ca.pem"
        mounts.append(f"--volume={Path(authority).resolve()}:{told['cert']}:ro")
    configuration = folder / "pip.conf"
    lines = (f"{name} = {value}".replace("\n", "\n  ") for name, value in told.items())
    configuration.write_text("\n".join(("[global]", *lines, "")))
    return [*mounts, f"--volume={configuration}:/etc/pip.conf:ro"]
