"""The ways of naming an image that are a client's own."""

from __future__ import annotations

import pytest

from tests.clients.cases import assert_came_from_hub, unused_name
from tests.clients.engine import Engine
from tests.clients.site import Site

pytestmark = pytest.mark.clients


# ctr and skopeo know no names without a host.
@pytest.mark.parametrize("engine", ["podman", "buildah", "docker"], indirect=True)
def test_bare_name_is_an_official_image_of_docker_hub(engine: Engine, site: Site) -> None:
    image = site.hub.add_image(f"library/{unused_name()}")
    with site.watched() as seen:
        pulled = engine.pull(image.repository.removeprefix("library/"))
    assert pulled.digest == image.digest
    assert_came_from_hub(seen, image, image.manifest)
