"""What a mirror begins before it is asked, as the Hub sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.client import ask, bearer
from tests.hub import Hub
from tests.hub.media_types import OCI_MANIFEST
from tests.running import Mirror, running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def manifest(mirror: Mirror, token: dict[str, str], name: str, tag: str = "latest") -> None:
    headers = {"Accept": OCI_MANIFEST, **token}
    answer = await ask(mirror, f"/v2/{name}/manifests/{tag}", headers=headers)
    assert answer.status == 200


async def test_config_and_layers_are_here_before_they_are_asked_for(
    hub: Hub, tmp_path: Path
) -> None:
    image = hub.add_image("library/ahead", layers=(2000, 3000, 4000))
    async with running_mirror(hub, tmp_path) as mirror:
        token = await bearer(mirror, "ahead")
        await manifest(mirror, token, "ahead")
        await hub.until(lambda: len(hub.requests.of("cdn", "GET")) == 4)
        for each in image.manifest.blobs:
            answer = await ask(mirror, f"/v2/ahead/blobs/{each.digest}", headers=token)
            assert answer.body == each.content.read(0, each.size)
        assert len(hub.requests.of("cdn")) == 4
        assert len(hub.requests.of("registry", "GET", "/blobs/")) == 4


@pytest.mark.parametrize("option", ["docxy_look_ahead", "docxy_remember"])
async def test_nothing_is_begun_where_it_is_turned_off(
    hub: Hub, tmp_path: Path, option: str
) -> None:
    hub.add_image("library/ahead", layers=(2000, 3000))
    async with running_mirror(hub, tmp_path, "--set", f"{option}=false") as mirror:
        token = await bearer(mirror, "ahead")
        await manifest(mirror, token, "ahead")
        await asyncio.sleep(0.3)
        assert not hub.requests.of("cdn")
        assert not hub.requests.of("registry", "GET", "/blobs/")


async def test_a_watcher_of_tags_soon_causes_nothing(hub: Hub, tmp_path: Path) -> None:
    for number in range(8):
        hub.add_image("library/watched", f"v{number}", layers=(1000 + number,))
    async with running_mirror(hub, tmp_path) as mirror:
        token = await bearer(mirror, "watched")
        for number in range(8):
            await manifest(mirror, token, "watched", f"v{number}")
        await asyncio.sleep(0.5)
        # Config and layer of the first three.
        assert len(hub.requests.of("cdn")) == 6
