"""A private repository opens to who may read it, and to nobody else, while they are logged in."""

from __future__ import annotations

import pytest

from tests.clients.cases import SHAPES, Shape, assert_came_from_hub, host, unused_name
from tests.clients.engine import Client
from tests.clients.processes import ClientFailed
from tests.clients.site import Site
from tests.hub import Image
from tests.hub.hub import USERS

pytestmark = pytest.mark.clients

CLIENTS = ("skopeo", "podman", "buildah", "containerd", "docker")
# dockerd sends no credentials to a mirror of Docker Hub.
ROWS = [
    pytest.param(client, shape, id=f"{client}-{shape}")
    for client in CLIENTS
    for shape in SHAPES
    if (client, shape) != ("docker", "docker.io")
]
DENIED = "requested access to the resource is denied|insufficient_scope: authorization failed"
WRONG_PASSWORD = {
    "skopeo": "invalid username/password",
    "podman": "invalid username/password",
    "buildah": "invalid username/password",
    # It asks with the credentials when it pulls.
    "containerd": "401 Unauthorized",
    "docker": "unauthorized: incorrect username or password",
}


@pytest.fixture
def private(site: Site) -> Image:
    """alice may read it, bob may not."""
    image = site.hub.add_image(f"team/{unused_name()}", "1")
    site.hub.set_private(image.repository, "alice")
    return image


@pytest.mark.parametrize(("client", "shape"), ROWS, indirect=["client"])
def test_private_repository_is_open_during_a_login_only(
    client: Client, site: Site, private: Image, shape: Shape
) -> None:
    name = f"{host(shape, site)}/{private.repository}:1"
    with pytest.raises(ClientFailed, match=DENIED):
        client.pull(name)
    with client.logged_in("alice", USERS["alice"]), site.watched() as seen:
        client.pull(name)
    assert_came_from_hub(seen, private, private.manifest)
    # Neither the mirror nor the client gives away what alice got.
    with pytest.raises(ClientFailed, match=DENIED):
        client.pull(name)


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
def test_private_repository_stays_closed_to_another_user(
    client: Client, site: Site, private: Image
) -> None:
    with (
        client.logged_in("bob", USERS["bob"]),
        pytest.raises(ClientFailed, match=DENIED),
    ):
        client.pull(f"{site.mirror.authority}/{private.repository}:1")


@pytest.mark.parametrize(("client", "message"), WRONG_PASSWORD.items(), indirect=["client"])
def test_wrong_password_is_refused_in_words(
    client: Client, site: Site, private: Image, message: str
) -> None:
    with (
        pytest.raises(ClientFailed, match=message),
        client.logged_in("alice", "not-hers"),
    ):
        client.pull(f"{site.mirror.authority}/{private.repository}:1")


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
def test_public_image_is_pulled_during_a_login(client: Client, site: Site) -> None:
    image = site.hub.add_image(f"library/{unused_name()}", "1")
    short = image.repository.removeprefix("library/")
    with client.logged_in("alice", USERS["alice"]), site.watched() as seen:
        client.pull(f"{site.mirror.authority}/{short}:1")
    assert_came_from_hub(seen, image, image.manifest)
