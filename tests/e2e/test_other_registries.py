"""Registries other than Docker Hub: learnt, without `library/`, plain, open, or someone else's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.client import ask, bearer, connect
from tests.e2e.mirrors import HOST, mirror_with
from tests.hub import Header, Hub, Image, Redirect, Stall, Status
from tests.hub.distribution import BINARY, Distribution
from tests.hub.hub import SERVICE
from tests.hub.media_types import OCI_MANIFEST
from tests.ports import free_port
from tests.running import Mirror, reverse_mode

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEARNT: Mapping[str, str | None] = {"docxy_token_service": None, "docxy_service": None}


async def pull(mirror: Mirror, image: Image, name: str, service: str = SERVICE) -> None:
    """A whole pull by a name, the challenge's own words followed."""
    answer = await ask(mirror, "/v2/")
    challenge = f'Bearer realm="{mirror.url}/auth/token",service="{service}"'
    assert answer.headers.getall("WWW-Authenticate") == [challenge]
    token = await bearer(mirror, name, service=service)
    headers = {**token, "Accept": image.manifest.media_type}
    for reference in (image.tag, image.digest):
        answer = await ask(mirror, f"/v2/{name}/manifests/{reference}", headers=headers)
        assert answer.body == image.manifest.raw
    for blob in image.manifest.blobs:
        answer = await ask(mirror, f"/v2/{name}/blobs/{blob.digest}", headers=token)
        assert (answer.status, answer.body) == (200, blob.content.read(0, blob.size))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def learning(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    """A mirror that has not learnt yet, and in these tests never does."""
    confdir = tmp_path_factory.mktemp("confdir")
    async with mirror_with(shared_hub, confdir, LEARNT) as mirror:
        yield mirror


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port_443() -> AsyncIterator[Hub]:
    # An address of this process's own, as the port is the same wherever this test runs.
    own = str(ip_address("127.64.0.0") + os.getpid() % 2**22)
    hub = Hub(hosts=(own, "127.0.0.13", "127.0.0.14"), ports=(443, 0, 0))
    try:
        await hub.start()
    except PermissionError:
        await hub.close()
        pytest.skip("port 443 may not be bound")
    yield hub
    await hub.close()


class TestLearning:
    async def test_takes_one_good_request_however_many_clients_ask(
        self, hub: Hub, tmp_path: Path
    ) -> None:
        image = hub.add_image()
        async with mirror_with(hub, tmp_path, LEARNT) as mirror:
            await self.fails(hub, mirror)
            await self.leaves(hub, mirror)
            hub.requests.clear()
            answers = await asyncio.gather(*(ask(mirror, "/v2/") for _ in range(20)))
            assert {answer.status for answer in answers} == {401}
            await pull(mirror, image, "alpine")
        assert [seen.target for seen in hub.requests if seen.target == "/v2/"] == ["/v2/"]

    @staticmethod
    async def fails(hub: Hub, mirror: Mirror) -> None:
        """A failure is told, and not kept."""
        switch = hub.registry.faults.add(Status(503))
        answer = await ask(mirror, "/v2/")
        switch.off()
        assert answer.error == (502, "UNAVAILABLE")
        assert "503 without a challenge" in answer.message

    @staticmethod
    async def leaves(hub: Hub, mirror: Mirror) -> None:
        """A client that leaves while it is learnt spoils nothing for the next one."""
        hub.registry.faults.add(Stall(), times=1)
        seen = len(hub.requests)
        async with connect(mirror) as connection:
            await connection.request("/v2/")
            await hub.until(lambda: len(hub.requests) > seen)

    @pytest.mark.parametrize(
        ("challenge", "cause"),
        [
            pytest.param(
                'Bearer realm="http://127.0.0.3/token",service="x"', "not https", id="plain realm"
            ),
            pytest.param('Basic realm="x"', "without a challenge", id="Basic"),
            pytest.param('Bearer service="x"', "without a challenge", id="no realm"),
            pytest.param("Bearer realm", "without a challenge", id="not to be read"),
            pytest.param('Bearer realm="/token"', "not an address", id="relative realm"),
        ],
    )
    async def test_challenge_that_credentials_may_not_follow(
        self, hub: Hub, learning: Mirror, challenge: str, cause: str
    ) -> None:
        hub.registry.faults.add(Header("WWW-Authenticate", challenge))
        for target in ("/v2/", f"/auth/token?service={SERVICE}"):
            answer = await ask(learning, target)
            assert answer.error == (502, "UNAVAILABLE")
            assert hub.registry_url.removeprefix("https://") in answer.message
            assert cause in answer.message
        assert not hub.requests.of("token")

    async def test_learnt_token_service_may_not_be_private(self, hub: Hub, tmp_path: Path) -> None:
        options = {**LEARNT, "docxy_redirect_private": None}
        async with mirror_with(hub, tmp_path, options) as mirror:
            answer = await ask(mirror, f"/auth/token?service={SERVICE}")
        assert answer.error == (502, "UNAVAILABLE")
        assert hub.token.host in answer.message
        assert "docxy_redirect_private" in answer.message


class TestNames:
    async def test_registry_without_official_images_gets_names_as_they_are(
        self, hub: Hub, tmp_path: Path
    ) -> None:
        image = hub.add_image("alpine")
        async with mirror_with(hub, tmp_path, {**LEARNT, "docxy_official": ""}) as mirror:
            # The token asked first, so that it is what lets the challenge be learnt.
            token = await bearer(mirror, "alpine")
            assert [seen.role for seen in hub.requests] == ["registry", "token"]
            await pull(mirror, image, "alpine")
            target = "/v2/alpine/tags/list?ns=docker.io"
            assert (await ask(mirror, target, headers=token)).error == (404, "NAME_UNKNOWN")
            own = hub.registry_url.removeprefix("https://")
            target = f"/v2/alpine/tags/list?ns={own}"
            assert (await ask(mirror, target, headers=token)).status == 200
        assert not [seen for seen in hub.requests if "library" in seen.target]


class TestPlainUpstream:
    async def test_is_pulled_from_as_from_any(self, tmp_path: Path) -> None:
        async with Hub(tls=False) as hub:
            image = hub.add_image()
            async with mirror_with(hub, tmp_path, LEARNT) as mirror:
                await pull(mirror, image, "alpine")
            assert {seen.role for seen in hub.requests} == {"registry", "token", "cdn"}


class TestOpenRegistry:
    async def test_that_asks_for_no_token(self, hub: Hub, tmp_path: Path) -> None:
        hub.registry.faults.add(Status(200, body=b"{}"))
        async with mirror_with(hub, tmp_path, LEARNT) as mirror:
            for _ in range(2):
                answer = await ask(mirror, "/v2/")
                assert (answer.status, answer.body) == (200, b"{}")
                assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
            assert len(hub.requests) == 1
            assert (await ask(mirror, "/v2/a/b/manifests/1")).status == 200
            answer = await ask(mirror, "/auth/token?service=x")
            assert answer.error == (502, "UNAVAILABLE")
            assert "no token" in answer.message
        assert not hub.requests.of("token")


class TestManifestsRedirected:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_to_another_host_without_credentials(
        self, hub: Hub, mirror: Mirror, method: str
    ) -> None:
        """As registry.k8s.io does."""
        body = b'{"mediaType": "there"}'
        hub.registry.faults.add(Redirect(f"{hub.cdn_url}/v2/k8s/pause/manifests/3.9"))
        hub.cdn.faults.add(Status(200, body=body, content_type=OCI_MANIFEST))
        token = await bearer(mirror, "pause")
        headers = {**token, "Accept": OCI_MANIFEST}
        answer = await ask(mirror, "/v2/pause/manifests/3.9", method, headers)
        assert (answer.status, answer.body) == (200, body if method == "GET" else b"")
        assert answer.headers["Content-Type"] == OCI_MANIFEST
        assert answer.headers["Content-Length"] == str(len(body))
        assert "Location" not in answer.headers
        (seen,) = hub.requests.of("cdn")
        assert seen.method == method
        assert seen.asked.headers["Accept"] == OCI_MANIFEST
        assert "Authorization" not in seen.asked.headers

    async def test_to_the_registry_itself(self, hub: Hub, mirror: Mirror) -> None:
        image = hub.add_image()
        hub.registry.faults.add(Redirect(f"./{image.digest}"), path="/latest")
        token = await bearer(mirror, "alpine")
        headers = {**token, "Accept": OCI_MANIFEST}
        answer = await ask(mirror, "/v2/alpine/manifests/latest", headers=headers)
        assert (answer.status, answer.body) == (200, image.manifest.raw)


@pytest.mark.skipif(BINARY is None, reason="docker-registry is not installed")
class TestDistribution:
    async def test_debians_registry_is_learnt_and_pulled_from(
        self, hub: Hub, tmp_path: Path
    ) -> None:
        image = hub.add_image("demo/app", "1", layers=[300_000, 5000])
        index = hub.add_image("demo/app", "2", platforms=["linux/amd64", "linux/arm64"])
        async with Distribution(hub) as registry:
            await registry.push(image)
            await registry.push(index)
            port = free_port(HOST)
            modes = reverse_mode(registry.url, HOST, port)
            options = {**LEARNT, "docxy_official": ""}
            async with mirror_with(hub, tmp_path, options, modes=modes, port=port) as mirror:
                await pull(mirror, image, "demo/app")
                await pull(mirror, index, "demo/app")
                token = await bearer(mirror, "demo/app")
                answer = await ask(mirror, "/v2/demo/app/tags/list", headers=token)
                assert sorted(answer.json["tags"]) == ["1", "2"]
                layer = image.layers[0]
                ranged = {**token, "Range": "bytes=1000-1999"}
                answer = await ask(mirror, f"/v2/demo/app/blobs/{layer.digest}", headers=ranged)
                assert (answer.status, answer.body) == (206, layer.content.read(1000, 2000))
                answer = await ask(mirror, f"/v2/demo/app/blobs/{layer.digest}", "HEAD", token)
                assert answer.headers["Content-Length"] == str(layer.size)
                answer = await ask(mirror, "/v2/demo/other/tags/list", headers=token)
                assert answer.error == (401, "UNAUTHORIZED")
                assert f'realm="{mirror.url}/auth/token"' in answer.headers["WWW-Authenticate"]
        assert {seen.role for seen in hub.requests} == {"token"}


class TestModes:
    @pytest.mark.parametrize(
        "mode",
        [
            pytest.param("reverse:https://{host}", id="https, its own port"),
            pytest.param("reverse:http://{host}:443", id="http on the port of https"),
        ],
    )
    async def test_registry_on_port_443(self, port_443: Hub, tmp_path: Path, mode: str) -> None:
        image = port_443.add_image()
        port = free_port(HOST)
        modes = ["--mode", f"{mode.format(host=port_443.registry.host)}@{HOST}:{port}"]
        async with mirror_with(port_443, tmp_path, {}, modes=modes, port=port) as mirror:
            await pull(mirror, image, "alpine")
            await mirror.log_line(f"mirrors {port_443.registry.host} at ")
