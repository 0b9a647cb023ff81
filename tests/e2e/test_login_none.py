"""docxy_login=none: clients are never asked for a token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.client import ask, bearer, connect
from tests.e2e.mirrors import mirror_with
from tests.hub import Hub, Image
from tests.hub.hub import SERVICE
from tests.running import Mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mirror(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    folder: Path = tmp_path_factory.mktemp("confdir")
    async with mirror_with(shared_hub, folder, {"docxy_login": "none"}) as running:
        yield running


@pytest.fixture
def image(hub: Hub) -> Image:
    return hub.add_image(layers=[2000, 300_000])


def accept(image: Image) -> dict[str, str]:
    return {"Accept": image.manifest.media_type}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_ping_is_welcome(hub: Hub, mirror: Mirror, method: str) -> None:
    answer = await ask(mirror, "/v2/", method)
    assert answer.status == 200
    assert "WWW-Authenticate" not in answer.headers
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert not hub.requests


async def test_an_image_is_pulled_without_a_token(hub: Hub, mirror: Mirror, image: Image) -> None:
    async with connect(mirror) as connection:
        target = "/v2/alpine/manifests/latest"
        assert (await connection.ask(target, "HEAD", accept(image))).status == 200
        assert (await connection.ask(target, headers=accept(image))).body == image.manifest.raw
        for blob in image.manifest.blobs:
            target = f"/v2/alpine/blobs/{blob.digest}"
            assert (await connection.ask(target, "HEAD")).status == 200
            assert (await connection.ask(target)).body == blob.content.read(0, blob.size)
        answer = await connection.ask("/v2/alpine/tags/list")
        assert answer.json == {"name": "library/alpine", "tags": ["latest"]}
    assert all(not seen.asked.header("Authorization") for seen in hub.requests.of("cdn"))


@pytest.mark.parametrize(
    "target",
    [
        "/v2/team/secret/manifests/latest",
        f"/v2/team/secret/blobs/sha256:{'a' * 64}",
        "/v2/team/secret/tags/list",
        "/v2/team/none/manifests/latest",
    ],
)
async def test_what_is_not_for_everyone_is_refused_with_the_reason(
    hub: Hub, mirror: Mirror, target: str
) -> None:
    hub.add_image("team/secret", private=True)
    answer = await ask(mirror, target)
    assert answer.error == (403, "DENIED")
    assert "WWW-Authenticate" not in answer.headers
    name = "team/none" if "none" in target else "team/secret"
    assert answer.message == (
        f"{name} is private or does not exist, and this mirror takes no login (docxy_login=none)"
    )


async def test_a_client_that_asks_for_a_token_all_the_same_gets_one_that_works(
    mirror: Mirror, image: Image
) -> None:
    token = await bearer(mirror, "alpine")
    headers = {**token, **accept(image)}
    answer = await ask(mirror, "/v2/alpine/manifests/latest", headers=headers)
    assert answer.body == image.manifest.raw


async def test_a_client_that_logs_in_all_the_same_reads_what_is_its_own(
    hub: Hub, mirror: Mirror
) -> None:
    image = hub.add_image("team/secret", private=True)
    login = {"Authorization": "Basic YWxpY2U6d29uZGVybGFuZA=="}  # alice:wonderland
    token = await bearer(mirror, "team/secret", headers=login)
    headers = {**token, **accept(image)}
    target = "/v2/team/secret/manifests/latest"
    assert (await ask(mirror, target, headers=headers)).body == image.manifest.raw
    # And nobody else does because of it.
    assert (await ask(mirror, target, headers=accept(image))).status == 403


async def test_a_tag_that_is_not_there_is_still_unknown(mirror: Mirror, image: Image) -> None:
    answer = await ask(mirror, "/v2/alpine/manifests/none", headers=accept(image))
    assert answer.error == (404, "MANIFEST_UNKNOWN")


async def test_a_token_service_that_is_down_is_named(
    hub: Hub, mirror: Mirror, image: Image
) -> None:
    hub.add_image("library/fresh")
    hub.token.refuse()
    try:
        answer = await ask(mirror, "/v2/fresh/manifests/latest", headers=accept(image))
    finally:
        await hub.token.listen()
    assert answer.error == (502, "UNAVAILABLE")
    assert hub.token.host in answer.message


async def test_token_answers_are_the_services_own(mirror: Mirror) -> None:
    answer = await ask(mirror, f"/auth/token?service={SERVICE}&scope=repository:alpine:pull")
    assert answer.status == 200
    assert {"token", "expires_in"} <= set(json.loads(answer.body))
