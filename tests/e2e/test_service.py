"""A mirror as a service: what its manager is told, draining, and reading anew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.e2e.client import ask, bearer, connect
from tests.e2e.slow import TRANSFERS, refused, slow_readers, until
from tests.e2e.watched import watched
from tests.hub import Hub
from tests.hub.faults import Status
from tests.hub.images import Blob
from tests.running import running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = 4_000_000
DRAINS = ("--set", "docxy_drain_timeout=40")
# Without a terminal, as a service has none.
SERVICE = [
    sys.executable,
    "-c",
    "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])",
]


@pytest.fixture
def layer(hub: Hub) -> Blob:
    return hub.add_image("library/large", layers=(SIZE,)).manifest.layers[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_twenty_running_transfers_are_finished_and_nobody_new_is_served(
    hub: Hub, tmp_path: Path, layer: Blob, number: signal.Signals
) -> None:
    async with (
        running_mirror(hub, tmp_path, *DRAINS) as mirror,
        connect(mirror) as idle,
        slow_readers(mirror, layer, TRANSFERS) as slow,
    ):
        assert (await idle.ask("/health")).status == 200
        mirror.process.send_signal(number)
        await refused(mirror)
        assert await idle.is_closed()
        assert mirror.process.returncode is None
        async with asyncio.timeout(60):
            digests = await asyncio.gather(*(each.last() for each in slow))
            assert await mirror.process.wait() == 0
        assert digests == [layer.digest] * TRANSFERS
        assert "cut off" not in mirror.text
        assert "Traceback" not in mirror.text


async def test_an_answer_whose_head_has_not_gone_says_that_the_connection_ends(
    hub: Hub, tmp_path: Path
) -> None:
    image = hub.add_image("library/late")
    hub.registry.faults.add(Status(503, retry_after="3"), times=1)
    async with running_mirror(hub, tmp_path, *DRAINS) as mirror, connect(mirror) as waiting:
        asked = {**await bearer(mirror, "late"), "Accept": image.manifest.media_type}
        await waiting.request("/v2/late/manifests/latest", headers=asked)
        await until(lambda: bool(hub.requests.of("registry")))
        mirror.process.send_signal(signal.SIGTERM)
        answer = await waiting.answer()
        assert (answer.status, answer.body) == (200, image.manifest.raw)
        assert answer.headers["Connection"] == "close"
        async with asyncio.timeout(10):
            assert await mirror.process.wait() == 0


@pytest.mark.parametrize("how", ["a second signal", "the time is over"])
async def test_a_drain_does_not_last_for_ever(
    hub: Hub, tmp_path: Path, layer: Blob, how: str
) -> None:
    seconds = 60 if how == "a second signal" else 1
    option = ("--set", f"docxy_drain_timeout={seconds}")
    async with (
        running_mirror(hub, tmp_path, *option) as mirror,
        slow_readers(mirror, layer, 1) as slow,
    ):
        mirror.process.send_signal(signal.SIGTERM)
        await refused(mirror)
        if how == "a second signal":
            assert mirror.process.returncode is None
            mirror.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await mirror.process.wait() == 0
        with pytest.raises((EOFError, ConnectionError)):
            await slow[0].rest()


async def test_the_service_manager_is_told_what_happens(hub: Hub, tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.setblocking(False)
        environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000"}
        loop = asyncio.get_running_loop()

        async def told(word: str) -> str:
            async with asyncio.timeout(20):
                while True:
                    text = (await loop.sock_recv(manager, 4096)).decode()
                    if text.startswith(word):
                        return text

        options = ("--set", "docxy_drain_timeout=7")
        async with running_mirror(
            hub, tmp_path, *options, environ=environ, prefix=SERVICE
        ) as mirror:
            await told("READY=1")
            assert (await ask(mirror, "/health")).status == 200
            await told("WATCHDOG=1")
            await told("WATCHDOG=1")
            mirror.process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in await told("RELOADING=1")
            await told("READY=1")
            mirror.process.send_signal(signal.SIGTERM)
            assert "EXTEND_TIMEOUT_USEC=17000000" in await told("STOPPING=1")


async def test_who_drains_does_not_say_that_it_serves(
    hub: Hub, tmp_path: Path, layer: Blob
) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.setblocking(False)
        async with (
            running_mirror(
                hub, tmp_path, *DRAINS, environ={"NOTIFY_SOCKET": name}, prefix=SERVICE
            ) as mirror,
            slow_readers(mirror, layer, 1) as slow,
        ):
            mirror.process.send_signal(signal.SIGTERM)
            await mirror.log_line("Draining")
            mirror.process.send_signal(signal.SIGHUP)
            await refused(mirror)
            assert await slow[0].last() == layer.digest
            async with asyncio.timeout(20):
                assert await mirror.process.wait() == 0
        said = []
        with contextlib.suppress(BlockingIOError):
            while True:
                said.append(manager.recv(4096).decode().partition("\n")[0])
        assert said == ["READY=1", "STOPPING=1", "STOPPING=1"]


async def test_who_drains_is_not_ready(hub: Hub, tmp_path: Path, layer: Blob) -> None:
    async with (
        watched(hub, tmp_path, *DRAINS) as one,
        slow_readers(one.mirror, layer, 1) as slow,
    ):
        assert (await one.get("/ready"))[0] == 200
        one.mirror.process.send_signal(signal.SIGTERM)
        await one.mirror.log_line("Draining")
        assert (await one.get("/ready"))[0] == 503
        assert await slow[0].last() == layer.digest


async def test_a_start_that_fails_is_not_ready(hub: Hub, tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.setblocking(False)
        wrong = ("--set", "docxy_tag_tll=1")
        # Its port may be seen before its end, or not.
        with contextlib.suppress(AssertionError):
            async with running_mirror(hub, tmp_path, *wrong, environ={"NOTIFY_SOCKET": name}) as m:
                async with asyncio.timeout(20):
                    assert await m.process.wait() == 1
        assert manager.recv(4096) == b"STOPPING=1"
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


async def test_a_hangup_without_a_terminal_rereads_and_breaks_nothing(
    hub: Hub, tmp_path: Path, layer: Blob
) -> None:
    config = tmp_path / "config.yaml"
    pair = hub.issue_certificate(tmp_path, "127.0.0.1")
    async with (
        running_mirror(
            hub, tmp_path, certificate=pair, ca_file=hub.ca_file, prefix=SERVICE
        ) as mirror,
        connect(mirror) as running,
    ):
        token = await bearer(mirror, "large")
        await running.request(f"/v2/large/blobs/{layer.digest}", headers=token)
        await running.head()
        body = await running.reader.readexactly(1)

        fixed = "listen_port: 1\ndocxy_metrics: 127.0.0.1:1\n"
        config.write_text(f"docxy_public_url: https://mirror.test\n{fixed}")
        (tmp_path / "new").mkdir()
        for old, new in zip(
            pair, hub.issue_certificate(tmp_path / "new", "127.0.0.1"), strict=True
        ):
            os.replace(new, old)
        mirror.process.send_signal(signal.SIGHUP)
        await mirror.log_line("settings set anew: docxy_public_url.")
        await mirror.log_line("only a restart changes docxy_metrics, listen_port.")
        assert "https://mirror.test/" in (await ask(mirror, "/v2/")).headers["Www-Authenticate"]
        assert mirror.text.count("TLS for 127.0.0.1") == 2

        config.write_text("docxy_public_url: https://other.test\ndocxy_tag_ttl: -1\n")
        mirror.process.send_signal(signal.SIGHUP)
        await mirror.log_line("the settings stay as they are: docxy_tag_ttl: -1 is less than 0")
        assert "https://mirror.test/" in (await ask(mirror, "/v2/")).headers["Www-Authenticate"]

        config.unlink()
        mirror.process.send_signal(signal.SIGHUP)
        await until(lambda: mirror.text.count("settings set anew: docxy_public_url") == 2)
        assert "mirror.test" not in (await ask(mirror, "/v2/")).headers["Www-Authenticate"]

        body += await running.reader.readexactly(layer.size - 1)
        assert body == layer.content.read(0, layer.size)
        assert "Traceback" not in mirror.text
