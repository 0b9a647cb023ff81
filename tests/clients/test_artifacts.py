"""What is no image, too: skopeo and ctr fetch artifacts.

podman 4, buildah and Docker 20.10 refuse the manifest itself: its config is none of an image.
"""

from __future__ import annotations

import pytest

from tests.clients.cases import SHAPES, Shape, host, unused_name
from tests.clients.containerd import Containerd
from tests.clients.site import Site
from tests.clients.skopeo import Skopeo
from tests.hub import Image

pytestmark = [pytest.mark.clients, pytest.mark.parametrize("shape", SHAPES)]

CONTENTS = {"text/plain": b"notes\n", "application/vnd.example.scan+json": b"{}\n"}


@pytest.fixture
def artifact(site: Site) -> Image:
    return site.hub.add_artifact(f"team/{unused_name()}", "1", CONTENTS)


def name(shape: Shape, site: Site, artifact: Image) -> str:
    return f"{host(shape, site)}/{artifact.repository}:1"


def test_skopeo_copies_an_artifact(
    skopeo: Skopeo, site: Site, artifact: Image, shape: Shape
) -> None:
    copied = skopeo.pull(name(shape, site, artifact))
    assert copied.manifest == artifact.manifest.raw
    assert copied.files >= {blob.digest for blob in artifact.manifest.blobs}


def test_ctr_fetches_an_artifact(
    containerd: Containerd, site: Site, artifact: Image, shape: Shape
) -> None:
    fetched = containerd.fetch(name(shape, site, artifact))
    assert fetched == {artifact.digest, *(blob.digest for blob in artifact.manifest.blobs)}
