"""One Hub, two mirrors and one of each client for the whole session: daemons start slowly."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.buildah import Buildah
from tests.clients.container import Containers, build_image
from tests.clients.containerd import Containerd, running_containerd
from tests.clients.docker import CLIENT, DAEMON, Docker, running_docker
from tests.clients.engine import Client, Engine
from tests.clients.podman import Podman
from tests.clients.processes import mounts_below, need, processes_below, run
from tests.clients.site import Site, open_site
from tests.clients.skopeo import Skopeo

# One of mitmproxy's lines is enough: the image brings a Python of its own, and the limits do not
# depend on the line. Each takes a minute.
ON_ONE_LINE = ["test_container.py", "test_many_layers.py"]
collect_ignore = ON_ONE_LINE if sys.version_info < (3, 12) else []


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All that the clients write; nothing of it, nor of what runs in it, is left at the end."""
    folder = tmp_path_factory.mktemp("clients")
    yield folder
    left = processes_below(folder)
    # dockerd leaves its network namespace.
    for point in mounts_below(folder):
        run(("umount", point), {})
    shutil.rmtree(folder)
    assert not left


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[Site]:
    with open_site(folder) as site:
        yield site


@pytest.fixture(scope="session")
def skopeo(folder: Path, site: Site) -> Skopeo:
    need("skopeo")
    return Skopeo(folder / "skopeo", site)


@pytest.fixture(scope="session")
def podman(folder: Path, site: Site) -> Podman:
    need("podman")
    return Podman(folder / "podman", site)


@pytest.fixture(scope="session")
def buildah(folder: Path, site: Site) -> Buildah:
    need("buildah")
    return Buildah(folder / "buildah", site)


@pytest.fixture(scope="session")
def containerd(folder: Path, site: Site) -> Iterator[Containerd]:
    need("containerd", "ctr", "setpriv")
    with running_containerd(folder / "containerd", site) as containerd:
        yield containerd


@pytest.fixture(scope="session")
def docker(folder: Path, site: Site, containerd: Containerd) -> Iterator[Docker]:
    need(CLIENT, DAEMON)
    with running_docker(folder / "docker", site, containerd) as docker:
        yield docker


@pytest.fixture(scope="session")
def containers(folder: Path, site: Site) -> Containers:
    need("debootstrap", "buildah", "podman", "runc")
    return build_image(folder / "container", site)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Client:
    """The client that a row of a table names."""
    found: Client = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    """The same, where the table names such that unpack."""
    found: Engine = request.getfixturevalue(request.param)
    return found
