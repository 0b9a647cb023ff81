"""A network that is hostile: clients that open, hold, flood, and take nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.client import Connection, ask, bearer, connect, format_request
from tests.e2e.mirrors import mirror_with
from tests.hub import Delay, Hub, Stall
from tests.running import Mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
HALF_A_HEAD = b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Slow: "
MANIFEST = "/v2/library/alpine/manifests/latest"
ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
CLOSED_SECONDS = 10.0


@contextlib.asynccontextmanager
async def connected(mirror: Mirror, source: str = "") -> AsyncIterator[Connection]:
    """A connection from one of loopback's addresses."""
    reader, writer = await asyncio.open_connection(
        mirror.host, mirror.port, local_addr=(source, 0) if source else None
    )
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


async def hold(mirror: Mirror, sources: list[str], stack: contextlib.AsyncExitStack) -> None:
    """Open a connection from each, with half a head that never ends."""
    for source in sources:
        connection = await stack.enter_async_context(connected(mirror, source))
        with contextlib.suppress(ConnectionError):
            await connection.send(HALF_A_HEAD)


async def quickest_health(mirror: Mirror, source: str) -> float:
    """Seconds; the quickest of some, for the machine may be busy."""
    took = []
    for _ in range(5):
        since = time.monotonic()
        async with connected(mirror, source) as connection:
            assert (await connection.ask("/health")).status == 200
        took.append(time.monotonic() - since)
    return min(took)


@pytest.mark.parametrize(
    ("sources", "of_address"),
    [
        pytest.param(["127.0.1.1"] * 150, "100", id="one address"),
        pytest.param([f"127.0.1.{n}" for n in range(1, 151)], "2", id="many addresses"),
    ],
)
async def test_health_answers_while_slow_senders_hold_all_connections(
    hub: Hub, tmp_path: Path, sources: list[str], of_address: str
) -> None:
    options = {"docxy_client_connections": "64", "docxy_address_connections": of_address}
    async with mirror_with(hub, tmp_path, options) as mirror, contextlib.AsyncExitStack() as stack:
        async with connected(mirror) as before:
            assert (await before.ask("/v2/")).status == 401
            await hold(mirror, sources, stack)
            assert await quickest_health(mirror, "127.0.0.1") < 1.0
        # Others are served, not only told that the mirror lives.
        assert (await ask(mirror, "/v2/")).status == 401


async def test_while_all_requests_run_none_is_thrown_out_and_health_answers(
    hub: Hub, tmp_path: Path
) -> None:
    hub.add_image()
    async with (
        mirror_with(hub, tmp_path, {"docxy_client_connections": "8"}) as mirror,
        contextlib.AsyncExitStack() as stack,
    ):
        token = await bearer(mirror, "library/alpine")
        hub.registry.faults.add(Delay(3.0), path="/manifests/")
        running = [await stack.enter_async_context(connected(mirror)) for _ in range(7)]
        for connection in running:
            await connection.request(MANIFEST, headers={**token, **ACCEPT})
        await hub.until(lambda: len(hub.requests.of("registry", text="/manifests/")) == 7)
        await hold(mirror, ["127.0.1.1"] * 20, stack)
        assert (await ask(mirror, "/health")).status == 200
        refused = await ask(mirror, "/v2/")
        assert refused.error == (503, "UNAVAILABLE")
        assert refused.headers["Retry-After"] == "5"
        assert [(await connection.answer()).status for connection in running] == [200] * 7
        assert (await ask(mirror, "/v2/")).status == 401


async def test_an_address_over_its_connections_harms_nobody_else(hub: Hub, tmp_path: Path) -> None:
    hub.add_image()
    options = {"docxy_address_connections": "3", "docxy_tries": "1"}
    async with mirror_with(hub, tmp_path, options) as mirror, contextlib.AsyncExitStack() as stack:
        token = await bearer(mirror, "library/alpine")
        hub.registry.faults.add(Stall(), path="/manifests/")
        for _ in range(3):
            connection = await stack.enter_async_context(connected(mirror, "127.0.1.1"))
            await connection.request(MANIFEST, headers=token)
        await hub.until(lambda: len(hub.requests.of("registry", text="/manifests/")) == 3)
        async with connected(mirror, "127.0.1.1") as fourth:
            assert await fourth.is_closed(CLOSED_SECONDS)
        async with connected(mirror, "127.0.1.2") as other:
            assert (await other.ask("/v2/")).status == 401
        await mirror.log_line("127.0.1.1 has too many connections")


