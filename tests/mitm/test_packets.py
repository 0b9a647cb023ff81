"""How many packets an answer takes, on the layer alone and on a whole mirror's wire."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.proxy import commands
from mitmproxy.test import tflow

from addon.mitm.packets import together
from tests.e2e.client import bearer, connect, format_request
from tests.hub import Delivery, Hub, Image
from tests.hub.hub import SERVICE
from tests.running import Mirror, running_mirror, settings_arguments

CLIENT = tflow.tclient_conn()
SERVER = tflow.tserver_conn()
APPLICATION_DATA = 23


def send(data: bytes) -> commands.Command:
    return commands.SendData(CLIENT, data)


LOG = commands.Log("a line", logging.DEBUG)
CLOSE = commands.CloseConnection(CLIENT)
UPSTREAM = commands.SendData(SERVER, b"GET")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([send(b"head")], [send(b"head")], id="one"),
        pytest.param([send(b"head"), send(b"body")], [send(b"headbody")], id="head and body"),
        pytest.param(
            [send(b"head"), LOG, send(b"body")], [LOG, send(b"headbody")], id="a line between"
        ),
        pytest.param(
            [send(b"head"), CLOSE, send(b"x")],
            [send(b"head"), CLOSE, send(b"x")],
            id="what closes comes after what was sent",
        ),
        pytest.param(
            [send(b"head"), UPSTREAM, send(b"x")],
            [send(b"head"), UPSTREAM, send(b"x")],
            id="what goes elsewhere keeps its place",
        ),
    ],
)
def test_what_one_event_sends(
    before: Sequence[commands.Command], after: Sequence[commands.Command]
) -> None:
    def generator() -> Generator[commands.Command, Any, None]:
        yield from before

    assert list(map(repr, together(generator(), CLIENT))) == list(map(repr, after))


def test_replies_go_back_to_who_asked() -> None:
    answers = []

    def generator() -> Generator[commands.Command, Any, None]:
        yield send(b"head")
        answers.append((yield CLOSE))
        yield send(b"body")

    coalesced = together(generator(), CLIENT)
    assert repr(next(coalesced)) == repr(send(b"head"))
    assert next(coalesced) is CLOSE
    assert repr(coalesced.send("answer")) == repr(send(b"body"))
    assert answers == ["answer"]


class Records:
    """A TLS client that counts the records it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    async def shake_hands(self, context: ssl.SSLContext, name: str) -> None:
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._writer.write(self._outgoing.read())
                await self._record()
                continue
            self._writer.write(self._outgoing.read())
            return

    async def _record(self) -> int:
        async with asyncio.timeout(10):
            head = await self._reader.readexactly(5)
            body = await self._reader.readexactly(int.from_bytes(head[3:]))
        self._incoming.write(head + body)
        return head[0]

    async def ask(self, target: str, headers: dict[str, str]) -> tuple[bytes, int]:
        """An answer, and the records that it came in."""
        self._tls.write(format_request(target, headers=headers))
        self._writer.write(self._outgoing.read())
        answer, count = b"", 0
        while not _is_whole(answer):
            assert await self._record() == APPLICATION_DATA
            try:
                while data := self._tls.read(65536):
                    answer, count = answer + data, count + 1
            except ssl.SSLWantReadError:
                pass
        return answer, count


def _is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0].partition(b":")[2])


@asynccontextmanager
async def records(mirror: Mirror) -> AsyncIterator[Records]:
    reader, writer = await asyncio.open_connection(mirror.host, mirror.port)
    client = Records(reader, writer)
    assert mirror.tls
    await client.shake_hands(mirror.tls, mirror.host)
    try:
        await client.ask("/health", {})  # TLS 1.3's tickets come before its answer
        yield client
    finally:
        writer.transport.abort()


@asynccontextmanager
async def tls_mirror(hub: Hub, folder: Path, **settings: str) -> AsyncIterator[Mirror]:
    certificate = hub.issue_certificate(folder, "127.0.0.1")
    words = settings_arguments(settings)
    async with running_mirror(
        hub, folder, *words, certificate=certificate, ca_file=hub.ca_file
    ) as mirror:
        yield mirror


async def count(client: Records, target: str, headers: dict[str, str]) -> tuple[int, int]:
    """An answer's status and its records."""
    answer, number = await client.ask(target, headers)
    return int(answer.split(b" ")[1]), number


async def test_a_small_answer_takes_one_packet(tmp_path: Path) -> None:
    async with Hub() as hub, tls_mirror(hub, tmp_path) as mirror:
        image: Image = hub.add_image(layers=[2000])
        headers = {**await bearer(mirror, "alpine"), "Accept": image.manifest.media_type}
        scope = f"service={SERVICE}&scope=repository:alpine:pull"
        manifest = "/v2/alpine/manifests/latest"
        blob = f"/v2/alpine/blobs/{image.manifest.blobs[0].digest}"
        async with records(mirror) as client:
            await client.ask(manifest, headers)
            await client.ask(blob, headers)
            assert await count(client, "/health", {}) == (200, 1)
            assert await count(client, "/v2/", {}) == (401, 1)
            assert await count(client, f"/auth/token?{scope}", {}) == (200, 1)
            assert await count(client, manifest, headers) == (200, 1)
            assert await count(client, blob, headers) == (200, 1)
            assert await count(client, "/v2/alpine/manifests/none", headers) == (404, 1)
            assert await count(client, "/v2/a", {}) == (404, 1)


async def test_a_head_does_not_wait_for_a_slow_body(tmp_path: Path) -> None:
    settings = {"docxy_remember": "false", "docxy_pieces": "1", "docxy_look_ahead": "false"}
    async with Hub() as hub, tls_mirror(hub, tmp_path, **settings) as mirror:
        image = hub.add_image(layers=[3_000_000])
        layer = image.manifest.blobs[-1]
        headers = await bearer(mirror, "alpine")
        hub.cdn.faults.add(Delivery(after=100_000, end="stall"), times=1)
        async with connect(mirror) as connection:
            await connection.request(f"/v2/alpine/blobs/{layer.digest}", headers=headers)
            head = await connection.head()
            assert head.status == 200
            assert int(head.headers["Content-Length"]) == layer.size
