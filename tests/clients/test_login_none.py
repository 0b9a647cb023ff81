"""Clients pull where they are never asked for a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.cases import OWN
from tests.clients.podman import Podman
from tests.clients.processes import ClientFailed, need
from tests.clients.site import Site, entered, write_certificate
from tests.clients.skopeo import Copied, Skopeo
from tests.hub import Hub
from tests.hub.background import in_background
from tests.running import running_mirror, settings_arguments

pytestmark = pytest.mark.clients


@pytest.fixture
def unasked(tmp_path: Path) -> Iterator[Site]:
    """A Hub, and a mirror with docxy_login=none."""
    hub = Hub()
    host = "127.0.0.1"
    ca_file, chain, key = write_certificate(tmp_path, host)
    with in_background(hub) as background:
        manager = running_mirror(
            hub,
            tmp_path / "confdir",
            *settings_arguments({"docxy_login": "none"}),
            certificate=(chain, key),
            ca_file=ca_file,
        )
        with entered(background, manager) as mirror:
            yield Site(hub, mirror, mirror, ca_file)


@pytest.fixture(params=[Skopeo, Podman])
def client(request: pytest.FixtureRequest, tmp_path: Path, unasked: Site) -> Skopeo | Podman:
    made: type[Skopeo | Podman] = request.param
    need(made.__name__.lower())
    return made(tmp_path / "client", unasked)


def test_an_image_is_pulled_without_a_token(client: Skopeo | Podman, unasked: Site) -> None:
    image = unasked.hub.add_image(layers=[2000, 300_000], platforms=OWN)
    pulled = client.pull(f"{unasked.mirror.authority}/alpine:latest")
    if isinstance(pulled, Copied):
        assert pulled.manifest == image.manifest.raw
        assert pulled.files >= {blob.digest for blob in image.manifest.blobs}
    else:
        assert pulled.digest == image.digest
        assert pulled.files.sizes == (2000, 300_000)
    assert "/auth/token" not in unasked.mirror.text


def test_a_private_image_is_refused_with_the_reason(client: Skopeo | Podman, unasked: Site) -> None:
    unasked.hub.add_image("team/secret", private=True)
    with pytest.raises(ClientFailed, match="docxy_login=none"):
        client.pull(f"{unasked.mirror.authority}/team/secret:latest")
