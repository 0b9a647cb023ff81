"""The clients of these tests check certificates: what they pulled came from the mirror."""

from __future__ import annotations

import pytest

from tests.clients.cases import unused_name
from tests.clients.engine import Client
from tests.clients.processes import ClientFailed
from tests.clients.site import Site

pytestmark = pytest.mark.clients


# Docker checks none, and ctr speaks plain HTTP, on the loopback addresses where the Hub is.
@pytest.mark.parametrize("client", ["skopeo", "podman", "buildah"], indirect=True)
def test_hub_itself_is_not_trusted(client: Client, site: Site) -> None:
    image = site.hub.add_image(f"team/{unused_name()}", "1")
    hub = site.hub.registry_url.removeprefix("https://")
    with pytest.raises(ClientFailed, match="x509: certificate signed by unknown authority"):
        client.pull(f"{hub}/{image.repository}:1")
