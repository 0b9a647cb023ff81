"""What a client may send without end: the connection is closed, or it is dropped; nothing grows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from addon.protocol.form import MAX_FORM
from tests.e2e.client import Connection, ask, bearer, connect, format_request
from tests.hub import Delivery, Hub, Stall
from tests.running import Mirror, running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
PIECE = b"a" * (64 * 1024)
SECRET = "d29uZGVybGFuZA-never-in-a-log"

# What the mirror's memory may move by, whatever is sent: far below what is sent, and above what
# a garbage collector leaves.
LEVEL = 12 * MIB
# What the sockets' own buffers take before a sender is stopped.
IN_SOCKETS = 16 * MIB


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tls_mirror(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    pair = shared_hub.issue_certificate(tmp_path_factory.mktemp("certificate"), "127.0.0.1")
    confdir = tmp_path_factory.mktemp("confdir")
    async with running_mirror(
        shared_hub, confdir, certificate=pair, ca_file=shared_hub.ca_file
    ) as mirror:
        assert (await ask(mirror, "/v2/")).status == 401  # what TLS needs is loaded now
        yield mirror


@pytest.fixture(params=["plain", "tls"])
def entrance(request: pytest.FixtureRequest, mirror: Mirror, tls_mirror: Mirror) -> Mirror:
    return mirror if request.param == "plain" else tls_mirror


@contextlib.contextmanager
def level_memory(mirror: Mirror, most: int = LEVEL) -> Iterator[None]:
    before = mirror.memory()
    yield
    grown = mirror.memory() - before
    assert grown < most, f"{grown / MIB:.1f} MiB more"


async def flood(connection: Connection, piece: bytes, at_most: int) -> int:
    """Send until the mirror ends the connection; how much it took. Answers are dropped."""
    sent = 0
    # A client that writes need not notice an end, so one reads beside it.
    async with asyncio.TaskGroup() as group:
        end = group.create_task(connection.is_closed(60))
        while sent < at_most and not end.done():
            sending = group.create_task(_send(connection, piece))
            await asyncio.wait({sending, end}, return_when=asyncio.FIRST_COMPLETED)
            sending.cancel()
            sent += len(piece)
        end.cancel()
    return sent


async def _send(connection: Connection, piece: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        await connection.send(piece)


# A head.

ENDLESS_HEADS = {
    "one field": (b"GET /v2/ HTTP/1.1\r\nX-Long: ", PIECE),
    "many fields": (b"GET /v2/ HTTP/1.1\r\n", b"X-Many: 1\r\n" * 1000),
    "a target": (b"GET /v2/", PIECE),
    "a method": (b"", PIECE),
    "a field with a fold": (b"GET /v2/ HTTP/1.1\r\nX: 1\r\n", b" fold\r\n" * 1000),
}


@pytest.mark.parametrize(("begin", "piece"), ENDLESS_HEADS.values(), ids=list(ENDLESS_HEADS))
async def test_a_head_without_an_end_is_cut_off(
    entrance: Mirror, begin: bytes, piece: bytes
) -> None:
    with level_memory(entrance):
        async with connect(entrance) as connection:
            await connection.send(begin)
            assert await flood(connection, piece, 200 * MIB) < IN_SOCKETS
            assert await connection.is_closed()


async def test_a_head_in_drips_is_cut_off(entrance: Mirror) -> None:
    with level_memory(entrance):
        async with connect(entrance) as connection:
            await connection.send(b"GET /v2/ HTTP/1.1\r\n")
            assert await flood(connection, b"X: 1\r\n" * 10, 4 * MIB) < 4 * MIB
            assert await connection.is_closed()


async def test_a_large_head_that_ends_is_cut_off_too(entrance: Mirror, hub: Hub) -> None:
    async with connect(entrance) as connection:
        await connection.request("/v2/", headers={"X-Long": "a" * 64 * 1024})
        assert await connection.is_closed()
    assert hub.requests == []


async def test_a_head_below_the_bound_is_served(entrance: Mirror) -> None:
    async with connect(entrance) as connection:
        answer = await connection.ask("/v2/", headers={"X-Long": "a" * 60 * 1024})
    assert answer.status == 401


async def test_many_halves_of_a_head_leave_nothing_in_the_log(entrance: Mirror) -> None:
    fields = {"Authorization": f"Basic {SECRET}"}
    half = format_request("/auth/token", headers=fields)[:-2]
    # At first an allocator takes what it then keeps for the next time.
    for _ in range(3):
        await send_to_all(entrance, half)
    with level_memory(entrance):
        await send_to_all(entrance, half)
    assert SECRET not in entrance.text


async def send_to_all(mirror: Mirror, data: bytes) -> None:
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connect(mirror)) for _ in range(200)]
        for connection in connections:
            await connection.send(data)
        assert (await ask(mirror, "/health")).status == 200
    assert (await ask(mirror, "/health")).status == 200


# What comes after a request that is being answered.


async def test_what_is_sent_while_an_answer_is_awaited_is_bounded(
    entrance: Mirror, hub: Hub
) -> None:
    hub.add_image()
    token = await bearer(entrance, "library/alpine")
    hub.registry.faults.add(Stall(), path="/manifests/")
    with level_memory(entrance):
        async with connect(entrance) as connection:
            await connection.request("/v2/alpine/manifests/latest", headers=token)
            await hub.until(lambda: bool(hub.requests.of("registry", text="/manifests/")))
            assert await flood(connection, PIECE, 300 * MIB) < IN_SOCKETS
            assert await connection.is_closed()
    await hub.until(lambda: all(seen.ended == "left" for seen in hub.requests.of("registry")))


async def test_what_is_sent_while_a_blob_is_on_its_way_is_bounded(
    entrance: Mirror, hub: Hub
) -> None:
    # A smaller one is fetched to its end, for whoever asks next.
    image = hub.add_image(layers=[9 * MIB], compression=None)
    layer = image.layers[0]
    token = await bearer(entrance, "library/alpine")
    hub.cdn.faults.add(Delivery(after=1000, end="stall"))
    with level_memory(entrance):
        async with connect(entrance) as connection:
            await connection.request(f"/v2/alpine/blobs/{layer.digest}", headers=token)
            assert (await connection.head()).status == 200
            assert await flood(connection, PIECE, 300 * MIB) < IN_SOCKETS
            assert await connection.is_closed()
    await hub.until(lambda: all(seen.ended == "left" for seen in hub.requests.of("cdn")))


# A body.


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param("GET /v2/", 401, id="a read"),
        pytest.param("PUT /v2/a/blobs/uploads/1", 405, id="a push"),
        pytest.param("POST /nowhere", 404, id="nowhere"),
    ],
)
async def test_a_body_is_dropped_as_it_comes_and_answered_at_once(
    entrance: Mirror, hub: Hub, line: str, status: int
) -> None:
    method, target = line.split()
    size = 50 * MIB
    with level_memory(entrance):
        async with connect(entrance) as connection:
            await connection.request(target, method, {"Content-Length": str(size)})
            assert (await connection.answer()).status == status
            assert await flood(connection, PIECE, size) == size
            assert await connection.is_closed()
    assert hub.requests == []


CHUNKED = {"Transfer-Encoding": "chunked"}
ENDLESS_LINES = {
    "a chunk's size": b"0" * 64 * 1024,
    "a chunk's extension": b"1;" + b"x" * 64 * 1024,
    "a trailer": b"0\r\nX: " + b"x" * 64 * 1024,
}


@pytest.mark.parametrize("line", ENDLESS_LINES.values(), ids=list(ENDLESS_LINES))
@pytest.mark.parametrize("target", ["/v2/a/blobs/uploads/1", "/auth/token"])
async def test_an_endless_line_between_chunks_is_cut_off(
    entrance: Mirror, hub: Hub, target: str, line: bytes
) -> None:
    with level_memory(entrance):
        async with connect(entrance) as connection:
            await connection.request(target, "POST", CHUNKED)
            await flood(connection, line, len(line))
            assert await flood(connection, PIECE, 200 * MIB) < IN_SOCKETS
            assert await connection.is_closed()
    assert hub.requests == []


async def test_chunks_without_an_end_are_dropped(mirror: Mirror) -> None:
    chunk = b"10000\r\n" + PIECE + b"\r\n"
    with level_memory(mirror):
        async with connect(mirror) as connection:
            await connection.request("/v2/a/blobs/uploads/1", "PATCH", CHUNKED)
            assert (await connection.answer()).status == 405
            assert await flood(connection, chunk, 100 * MIB) >= 100 * MIB


async def test_trailers_do_not_stop_a_connection(entrance: Mirror, hub: Hub) -> None:
    fields = {**CHUNKED, "Content-Type": "application/x-www-form-urlencoded"}
    form = b"service=registry.hub.test"
    body = b"%x\r\n%s\r\n0\r\nX-Checksum: 1\r\n\r\n" % (len(form), form)
    async with connect(entrance) as connection:
        await connection.request("/auth/token", "POST", fields)
        await connection.send(body)
        answer = await connection.answer()
        assert (await connection.ask("/health")).status == 200
    (seen,) = hub.requests.of("token")
    assert seen.status == answer.status
    assert seen.asked.body == form


# The form.


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
async def test_a_form_of_the_full_size_is_passed_on(
    entrance: Mirror, hub: Hub, chunked: bool
) -> None:
    form = b"a=" + b"b" * (MAX_FORM - 2)
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(form), form)
        answer = await ask(entrance, "/auth/token", "POST", CHUNKED, body)
    else:
        answer = await ask(entrance, "/auth/token", "POST", body=form)
    (seen,) = hub.requests.of("token")
    assert seen.asked.body == form
    assert seen.status == answer.status


@pytest.mark.parametrize("size", [MAX_FORM + 1, 100 * MIB])
async def test_a_larger_form_is_refused(entrance: Mirror, hub: Hub, size: int) -> None:
    with level_memory(entrance):
        async with connect(entrance) as connection:
            await connection.request("/auth/token", "POST", {"Content-Length": str(size)})
            await connection.send(b"a" * (MAX_FORM + 1))
            assert (await connection.answer()).error == (413, "SIZE_INVALID")
    assert hub.requests == []


async def test_a_form_that_never_ends_holds_nothing_once_its_client_left(
    mirror: Mirror, hub: Hub
) -> None:
    fields = {"Content-Length": "60000", "Authorization": f"Basic {SECRET}"}
    with level_memory(mirror):
        for _ in range(50):
            async with connect(mirror) as connection:
                await connection.request("/auth/token", "POST", fields)
                await connection.send(b"password=wonderland&" + b"a" * 50000)
        await mirror.log_line("POST /auth/token: Client disconnected.")
    assert hub.requests == []


# The log.


async def test_the_log_holds_nothing_that_was_secret(mirror: Mirror, tls_mirror: Mirror) -> None:
    for text in (mirror.text, tls_mirror.text):
        assert SECRET not in text
        assert "wonderland" not in text
        assert "Traceback" not in text
        assert "crashed" not in text
        assert len(max(text.splitlines(), key=len)) < 2000


async def test_after_all_that_the_mirror_serves(entrance: Mirror, hub: Hub) -> None:
    image = hub.add_image()
    token = await bearer(entrance, "library/alpine")
    layer = image.layers[0]
    async with asyncio.timeout(10):
        answer = await ask(entrance, f"/v2/alpine/blobs/{layer.digest}", headers=token)
    assert (answer.status, len(answer.body)) == (200, layer.size)
