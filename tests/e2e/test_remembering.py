"""What a mirror remembers, as clients and the Hub see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.client import Answer, ask, bearer
from tests.hub import Flip, Hub, Image, Status
from tests.hub.media_types import OCI_INDEX, OCI_MANIFEST
from tests.running import Mirror, running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCEPT = {"Accept": f"{OCI_INDEX}, {OCI_MANIFEST}"}
PLATFORMS = [f"linux/arch{number}" for number in range(10)]


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(hub: Hub, tmp_path: Path) -> AsyncIterator[Mirror]:
    """A mirror that has seen nothing yet, and checks tags and access at once."""
    settings = ["docxy_tag_ttl=0", "docxy_look_ahead=false"]
    words = [word for setting in settings for word in ("--set", setting)]
    async with running_mirror(hub, tmp_path, *words) as mirror:
        yield mirror


@pytest_asyncio.fixture(loop_scope="module")
async def usual(hub: Hub, tmp_path: Path) -> AsyncIterator[Mirror]:
    """A mirror as it comes."""
    async with running_mirror(hub, tmp_path) as mirror:
        yield mirror


@pytest.fixture
def image(hub: Hub) -> Image:
    return hub.add_image("library/alpine", layers=(2000, 3000))


async def manifest(
    mirror: Mirror, token: dict[str, str], name: str = "alpine", tag: str = "latest"
) -> Answer:
    return await ask(mirror, f"/v2/{name}/manifests/{tag}", headers={**ACCEPT, **token})


async def blob(mirror: Mirror, token: dict[str, str], digest: str, name: str = "alpine") -> Answer:
    return await ask(mirror, f"/v2/{name}/blobs/{digest}", headers=token)


async def test_a_hundred_pulls_ask_for_one_token_and_one_manifest(
    hub: Hub, usual: Mirror, image: Image
) -> None:
    async def pull() -> bytes:
        token = await bearer(usual, "alpine")
        return (await manifest(usual, token)).body

    assert set(await asyncio.gather(*(pull() for _ in range(100)))) == {image.manifest.raw}
    assert (hub.manifest_gets, hub.pulls) == (1, 1)
    assert len(hub.requests.of("token")) == 1


async def test_no_manifest_is_asked_for_that_no_client_asked_for(hub: Hub, usual: Mirror) -> None:
    index = hub.add_image("library/many", platforms=PLATFORMS)
    token = await bearer(usual, "many")
    for _ in range(3):
        assert (await manifest(usual, token, "many")).body == index.manifest.raw
    child = index.manifest.manifests[3]
    assert (await manifest(usual, token, "many", child.digest)).body == child.raw
    for each in child.blobs:
        await blob(usual, token, each.digest, "many")
    assert hub.manifest_gets == 2


async def test_a_tag_is_checked_by_head_and_followed_when_it_moves(
    hub: Hub, fresh: Mirror, image: Image
) -> None:
    token = await bearer(fresh, "alpine")
    for _ in range(5):
        assert (await manifest(fresh, token)).body == image.manifest.raw
    assert (hub.manifest_gets, len(hub.requests.of("registry", "HEAD"))) == (1, 4)
    moved = hub.add_image("library/alpine", layers=(777,))
    assert (await manifest(fresh, token)).body == moved.manifest.raw
    assert hub.manifest_gets == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_a_copy_is_given_while_the_hub_does_not(
    hub: Hub, fresh: Mirror, image: Image, status: int
) -> None:
    token = await bearer(fresh, "alpine")
    await manifest(fresh, token)
    hub.registry.faults.add(Status(status, retry_after="60"))
    answer = await manifest(fresh, token)
    assert (answer.status, answer.body) == (200, image.manifest.raw)
    assert answer.headers["Warning"].startswith("299 - ")
    assert int(answer.headers["Age"]) >= 0
    await fresh.log_line("is served as it was")


async def test_small_blobs_come_from_memory_and_wrong_ones_from_nowhere(
    hub: Hub, usual: Mirror
) -> None:
    image = hub.add_image("library/poisoned", layers=(5000,))
    layer = image.manifest.layers[0]
    fault = hub.cdn.faults.add(Flip(at=10), path=layer.digest.removeprefix("sha256:"))
    token = await bearer(usual, "poisoned")
    await manifest(usual, token, "poisoned")
    for _ in range(2):
        answer = await blob(usual, token, layer.digest, "poisoned")
        assert answer.status >= 500 or answer.ended == "broken"
    fault.off()
    for _ in range(5):
        answer = await blob(usual, token, layer.digest, "poisoned")
        assert answer.body == layer.content.read(0, layer.size)
    asked = len(hub.requests.of("cdn", "GET", layer.digest.removeprefix("sha256:")))
    await blob(usual, token, layer.digest, "poisoned")
    assert len(hub.requests.of("cdn", "GET", layer.digest.removeprefix("sha256:"))) == asked


async def test_what_a_login_fetched_is_given_to_nobody_else(hub: Hub, usual: Mirror) -> None:
    image = hub.add_image("me/private", private=True)
    layer = image.manifest.layers[0].digest
    alice = {"Authorization": "Basic YWxpY2U6d29uZGVybGFuZA=="}
    hers = await bearer(usual, "me/private", headers=alice)
    others = [await bearer(usual, *scope) for scope in (("me/private",), ("alpine",))]
    others.append({"Authorization": "Bearer made.up.token"})
    for _ in range(2):
        assert (await manifest(usual, hers, "me/private")).body == image.manifest.raw
        assert (await blob(usual, hers, layer, "me/private")).status == 200
        for token in others:
            assert (await manifest(usual, token, "me/private")).status == 401
            assert (await manifest(usual, token, "me/private", image.digest)).status == 401
            assert (await blob(usual, token, layer, "me/private")).status == 401


async def test_a_repository_made_private_is_nobodys_once_it_is_checked(
    hub: Hub, tmp_path: Path
) -> None:
    image = hub.add_image("me/open")
    layer = image.manifest.layers[0].digest
    async with running_mirror(hub, tmp_path, "--set", "docxy_recheck_time=0") as mirror:
        token = await bearer(mirror, "me/open")
        assert (await manifest(mirror, token, "me/open")).status == 200
        assert (await blob(mirror, token, layer, "me/open")).status == 200
        hub.set_private("me/open")
        assert (await blob(mirror, token, layer, "me/open")).status == 401
        assert (await manifest(mirror, token, "me/open")).status == 401
        assert (await manifest(mirror, token, "me/open", image.digest)).status == 401
    hub.set_public("me/open")


async def test_without_a_login_private_images_are_refused_with_the_reason(
    hub: Hub, tmp_path: Path, image: Image
) -> None:
    hub.add_image("me/private", private=True)
    async with running_mirror(hub, tmp_path, "--set", "docxy_login=none") as mirror:
        assert (await ask(mirror, "/v2/")).status == 200
        assert (await manifest(mirror, {})).body == image.manifest.raw
        for target in ("manifests/latest", "tags/list"):
            answer = await ask(mirror, f"/v2/me/private/{target}", headers=ACCEPT)
            assert answer.error == (403, "DENIED")
            assert "docxy_login=none" in answer.message
            assert "WWW-Authenticate" not in answer.headers
