"""Connections of a whole mirror that are open before the first client comes."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from addon.ahead.warming import WarmLimits
from tests.e2e.client import ask, bearer, session
from tests.e2e.mirrors import mirror_with
from tests.hub import Hub, Image
from tests.hub.faults import HangUp
from tests.running import Mirror

# How far a host is must not hang on how busy the tests' machine is.
FAR, NEAR = 0.0, 10.0
SCRIPT = (
    "from addon.ahead import warming\nfrom addon.outbound import hosts\n"
    "hosts.NEAR_SECONDS = warming.NEAR_SECONDS = "
)
DEFAULTS = WarmLimits()
KEPT = [DEFAULTS.registry, DEFAULTS.token_service, DEFAULTS.cdn]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def warm_mirror(
    hub: Hub, folder: Path, state: Path, near_seconds: float = NEAR, **options: str | None
) -> AbstractAsyncContextManager[Mirror]:
    script = folder / "distance.py"
    script.write_text(f"{SCRIPT}{near_seconds}\n")
    given: dict[str, str | None] = {
        "docxy_warm_time": "900",
        "docxy_state_dir": str(state),
        **options,
    }
    return mirror_with(hub, folder, given, words=["-s", str(script)])


def accepted(hub: Hub) -> list[int]:
    """Connections so far to registry, token service and CDN."""
    return [role.accepted for role in (hub.registry, hub.token, hub.cdn)]


def knows_cdn(hub: Hub, state: Path) -> None:
    state.mkdir()
    (state / "destinations.json").write_text(json.dumps({hub.registry_url: [hub.cdn_url]}))


async def pull(mirror: Mirror, image: Image) -> None:
    """As an engine does: token, manifest, then config and layers side by side."""
    headers = {**await bearer(mirror, "alpine"), "Accept": image.manifest.media_type}
    async with session(mirror) as client:
        async with client.get("/v2/alpine/manifests/latest", headers=headers) as answer:
            assert (answer.status, await answer.read()) == (200, image.manifest.raw)
        for blob in image.manifest.blobs:
            async with client.get(f"/v2/alpine/blobs/{blob.digest}", headers=headers) as answer:
                assert await answer.read() == blob.content.read(0, blob.size)


class TestStart:
    async def test_all_are_open_before_the_first_client(self, tmp_path: Path, state: Path) -> None:
        async with Hub() as hub:
            image = hub.add_image(layers=[2000, 300_000])
            knows_cdn(hub, state)
            async with warm_mirror(hub, tmp_path, state, FAR) as mirror:
                await hub.until(lambda: accepted(hub) == KEPT and len(hub.requests) == sum(KEPT))
                await pull(mirror, image)
                assert accepted(hub) == KEPT, "a pull opened more"
                assert hub.pulls == 1

    async def test_near_hosts_get_one(self, tmp_path: Path, state: Path) -> None:
        async with Hub() as hub:
            knows_cdn(hub, state)
            async with warm_mirror(hub, tmp_path, state):
                await hub.until(lambda: len(hub.requests) == 3)
            lines = {seen.line for seen in hub.requests}
            assert lines == {"registry GET /v2/ 401", "token HEAD /token 405", "cdn HEAD / 403"}
            assert hub.manifest_gets == 0

    async def test_what_opens_them_carries_nothing_of_anybody(
        self, tmp_path: Path, state: Path
    ) -> None:
        async with Hub() as hub:
            knows_cdn(hub, state)
            async with warm_mirror(hub, tmp_path, state):
                await hub.until(lambda: len(hub.requests) == 3)
            for seen in hub.requests:
                fields = {name.lower() for name in seen.asked.headers}
                assert fields == {"host", "accept-encoding"}, seen.line

    async def test_no_time_no_requests(self, tmp_path: Path, state: Path) -> None:
        async with Hub() as hub:
            image = hub.add_image()
            knows_cdn(hub, state)
            async with warm_mirror(hub, tmp_path, state, docxy_warm_time="0") as mirror:
                await mirror.log_line("daemon.json")
                assert accepted(hub) == [0, 0, 0]
                await pull(mirror, image)
            assert not hub.requests.of("registry", text="/v2/", status=401)

    async def test_an_upstream_that_is_down_costs_no_line(
        self, tmp_path: Path, state: Path
    ) -> None:
        async with Hub() as hub:
            image = hub.add_image()
            hub.registry.refuse()
            async with warm_mirror(hub, tmp_path, state) as mirror:
                await hub.until(lambda: hub.token.accepted > 0)
                assert "upstream 127" not in mirror.text
                await hub.registry.listen()
                await pull(mirror, image)


class TestMemory:
    async def test_the_cdn_is_known_after_a_restart(self, tmp_path: Path, state: Path) -> None:
        async with Hub() as hub:
            image = hub.add_image()
            async with warm_mirror(hub, tmp_path, state) as mirror:
                await pull(mirror, image)
            kept = (state / "destinations.json").read_text()
            assert json.loads(kept) == {hub.registry_url: [hub.cdn_url]}
            before = hub.cdn.accepted
            hub.requests.clear()
            async with warm_mirror(hub, tmp_path, state):
                await hub.until(lambda: hub.cdn.accepted > before)
                assert not hub.requests.of("registry", text="/blobs/")

    async def test_a_file_does_not_lead_to_private_addresses(
        self, tmp_path: Path, state: Path
    ) -> None:
        async with Hub() as hub:
            knows_cdn(hub, state)
            async with warm_mirror(hub, tmp_path, state, docxy_redirect_private=None):
                await hub.until(lambda: len(hub.requests) == 2)
            assert hub.cdn.accepted == 0


class TestClosed:
    async def test_connections_that_upstreams_closed_are_not_met(
        self, tmp_path: Path, state: Path
    ) -> None:
        async with Hub() as hub:
            image = hub.add_image(layers=[2000, 300_000])
            knows_cdn(hub, state)
            async with warm_mirror(hub, tmp_path, state, docxy_remember="false") as mirror:
                for _ in range(20):
                    for role in (hub.registry, hub.token, hub.cdn):
                        role.drop_connections()
                    await pull(mirror, image)
                assert "upstream 127" not in mirror.text

    async def test_one_that_is_closed_under_a_request_is_replaced_by_a_fresh_one(
        self, tmp_path: Path, state: Path
    ) -> None:
        async with Hub() as hub:
            image = hub.add_image()
            knows_cdn(hub, state)
            async with warm_mirror(hub, tmp_path, state) as mirror:
                await hub.until(lambda: len(hub.requests) == 3)
                token = await bearer(mirror, "alpine")
                hub.requests.clear()
                hub.registry.faults.add(HangUp(), times=1, path="/manifests/")
                headers = {**token, "Accept": image.manifest.media_type}
                answer = await ask(mirror, "/v2/alpine/manifests/latest", headers=headers)
                assert answer.body == image.manifest.raw
                first, second = hub.requests.of("registry", "GET", "/manifests/")
                assert first.connection != second.connection
                # At once: a pause would say that it counted as the upstream's failure.
                assert second.time - first.time < 0.15
