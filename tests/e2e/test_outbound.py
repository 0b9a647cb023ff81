"""The one way out: connections kept, nothing of its own sent, proxies and CAs as the owner says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import pytest_asyncio

from addon.outbound.outbound import Outbound
from addon.protocol.errors import UpstreamFailure
from addon.settings.wayout import OutboundSettings
from tests.e2e.client import ask, bearer, connect
from tests.e2e.mirrors import mirror_with
from tests.hub import Delivery, Hub, Image
from tests.hub.content import Noise
from tests.hub.exchange import Answer, Asked
from tests.hub.faults import Fault
from tests.hub.hub import SERVICE
from tests.running import Mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENTS = 5
PULLS = 4


@pytest.fixture(scope="module")
def image(shared_hub: Hub) -> Image:
    return shared_hub.add_image(layers=[2000, 300_000])


async def pull(mirror: Mirror, image: Image) -> None:
    """A whole pull over a client connection of its own."""
    token = await bearer(mirror, "alpine")
    headers = {**token, "Accept": image.manifest.media_type}
    async with connect(mirror) as connection:
        for method in ("HEAD", "GET"):
            target = "/v2/alpine/manifests/latest"
            answer = await connection.ask(target, method, headers)
            assert answer.status == 200
        for blob in image.manifest.blobs:
            answer = await connection.ask(f"/v2/alpine/blobs/{blob.digest}", headers=headers)
            assert answer.body == blob.content.read(0, blob.size)


@dataclass(frozen=True, slots=True)
class Page(Fault):
    """A redirect's page of another size."""

    size: int

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        return replace(answer, body=Noise("page", self.size))


def accepted(hub: Hub) -> list[int]:
    """Connections so far to registry, token service and CDN."""
    return [role.accepted for role in (hub.registry, hub.token, hub.cdn)]


