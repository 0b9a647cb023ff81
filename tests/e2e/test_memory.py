"""What stays behind after many requests, many clients, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.client import Connection, ask, bearer, connect
from tests.hub import Delivery, Hub, Stall
from tests.running import Mirror, running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024

# Answers with what is inside, and shows it for no other request than its own.
LOOK_INSIDE = """
import asyncio, ctypes, gc, json, os
from mitmproxy import ctx, http
from addon.hooks import Flows

libc = ctypes.CDLL(None)

def request(flow):
    if flow.request.path != "/inside":
        return
    gc.collect()
    libc.malloc_trim(0)
    (flows,) = (found for found in gc.get_objects() if type(found) is Flows)
    inside = {
        "tasks": len(asyncio.all_tasks()),
        "inner": len(flows.inner),
        "exchanges": len(flows),
        "clients": len(ctx.master.addons.get("proxyserver").connections),
        "files": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()),
    }
    flow.response = http.Response.make(200, json.dumps(inside))
"""


@dataclass(frozen=True)
class Inside:
    """What a mirror holds at one moment."""

    tasks: int
    inner: int
    exchanges: int
    clients: int
    files: int
    objects: int
    memory: int = 0

    @property
    def held(self) -> tuple[int, int, int, int]:
        """What must be exactly the same again. Upstream connections stay open, so no files."""
        return self.tasks, self.inner, self.exchanges, self.clients


async def look_inside(mirror: Mirror) -> Inside:
    answer = await ask(mirror, "/inside")
    return Inside(**answer.json, memory=mirror.memory())


@contextlib.asynccontextmanager
async def nothing_stays(mirror: Mirror, most: int = 8 * MIB) -> AsyncIterator[None]:
    """What is held before is held after, once what ends has ended."""
    before = await look_inside(mirror)
    yield
    after = await look_inside(mirror)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while after.held != before.held:
                await asyncio.sleep(0.05)
                after = await look_inside(mirror)
    assert after.held == before.held
    grown = after.memory - before.memory
    print(f"{grown / MIB:+.1f} MiB, {after.objects - before.objects:+} objects")
    assert grown < most, f"{grown / MIB:.1f} MiB more, {after.objects - before.objects} objects"


@contextlib.contextmanager
def peak_memory(mirror: Mirror, most: int) -> Iterator[None]:
    """The mirror's memory grows by no more while something runs."""
    before = mirror.memory()
    clear = Path(f"/proc/{mirror.process.pid}/clear_refs")
    clear.write_text("5")  # proc(5): the high water mark begins anew
    yield
    status = Path(f"/proc/{mirror.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    grown = int(line.split()[1]) * 1024 - before
    print(f"{grown / MIB:+.1f} MiB at most")
    assert grown < most


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tls_mirror(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    folder = tmp_path_factory.mktemp("inside")
    script = folder / "inside.py"
    script.write_text(LOOK_INSIDE)
    pair = shared_hub.issue_certificate(folder, "127.0.0.1")
    arguments = ["-s", str(script), "--set", "http2=true"]
    async with running_mirror(
        shared_hub, folder / "confdir", *arguments, certificate=pair, ca_file=shared_hub.ca_file
    ) as mirror:
        await mirror.log_line("daemon.json")
        yield mirror


async def test_thousands_of_requests_on_one_connection_leave_it_level(
    tls_mirror: Mirror, hub: Hub
) -> None:
    image = hub.add_image()
    hub.state.settings.pull_limit = 10_000
    token = await bearer(tls_mirror, "library/alpine")
    accept = {**token, "Accept": image.manifest.media_type, "Host": "a"}
    manifest = f"/v2/alpine/manifests/{image.tag}"
    blob = f"/v2/alpine/blobs/{image.layers[0].digest}"
    rounds: list[tuple[str, str, dict[str, str], int]] = [
        *[("/v2/", "GET", {}, 401)] * 4,
        *[("/nothing/here", "GET", {}, 404)] * 2,
        ("/nothing/here", "HEAD", {}, 404),
        (manifest, "HEAD", accept, 200),
        (manifest, "GET", accept, 200),
        (blob, "GET", token, 200),
    ]

    async def ask_all(connection: Connection, times: int) -> None:
        for _ in range(times):
            for target, method, fields, status in rounds:
                answer = await connection.ask(target, method, fields)
                assert answer.status == status

    async with connect(tls_mirror) as connection:
        await ask_all(connection, 50)
        async with nothing_stays(tls_mirror):
            await ask_all(connection, 500)


async def test_hundreds_of_clients_one_after_the_other_leave_nothing(
    tls_mirror: Mirror, hub: Hub
) -> None:
    image = hub.add_image()
    token = await bearer(tls_mirror, "library/alpine")
    blob = f"/v2/alpine/blobs/{image.layers[0].digest}"

    context = tls_mirror.tls

    async def come_and_go(times: int) -> None:
        for _ in range(times):
            reader, writer = await asyncio.open_connection(
                tls_mirror.host, tls_mirror.port, ssl=context, server_hostname=tls_mirror.host
            )
            assert (await Connection(reader, writer).ask(blob, headers=token)).status == 200
            writer.transport.abort()

    await come_and_go(50)
    before = await look_inside(tls_mirror)
    async with nothing_stays(tls_mirror):
        await come_and_go(500)
    assert (await look_inside(tls_mirror)).files <= before.files + 2


async def test_slow_readers_of_a_large_blob_are_waited_for(tls_mirror: Mirror, hub: Hub) -> None:
    image = hub.add_image("library/large", layers=[200 * MIB], compression=None)
    layer = image.layers[0]
    token = await bearer(tls_mirror, "library/large")
    with peak_memory(tls_mirror, 40 * MIB):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(10):
                connection = await stack.enter_async_context(connect(tls_mirror))
                await connection.request(f"/v2/large/blobs/{layer.digest}", headers=token)
                assert (await connection.head()).status == 200
            await until_steady(lambda: sum(seen.sent for seen in hub.requests.of("cdn")))
            sent = [seen.sent for seen in hub.requests.of("cdn")]
            assert len(sent) == 10
            # The kernel's buffers take what they may grow to (`tcp_rmem`), 32 MiB on some machines.
            assert max(sent) < layer.size / 2, "the rest waits at the upstream"
    await hub.until(lambda: all(seen.ended == "left" for seen in hub.requests.of("cdn")))


async def until_steady(count: Callable[[], int]) -> None:
    last = -1
    async with asyncio.timeout(20):
        while last != (last := count()):  # noqa: ASYNC110
            await asyncio.sleep(0.3)


# Clients that leave.


async def test_a_client_that_leaves_within_a_head_leaves_nothing(tls_mirror: Mirror) -> None:
    async with nothing_stays(tls_mirror):
        for _ in range(20):
            async with connect(tls_mirror) as connection:
                await connection.send(b"GET /v2/alpine/blobs/sha256:")


@pytest.mark.parametrize("role", ["registry", "cdn"])
async def test_a_client_that_leaves_while_it_waits_ends_the_upstreams_request(
    tls_mirror: Mirror, hub: Hub, role: str
) -> None:
    # A layer for each, since one that several wait for is asked for once.
    image = hub.add_image(layers=range(1000, 1020))
    token = await bearer(tls_mirror, "library/alpine")
    server = hub.registry if role == "registry" else hub.cdn
    server.faults.add(Stall(), path="/blobs/")
    async with nothing_stays(tls_mirror):
        async with contextlib.AsyncExitStack() as stack:
            for layer in image.layers:
                connection = await stack.enter_async_context(connect(tls_mirror))
                await connection.request(f"/v2/alpine/blobs/{layer.digest}", headers=token)
            await hub.until(lambda: len(hub.requests.of(server.role)) >= 20)
        await hub.until(lambda: all(seen.ended != "open" for seen in hub.requests.of(server.role)))


async def test_a_client_that_leaves_within_a_body_ends_the_upstreams_transfer(
    tls_mirror: Mirror, hub: Hub
) -> None:
    # A smaller one is fetched to its end, for whoever asks next.
    image = hub.add_image(layers=[9 * MIB], compression=None)
    token = await bearer(tls_mirror, "library/alpine")
    blob = f"/v2/alpine/blobs/{image.layers[0].digest}"
    hub.cdn.faults.add(Delivery(after=MIB, end="stall"))
    async with nothing_stays(tls_mirror):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                connection = await stack.enter_async_context(connect(tls_mirror))
                await connection.request(blob, headers=token)
                assert (await connection.head()).status == 200
        await hub.until(lambda: all(seen.ended == "left" for seen in hub.requests.of("cdn")))


async def test_a_client_that_leaves_within_a_form_leaves_nothing(
    tls_mirror: Mirror, hub: Hub
) -> None:
    async with nothing_stays(tls_mirror):
        for _ in range(20):
            async with connect(tls_mirror) as connection:
                await connection.request("/auth/token", "POST", {"Content-Length": "50"})
                await connection.send(b"service=")
    assert hub.requests == []


# HTTP/2, for those who ask for it.


async def curl(mirror: Mirror, *words: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        "curl",
        *("--silent", "--http2", "--cacert", str(mirror.ca_file), "--output", "/dev/null"),
        *("--write-out", "%{http_version} %{http_code} %{num_connects} %{size_download}\\n"),
        *words,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().split("\n")[:-1]


async def test_http2_is_served_where_it_is_asked_for(tls_mirror: Mirror, hub: Hub) -> None:
    image = hub.add_image()
    token = await bearer(tls_mirror, "library/alpine")
    layer = image.layers[0]
    fields = ["-H", f"Authorization: {token['Authorization']}"]
    url = f"{tls_mirror.url}/v2/alpine/blobs/{layer.digest}"
    assert await curl(tls_mirror, *fields, url) == [f"2 200 1 {layer.size}"]
    (ping,) = await curl(tls_mirror, f"{tls_mirror.url}/v2/")
    assert ping.startswith("2 401 ")
    (push,) = await curl(tls_mirror, "--data", "a", f"{tls_mirror.url}/v2/a/blobs/uploads/")
    assert push.startswith("2 405 ")


async def test_many_requests_of_an_http2_client_leave_nothing(tls_mirror: Mirror, hub: Hub) -> None:
    image = hub.add_image()
    token = await bearer(tls_mirror, "library/alpine")
    blob = f"{tls_mirror.url}/v2/alpine/blobs/{image.layers[0].digest}"
    fields = ["-H", f"Authorization: {token['Authorization']}"]
    async with nothing_stays(tls_mirror):
        found = await curl(tls_mirror, *fields, f"{blob}?[1-300]", "--output", "/dev/null")
        assert {line.rpartition(" ")[0] for line in found} <= {"2 200 1", "2 200 0"}
        assert len(found) == 300


async def test_the_log_holds_no_secret_and_no_fault(tls_mirror: Mirror) -> None:
    assert "Traceback" not in tls_mirror.text
    assert "Bearer " not in tls_mirror.text
    assert "crashed" not in tls_mirror.text
