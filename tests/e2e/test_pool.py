"""The pools: connections for nobody yet, whom they trust, and where they may lead."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from addon.outbound.networks import Networks, parse_networks
from addon.outbound.outbound import Outbound
from addon.outbound.pool import check_literal
from addon.outbound.received import read_whole
from addon.protocol.errors import UpstreamFailure
from addon.settings.wayout import OutboundSettings
from tests.e2e.client import ask
from tests.e2e.mirrors import mirror_with
from tests.e2e.test_outbound import pull
from tests.hub import Hub, Image
from tests.hub.faults import HangUp
from tests.hub.hub import SERVICE

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def image(shared_hub: Hub) -> Image:
    return shared_hub.add_image(layers=[2000, 300_000])


LAN = parse_networks("192.168.0.0/16")


@pytest.mark.parametrize(
    ("url", "private"),
    [
        pytest.param("https://cdn.example/x", Networks(), id="a name: its addresses are looked at"),
        pytest.param("https://8.8.8.8/x", Networks(), id="a public address"),
        pytest.param("https://192.168.1.2/x", LAN, id="a private one that the owner lists"),
    ],
)
async def test_redirects_may_lead_to_public_addresses(url: str, private: Networks) -> None:
    check_literal(url, private)


@pytest.mark.parametrize("host", ["127.0.0.1", "192.168.1.2", "[::1]", "[fd00::1]", "169.254.1.1"])
async def test_redirects_may_lead_to_no_other(host: str) -> None:
    with pytest.raises(UpstreamFailure, match="docxy_redirect_private"):
        check_literal(f"https://{host}/x?Signature=s", Networks())


class TestOneThatNobodyNeedsYet:
    """What this project knows of aiohttp's inside: if this fails, `_Pool._get` is not asked."""

    async def test_is_opened_though_another_is_idle(self, hub: Hub) -> None:
        outbound = Outbound(OutboundSettings(trusted_ca=str(hub.ca_file)))
        host = outbound.hosts.of(urlsplit(hub.registry_url).netloc)

        async def touch(*, anew: bool) -> None:
            await outbound.touch("GET", f"{hub.registry_url}/v2/", [], redirected=False, anew=anew)

        try:
            await touch(anew=False)
            await touch(anew=False)
            assert (host.opened, host.idle) == (1, 1)
            await touch(anew=True)
            assert (host.opened, host.idle) == (2, 2)
            await asyncio.gather(touch(anew=False), touch(anew=False))
            assert (host.opened, host.idle) == (2, 2)
        finally:
            await outbound.close()
        await asyncio.sleep(0)
        assert host.connections == 0

    async def test_is_opened_where_an_idle_one_has_timed_out_unseen(self) -> None:
        """aiohttp's timer goes on after a body that had to wait for its reader."""
        body = bytes(4_000_000)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                    writer.write(body)
                    await writer.drain()
            writer.close()

        stall = 0.3
        outbound = Outbound(OutboundSettings(stall_timeout=stall))
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            for _ in range(2):
                answer = await outbound.request("GET", url, [])
                await asyncio.sleep(stall / 3)  # its buffer is full by then
                assert len((await read_whole(answer, len(body))).content) == len(body)
                await asyncio.sleep(2 * stall)
        finally:
            await outbound.close()
            server.close()

    async def test_is_what_a_request_is_tried_again_on(self, hub: Hub) -> None:
        """Where the idle ones were closed all at once, no request may fail of it."""
        outbound = Outbound(OutboundSettings(trusted_ca=str(hub.ca_file)))
        url = f"{hub.registry_url}/v2/"
        host = outbound.hosts.of(urlsplit(hub.registry_url).netloc)
        try:
            for _ in range(12):
                await outbound.touch("GET", url, [], redirected=False, anew=True)
            assert host.idle == 12
            # What asks over one that is idle is hung up on, twice by the client's own try.
            hub.registry.faults.add(HangUp("rst"), times=2)
            opened = host.opened
            answer = await outbound.request("GET", url, [])
            answer.body.close()
            assert answer.status == 401
            assert host.opened == opened + 1
        finally:
            await outbound.close()


class TestCertificates:
    async def test_insecure_holds_for_registry_token_service_and_cdn(
        self, hub: Hub, tmp_path: Path, image: Image
    ) -> None:
        options = {"ssl_verify_upstream_trusted_ca": None, "ssl_insecure": "true"}
        async with mirror_with(hub, tmp_path, options) as mirror:
            await pull(mirror, image)
        assert {seen.role for seen in hub.requests} == {"registry", "token", "cdn"}

    async def test_without_the_ca_nothing_is_trusted(
        self, hub: Hub, tmp_path: Path, image: Image
    ) -> None:
        options = {"ssl_verify_upstream_trusted_ca": None}
        async with mirror_with(hub, tmp_path, options) as mirror:
            shown = {"Authorization": "Bearer x"}
            for target in ("/v2/alpine/tags/list", f"/auth/token?service={SERVICE}"):
                answer = await ask(mirror, target, headers=shown)
                assert answer.error == (502, "UNAVAILABLE")
                assert "TLS certificate is not valid" in answer.message
        assert not hub.requests

    async def test_folder_of_authorities_is_taken(
        self, hub: Hub, tmp_path: Path, image: Image
    ) -> None:
        folder = tmp_path / "authorities"
        folder.mkdir()
        (folder / "hub.pem").write_bytes(hub.ca_file.read_bytes())
        rehash = await asyncio.create_subprocess_exec("openssl", "rehash", str(folder))
        assert await rehash.wait() == 0
        options = {
            "ssl_verify_upstream_trusted_ca": None,
            "ssl_verify_upstream_trusted_confdir": str(folder),
        }
        async with mirror_with(hub, tmp_path / "confdir", options) as mirror:
            await pull(mirror, image)
        assert {seen.role for seen in hub.requests} == {"registry", "token", "cdn"}