class TestConnections:
    async def test_are_kept_between_requests_and_clients(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        async def client() -> None:
            for _ in range(PULLS):
                await pull(mirror, image)

        before = accepted(hub)
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(client())
        assert len(hub.requests.of("cdn")) == CLIENTS * PULLS * len(image.manifest.blobs)
        opened = [now - then for now, then in zip(accepted(hub), before, strict=True)]
        assert all(1 <= count <= CLIENTS for count in opened), opened

    async def test_one_client_after_the_other_needs_no_new_one(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        await pull(mirror, image)
        before = accepted(hub)
        for _ in range(10):
            await pull(mirror, image)
        assert accepted(hub) == before

    async def test_page_of_a_redirect_costs_none(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        hub.registry.faults.add(Page(10_000), path="/blobs/")
        await pull(mirror, image)
        before = accepted(hub)
        for _ in range(5):
            await pull(mirror, image)
        assert accepted(hub) == before

    @pytest.mark.parametrize(
        ("fault", "seconds"),
        [
            pytest.param(Delivery("length", 100, "stall"), 2.5, id="stalls"),
            pytest.param(Delivery("length", 100, "fin"), 0.9, id="breaks off"),
        ],
    )
    async def test_page_that_does_not_end_holds_no_client_up(
        self, hub: Hub, mirror: Mirror, image: Image, fault: Delivery, seconds: float
    ) -> None:
        token = await bearer(mirror, "alpine")
        hub.registry.faults.add(fault, path="/blobs/")
        started = time.monotonic()
        target = f"/v2/alpine/blobs/{image.config.digest}"
        assert (await ask(mirror, target, headers=token)).status == 200
        assert time.monotonic() - started < seconds

    async def test_page_that_is_no_page_is_not_read(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        token = await bearer(mirror, "alpine")
        hub.registry.faults.add(Page(100_000_000), path="/blobs/")
        target = f"/v2/alpine/blobs/{image.config.digest}"
        assert (await ask(mirror, "/v2/", headers=token)).status == 200
        connections = hub.registry.open
        assert (await ask(mirror, target, headers=token)).status == 200
        await hub.until(lambda: hub.registry.open < connections)

    @pytest.mark.parametrize(
        ("target", "status"),
        [
            pytest.param("/v2/alpine/manifests/nothing", 404, id="not found"),
            pytest.param("/v2/other/manifests/latest", 401, id="unauthorized"),
            pytest.param("/v2/alpine/tags/list", 200, id="list"),
        ],
    )
    async def test_errors_keep_them_too(
        self, hub: Hub, mirror: Mirror, image: Image, target: str, status: int
    ) -> None:
        token = await bearer(mirror, "alpine")
        before = accepted(hub)
        for _ in range(5):
            assert (await ask(mirror, target, headers=token)).status == status
        assert accepted(hub)[0] <= before[0] + 1

    async def test_head_of_a_blob_keeps_them(self, hub: Hub, mirror: Mirror, image: Image) -> None:
        token = await bearer(mirror, "alpine")
        target = f"/v2/alpine/blobs/{image.config.digest}"
        assert (await ask(mirror, target, "HEAD", token)).status == 200
        before = accepted(hub)
        for _ in range(5):
            assert (await ask(mirror, target, "HEAD", token)).status == 200
        assert accepted(hub) == before


class TestNothingOfItsOwn:
    async def test_cookies_of_the_hub_never_come_back(self, tmp_path: Path) -> None:
        names = ("localhost",) * 3  # aiohttp's own jar takes none from an address
        async with Hub(names=names, hosts=("127.0.0.1",) * 3) as hub:
            image = hub.add_image(layers=[2000, 300_000])
            async with mirror_with(hub, tmp_path, {}) as mirror:
                for _ in range(2):
                    await pull(mirror, image)
            assert {seen.role for seen in hub.requests} == {"registry", "token", "cdn"}
            assert not [seen.line for seen in hub.requests if "Cookie" in seen.asked.headers]

    async def test_netrc_is_never_used(self, hub: Hub, tmp_path: Path, image: Image) -> None:
        netrc = tmp_path / ".netrc"
        hosts = [role.host for role in (hub.registry, hub.token, hub.cdn)]
        entries = [f"machine {host} login alice password wonderland" for host in hosts]
        netrc.write_text("\n".join([*entries, "default login bob password builder", ""]))
        netrc.chmod(0o600)
        environ = {"HOME": str(tmp_path), "NETRC": str(netrc)}
        async with mirror_with(hub, tmp_path / "confdir", {}, environ=environ) as mirror:
            await pull(mirror, image)
        assert [seen for seen in hub.requests if "Authorization" in seen.asked.headers] == (
            hub.requests.of("registry")
        )
        for seen in hub.requests.of("registry"):
            assert seen.asked.headers["Authorization"].startswith("Bearer ")


@dataclass
class Proxy:
    """An HTTP proxy that knows CONNECT alone; `names` are resolved by it.

    With a `refusal` that is its answer to all.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    heads: list[bytes] = field(default_factory=list)
    refusal: bytes = b""
    port: int = 0

    @property
    def targets(self) -> set[str]:
        return {head.split(b" ")[1].decode() for head in self.heads}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        host, _, port = target.decode().rpartition(":")
        assert method == b"CONNECT"
        if self.refusal:
            writer.write(self.refusal)
            writer.close()
            return
        there = await asyncio.open_connection(self.names.get(host, host), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass(reader, there[1]))
            group.create_task(_pass(there[0], writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_proxy() -> AsyncIterator[Proxy]:
    async with Proxy().listening() as proxy:
        yield proxy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxied(
    shared_hub: Hub, shared_proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    """A mirror behind a proxy with a password, which is not asked for the token service."""
    environ = {
        "HTTPS_PROXY": f"http://me:pa%40ss@127.0.0.1:{shared_proxy.port}",
        "NO_PROXY": f"example.com, {shared_hub.token.host}",
    }
    confdir = tmp_path_factory.mktemp("confdir")
    async with mirror_with(shared_hub, confdir, {}, environ=environ) as mirror:
        yield mirror


@pytest.fixture
def proxy(shared_proxy: Proxy) -> Proxy:
    shared_proxy.heads.clear()
    shared_proxy.refusal = b""
    return shared_proxy


def authority(url: str) -> str:
    return url.removeprefix("https://").partition("/")[0]


class TestProxies:
    async def test_all_goes_through_it_but_what_no_proxy_names(
        self, hub: Hub, proxy: Proxy, proxied: Mirror, image: Image
    ) -> None:
        direct = hub.token.accepted
        await pull(proxied, image)
        assert proxy.targets == {authority(hub.registry_url), authority(hub.cdn_url)}
        assert len(proxy.heads) == 2, "its connections are kept as well"
        assert hub.token.accepted == direct + 1

    async def test_its_password_is_for_it_alone(
        self, hub: Hub, proxy: Proxy, proxied: Mirror, image: Image
    ) -> None:
        hub.registry.drop_connections()
        await pull(proxied, image)
        expected = b"Proxy-Authorization: Basic " + b64encode(b"me:pa@ss")
        assert proxy.heads
        assert all(expected in head for head in proxy.heads)
        assert not [seen for seen in hub.requests if "Proxy-Authorization" in seen.asked.headers]
        assert "pa@ss" not in proxied.text
        assert "pa%40ss" not in proxied.text

    @pytest.mark.parametrize(
        ("refusal", "cause"),
        [
            pytest.param(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "407", id="407"),
            pytest.param(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503", id="503"),
            pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP", id="no proxy at all"),
        ],
    )
    async def test_one_that_refuses_is_told_of(
        self, hub: Hub, proxy: Proxy, proxied: Mirror, refusal: bytes, cause: str
    ) -> None:
        hub.registry.drop_connections()
        proxy.refusal = refusal
        shown = {"Authorization": "Bearer x"}
        answer = await ask(proxied, "/v2/alpine/tags/list", headers=shown)
        assert answer.error == (502, "UNAVAILABLE")
        assert cause in answer.message
        assert not hub.requests

    @pytest.mark.parametrize(
        ("scheme", "cause"),
        [
            pytest.param("http", "the proxy cannot be reached: Connection refused", id="refused"),
            pytest.param("socks5", "a socks5 proxy, and only http ones", id="SOCKS"),
        ],
    )
    async def test_one_that_cannot_be_used_is_told_of(
        self, hub: Hub, tmp_path: Path, scheme: str, cause: str
    ) -> None:
        async with Proxy().listening() as gone:
            environ = {"ALL_PROXY": f"{scheme}://127.0.0.1:{gone.port}"}
        async with mirror_with(hub, tmp_path, {}, environ=environ) as mirror:
            answer = await ask(mirror, f"/auth/token?service={SERVICE}")
        assert answer.error == (502, "UNAVAILABLE")
        assert cause in answer.message
        assert not hub.requests

    async def test_address_rule_looks_at_the_literal_address_alone(self, tmp_path: Path) -> None:
        """The proxy resolves names, so only what stands in the redirect can be judged."""
        names = ("", "", "cdn.test")
        async with Hub(names=names) as hub, Proxy({"cdn.test": hub.cdn.host}).listening() as proxy:
            image = hub.add_image(layers=[2000])
            environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
            options = {"docxy_redirect_private": None}
            async with mirror_with(hub, tmp_path, options, environ=environ) as mirror:
                await pull(mirror, image)
                assert authority(hub.cdn_url) in proxy.targets
                hub.state.cdn_url = f"https://{hub.cdn.host}:{hub.cdn.port}"
                token = await bearer(mirror, "alpine")
                target = f"/v2/alpine/blobs/{image.config.digest}"
                answer = await ask(mirror, target, headers=token)
        assert answer.error == (502, "UNAVAILABLE")
        assert hub.cdn.host in answer.message
        assert "docxy_redirect_private" in answer.message


async def test_a_head_that_comes_byte_by_byte_is_not_waited_for() -> None:
    stopped = asyncio.Event()

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not stopped.is_set():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    outbound = Outbound(OutboundSettings(answer_timeout=0.5, stall_timeout=30.0, tries=1))
    try:
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(20):
            with pytest.raises(UpstreamFailure, match="took too long to begin") as failed:
                await outbound.request("GET", f"http://127.0.0.1:{port}/", [])
        assert failed.value.status == 504
    finally:
        stopped.set()
        server.close()
        await outbound.close()
