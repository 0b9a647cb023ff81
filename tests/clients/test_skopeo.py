"""skopeo copies through the mirror what the Hub holds, byte for byte."""

from __future__ import annotations

import pytest

from tests.clients.cases import BOTH, ROWS, Case, Shape, assert_came_from_hub, host, unused_name
from tests.clients.site import Site
from tests.clients.skopeo import Skopeo

pytestmark = pytest.mark.clients


@pytest.mark.parametrize(
    ("shape", "case"),
    [pytest.param(shape, case, id=f"{shape}-{case.id}") for shape, case in ROWS],
)
def test_copy_is_what_the_hub_holds(skopeo: Skopeo, site: Site, shape: Shape, case: Case) -> None:
    image = case.add(site)
    manifest = case.manifest(image)
    with site.watched() as seen:
        copied = skopeo.pull(f"{host(shape, site)}/{case.reference(image)}", platform=case.platform)
    assert copied.manifest == manifest.raw
    assert copied.files >= {blob.digest for blob in manifest.blobs}
    assert_came_from_hub(seen, image, manifest)


def test_copy_of_all_platforms_is_the_index_with_all_below_it(skopeo: Skopeo, site: Site) -> None:
    image = site.hub.add_image(f"team/{unused_name()}", "1", platforms=BOTH)
    copied = skopeo.pull(f"{site.mirror.authority}/{image.repository}:1", "--all")
    assert copied.manifest == image.manifest.raw
    for manifest in image.manifests:
        assert copied.files >= {manifest.digest, *(blob.digest for blob in manifest.blobs)}


def test_inspect_names_digest_and_tags(skopeo: Skopeo, site: Site) -> None:
    image = site.hub.add_image(f"library/{unused_name()}", "1")
    site.hub.tag(image, "stable")
    name = f"{site.mirror.authority}/{image.repository.removeprefix('library/')}"
    inspected = skopeo.inspect(f"{name}:1")
    assert inspected["Digest"] == image.digest
    assert inspected["RepoTags"] == ["1", "stable"]
    assert skopeo.tags(name) == ["1", "stable"]
