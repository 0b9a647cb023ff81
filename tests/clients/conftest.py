"""One Hub, two mirrors and one of each client for the whole session: daemons start slowly."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.processes import mounts_below, need, processes_below, run
from tests.clients.site import Site, open_site
from tests.clients.skopeo import Skopeo


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All that the clients write; nothing of it, nor of what runs in it, is left at the end."""
    folder = tmp_path_factory.mktemp("clients")
    yield folder
    left = processes_below(folder)
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