async def test_an_address_over_its_rate_is_told_and_harms_nobody_else(
    hub: Hub, tmp_path: Path
) -> None:
    options = {"docxy_address_requests": "1", "docxy_address_burst": "5"}
    async with mirror_with(hub, tmp_path, options) as mirror:
        async with connected(mirror, "127.0.1.1") as connection:
            answer = await connection.ask("/v2/")
            while answer.status == 401:
                answer = await connection.ask("/v2/")
            assert answer.error == (429, "TOOMANYREQUESTS")
            assert answer.headers["Retry-After"] == "1"
            assert "docxy_address_requests" in answer.message
            assert await connection.is_closed(CLOSED_SECONDS)
        async with connected(mirror, "127.0.1.2") as other:
            assert (await other.ask("/v2/")).status == 401
            assert [(await other.ask("/health")).status for _ in range(20)] == [200] * 20
        await mirror.log_line("127.0.1.1 asks more than 1 times a second")
        await mirror.log_line("127.0.1.1 GET /v2/: 429")


async def test_behind_a_proxy_it_is_the_client_whose_requests_are_counted(
    hub: Hub, tmp_path: Path
) -> None:
    options = {
        "docxy_address_requests": "1",
        "docxy_address_burst": "2",
        "docxy_address_connections": "1",
        "docxy_behind_proxy": "127.0.0.1",
        "docxy_public_url": "https://mirror.example.com",
    }
    async with mirror_with(hub, tmp_path, options) as mirror, connect(mirror) as proxy:

        async def status(client: str) -> int:
            async with connect(mirror) as connection:
                answer = await connection.ask("/v2/", headers={"X-Forwarded-For": client})
            return answer.status

        flooding = [await status("198.51.100.1") for _ in range(10)]
        assert flooding[:2] == [401, 401]
        assert 429 in flooding
        assert [await status(f"203.0.113.{n}") for n in range(1, 5)] == [401] * 4
        assert (await proxy.ask("/health")).status == 200


async def test_who_takes_too_long_to_ask_is_cut_off(hub: Hub, tmp_path: Path) -> None:
    options = {"docxy_head_timeout": "2", "docxy_client_idle_time": "2"}
    async with mirror_with(hub, tmp_path, options) as mirror:
        async with (
            connected(mirror) as silent,
            connected(mirror) as slow,
            connected(mirror) as handshake,
            connected(mirror) as form,
            connected(mirror) as idle,
        ):
            await slow.send(HALF_A_HEAD)
            await handshake.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # RFC 8446, 5.1
            head = format_request("/auth/token", "POST", {"Content-Length": "100"})
            await form.send(head + b"grant_type=")
            assert (await idle.ask("/v2/")).status == 401
            for connection in (silent, slow, handshake, form, idle):
                assert await connection.is_closed(CLOSED_SECONDS)
        await mirror.log_line("no whole request came in time")
        assert "Traceback" not in mirror.text


async def test_who_takes_no_byte_is_cut_off_and_who_takes_little_is_not(
    hub: Hub, tmp_path: Path
) -> None:
    image = hub.add_image(layers=[96 * MIB], compression=None)
    layer = image.layers[0]
    async with mirror_with(hub, tmp_path, {"docxy_client_timeout": "2"}) as mirror:
        token = await bearer(mirror, "library/alpine")
        blob = format_request(f"/v2/library/alpine/blobs/{layer.digest}", headers=token)
        async with connected(mirror, "127.0.1.1") as nothing, connected(mirror) as little:
            for connection in (nothing, little):
                connection.reader._limit = 1024  # type: ignore[attr-defined]  # a small buffer
                await connection.send(blob)
            assert (await little.head()).status == 200
            taken = asyncio.get_running_loop().create_task(sip(little, 10 * MIB))
            await mirror.log_line("127.0.1.1 is ended: the client took no byte", 30.0)
            await taken
        await hub.until(lambda: all(seen.ended for seen in hub.requests.of("cdn")))


async def sip(connection: Connection, size: int) -> None:
    """Take so many bytes, with pauses in which the kernel's buffers fill."""
    while size > 0:
        size -= len(await connection.reader.read(64 * 1024))
        await asyncio.sleep(0.02)


async def test_a_hundred_layers_are_pulled_by_many_from_one_address(
    hub: Hub, tmp_path: Path
) -> None:
    layers = [f"layer {number}".encode() * 20 for number in range(100)]
    image = hub.add_image(layers=layers)
    async with mirror_with(hub, tmp_path, {"docxy_remember": "true"}) as mirror:

        async def pull() -> set[int]:
            token = await bearer(mirror, "library/alpine")
            waiting = [blob.digest for blob in (image.config, *image.layers)]
            statuses = {(await ask(mirror, MANIFEST, headers={**token, **ACCEPT})).status}

            async def download() -> None:
                async with connect(mirror) as connection:
                    while waiting:
                        path = f"/v2/library/alpine/blobs/{waiting.pop()}"
                        statuses.add((await connection.ask(path, headers=token)).status)

            await asyncio.gather(*(download() for _ in range(3)))
            return statuses

        assert await asyncio.gather(*(pull() for _ in range(4))) == [{200}] * 4
        assert "docxy_" not in mirror.text.partition("daemon.json")[2]
