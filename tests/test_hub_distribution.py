"""Debian's registry takes the stand-in's tokens and images, and checks them for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.hub import Hub
from tests.hub.distribution import BINARY, Distribution
from tests.hub.media_types import OCI_MANIFEST
from tests.hub.raw import RawAnswer, ask

pytestmark = pytest.mark.skipif(BINARY is None, reason="docker-registry is not installed")


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


@pytest.fixture
async def registry(hub: Hub) -> AsyncIterator[Distribution]:
    async with Distribution(hub) as registry:
        yield registry


async def get(hub: Hub, url: str, scope: str) -> RawAnswer:
    token = await ask(
        f"{hub.token_url}?service={hub.service}&scope={scope}", tls=hub.client_context()
    )
    headers = {"Authorization": f"Bearer {token.json['token']}", "Accept": OCI_MANIFEST}
    return await ask(url, headers=headers, tls=hub.client_context())


async def test_challenge_names_the_hubs_token_service(hub: Hub, registry: Distribution) -> None:
    answer = await ask(f"{registry.url}/v2/", tls=hub.client_context())
    assert answer.status == 401
    assert f'realm="{hub.token_url}"' in answer.headers["WWW-Authenticate"]


async def test_pushed_image_is_pulled_with_the_hubs_token(hub: Hub, registry: Distribution) -> None:
    image = hub.add_image("demo/app", "1")
    index = hub.add_image("demo/app", "2", platforms=["linux/amd64", "linux/arm64"], form="docker")
    await registry.push(image)
    await registry.push(index)
    scope, base = "repository:demo/app:pull", f"{registry.url}/v2/demo/app"
    assert (await get(hub, f"{base}/manifests/1", scope)).body == image.manifest.raw
    assert (await get(hub, f"{base}/manifests/{index.digest}", scope)).body == index.manifest.raw
    blob = await get(hub, f"{base}/blobs/{image.config.digest}", scope)
    assert blob.body == image.config.content.read(0, image.config.size)


async def test_token_for_another_repository_is_refused(hub: Hub, registry: Distribution) -> None:
    await registry.push(hub.add_image("demo/app", "1"))
    hub.add_image("demo/other")
    answer = await get(hub, f"{registry.url}/v2/demo/app/manifests/1", "repository:demo/other:pull")
    assert answer.status == 401
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
