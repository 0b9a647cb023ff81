"""podman, buildah, containerd and Docker pull through the mirror, and unpack what they pulled."""

from __future__ import annotations

import pytest

from tests.clients.cases import ROWS, Case, Shape, assert_came_from_hub, host
from tests.clients.engine import Engine
from tests.clients.site import Site

pytestmark = pytest.mark.clients

ENGINES = ("podman", "buildah", "containerd", "docker")
UNABLE = {
    # ctr wants a tag or a digest ("object required").
    ("containerd", "official_without_a_tag"),
    # Docker 20.10 knows gzip, bzip2 and xz ("archive/tar: invalid tar header"); 23.0 brought zstd.
    ("docker", "zstd_layers"),
}


@pytest.mark.parametrize(
    ("engine", "shape", "case"),
    [
        pytest.param(engine, shape, case, id=f"{engine}-{shape}-{case.id}")
        for engine in ENGINES
        for shape, case in ROWS
        if (engine, case.id) not in UNABLE
    ],
    indirect=["engine"],
)
def test_pull_unpacks_what_the_hub_holds(
    engine: Engine, site: Site, shape: Shape, case: Case
) -> None:
    image = case.add(site)
    manifest = case.manifest(image)
    assert manifest.config
    with site.watched() as seen:
        pulled = engine.pull(f"{host(shape, site)}/{case.reference(image)}", platform=case.platform)
    assert pulled.digest == image.digest
    assert pulled.config == manifest.config.digest
    assert f'"{image.repository}:{image.tag} {case.wanted}"' in pulled.files.release
    assert pulled.files.sizes == case.sizes
    assert_came_from_hub(seen, image, manifest)
