"""Without a certificate the mirror serves plain HTTP on loopback, and each client can use it."""

from __future__ import annotations

import pytest

from tests.clients.cases import assert_came_from_hub, unused_name
from tests.clients.engine import Client
from tests.clients.site import Site

pytestmark = pytest.mark.clients

CLIENTS = ("skopeo", "podman", "buildah", "containerd", "docker")


@pytest.mark.parametrize("named", ["library/{}", "{}"], ids=["in_full", "short"])
@pytest.mark.parametrize("client", CLIENTS, indirect=True)
def test_image_is_pulled_from_loopback(client: Client, site: Site, named: str) -> None:
    name = unused_name()
    image = site.hub.add_image(f"library/{name}", "1")
    with site.watched() as seen:
        client.pull(f"{site.plain.authority}/{named.format(name)}:1", plain=True)
    assert_came_from_hub(seen, image, image.manifest)
