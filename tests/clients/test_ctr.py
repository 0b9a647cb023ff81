"""What only ctr can."""

from __future__ import annotations

import pytest

from tests.clients.cases import BOTH, SHAPES, Shape, host, unused_name
from tests.clients.containerd import Containerd
from tests.clients.site import Site

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("shape", SHAPES)
def test_fetch_of_all_platforms_is_the_index_with_all_below_it(
    containerd: Containerd, site: Site, shape: Shape
) -> None:
    image = site.hub.add_image(f"team/{unused_name()}", "1", platforms=BOTH)
    fetched = containerd.fetch(f"{host(shape, site)}/{image.repository}:1", "--all-platforms")
    blobs = {blob.digest for manifest in image.manifests for blob in manifest.blobs}
    assert fetched == {image.digest, *(each.digest for each in image.manifests), *blobs}
