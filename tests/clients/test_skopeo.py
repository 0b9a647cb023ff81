"""skopeo copies through the mirror what the Hub holds, byte for byte."""

from __future__ import annotations

import pytest

from tests.clients.cases import ROWS, Case, Shape, assert_came_from_hub, host
from tests.clients.site import Site
from tests.clients.skopeo import Copied, Skopeo
from tests.hub.images import Manifest

pytestmark = pytest.mark.clients


def assert_is(copied: Copied, manifest: Manifest) -> None:
    assert copied.manifest == manifest.raw
    assert copied.files >= {blob.digest for blob in manifest.blobs}


@pytest.mark.parametrize(
    ("shape", "case"),
    [pytest.param(shape, case, id=f"{shape}-{case.id}") for shape, case in ROWS],
)
def test_copy_is_what_the_hub_holds(skopeo: Skopeo, site: Site, shape: Shape, case: Case) -> None:
    image = case.add(site)
    manifest = case.manifest(image)
    with site.watched() as seen:
        copied = skopeo.copy(f"{host(shape, site)}/{case.reference(image)}", platform=case.wanted)
    assert_is(copied, manifest)
    assert_came_from_hub(seen, image, manifest)
