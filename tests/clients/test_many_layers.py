"""No client is hurt by the limits that are there by default, however many requests it makes."""

from __future__ import annotations

import pytest

from tests.clients.cases import unused_name
from tests.clients.engine import Client
from tests.clients.site import Site

pytestmark = pytest.mark.clients

LAYERS = 100


@pytest.mark.parametrize("client", ["skopeo", "containerd", "docker"], indirect=True)
def test_an_image_of_a_hundred_layers_is_pulled(client: Client, site: Site) -> None:
    layers = [100 + number for number in range(LAYERS)]
    image = site.hub.add_image(f"library/{unused_name()}", "1", layers)
    client.pull(f"{site.mirror.authority}/{image.repository.removeprefix('library/')}:1")
    asked = [
        line
        for line in site.mirror.log
        if f" GET /v2/{image.repository.removeprefix('library/')}/" in line
    ]
    assert sum("/blobs/" in line and ": 200, " in line for line in asked) >= LAYERS + 1
    assert not [line for line in site.mirror.log if ": 429, " in line or ": 503, " in line]
