"""Several workers on one port: they behave as one mirror, and one that dies is not missed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from addon.start.listeners import Listener
from addon.workers import supervisor
from tests.e2e.client import ask, bearer
from tests.e2e.slow import TRANSFERS, refused, slow_readers, source, until
from tests.e2e.watched import pull, watched
from tests.hub import Hub
from tests.hub.images import Blob
from tests.running import Mirror, running_mirror

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


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


class Knocking:
    """A client that connects again and again, and counts what came of it."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.connected = 0
        self.failed: list[str] = []

    async def go_on(self) -> None:
        loop = asyncio.get_running_loop()
        number = 0
        while True:
            number += 1
            with socket.socket() as way:
                way.setblocking(False)
                way.bind((source(number % 100), 0))
                try:
                    async with asyncio.timeout(5):
                        await loop.sock_connect(way, (self._mirror.host, self._mirror.port))
                    self.connected += 1
                except (OSError, TimeoutError) as error:
                    self.failed.append(repr(error))
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def knocking(mirror: Mirror) -> AsyncIterator[Knocking]:
    client = Knocking(mirror)
    task = asyncio.get_running_loop().create_task(client.go_on())
    yield client
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_worker_that_is_killed_breaks_its_own_transfers_and_the_rest_is_drained(
    hub: Hub, tmp_path: Path, layer: Blob
) -> None:
    async with (
        running_mirror(hub, tmp_path, *DRAINS, workers=2) as mirror,
        slow_readers(mirror, layer, TRANSFERS, addresses=10) as slow,
    ):
        first, second = mirror.children()
        async with knocking(mirror) as client:
            os.kill(first, signal.SIGKILL)
            await mirror.log_line("worker 0 ended (SIGKILL)")
            await until(lambda: len(mirror.children()) == 2)
            rest = asyncio.gather(*(each.rest() for each in slow), return_exceptions=True)
            # The successor serves the same addresses.
            for number in range(10):
                token = await bearer(mirror, "large")
                asked = await ask(mirror, "/v2/", headers=token)
                assert asked.status == 200, number
            whole = [each == layer.digest for each in await rest]
            assert 0 < whole.count(True) < TRANSFERS
            # All of one address stand or fall together: every tenth is of the same one.
            assert whole[:10] == whole[10:]
            assert client.connected > 5
            assert client.failed == []
        assert is_alive(second)
        assert second in mirror.children()


async def test_twenty_transfers_of_all_workers_are_finished(
    hub: Hub, tmp_path: Path, layer: Blob
) -> None:
    async with (
        running_mirror(hub, tmp_path, *DRAINS, workers=2) as mirror,
        slow_readers(mirror, layer, TRANSFERS, addresses=TRANSFERS) as slow,
    ):
        workers = mirror.children()
        # As systemd may do, to the supervisor and to all: it is one drain.
        for pid in (*workers, mirror.process.pid):
            os.kill(pid, signal.SIGTERM)
        await refused(mirror)
        async with asyncio.timeout(60):
            digests = await asyncio.gather(*(each.last() for each in slow))
            assert await mirror.process.wait() == 0
        assert digests == [layer.digest] * TRANSFERS
        assert not any(is_alive(pid) for pid in workers)
        assert "Traceback" not in mirror.text


@pytest.mark.parametrize("how", ["a second signal", "the supervisor is killed"])
async def test_no_worker_outlives_the_end(hub: Hub, tmp_path: Path, layer: Blob, how: str) -> None:
    options = ("--set", f"docxy_drain_timeout={60 if how == 'a second signal' else 1}")
    async with (
        running_mirror(hub, tmp_path, *options, workers=2) as mirror,
        slow_readers(mirror, layer, 2, addresses=2),
    ):
        workers = mirror.children()
        if how == "a second signal":
            mirror.process.send_signal(signal.SIGINT)
            await refused(mirror)
            mirror.process.send_signal(signal.SIGINT)
        else:
            mirror.process.kill()
        async with asyncio.timeout(20):
            code = await mirror.process.wait()
        await until(lambda: not any(is_alive(pid) for pid in workers))
        assert code == (0 if how == "a second signal" else -signal.SIGKILL)
        await refused(mirror)


async def test_the_service_manager_hears_of_all_and_a_worker_that_hangs_is_replaced(
    hub: Hub, tmp_path: Path
) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.setblocking(False)
        environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"}

        async def told(word: str) -> str:
            async with asyncio.timeout(40):
                while True:
                    text = await asyncio.get_running_loop().sock_recv(manager, 4096)
                    if text.startswith(word.encode()):
                        return text.decode()

        async with running_mirror(
            hub, tmp_path, workers=2, environ=environ, prefix=SERVICE
        ) as mirror:
            assert "2 workers serve" in await told("READY=1")
            (tmp_path / "config.yaml").write_text("docxy_tag_ttl: 31\n")
            mirror.process.send_signal(signal.SIGHUP)
            await told("RELOADING=1")
            await told("READY=1")
            await until(lambda: mirror.text.count("settings set anew: docxy_tag_ttl.") == 2)
            hanging = mirror.children()[1]
            os.kill(hanging, signal.SIGSTOP)
            await mirror.log_line("worker 1 gave no sign of life", 30)
            await until(lambda: not is_alive(hanging) and len(mirror.children()) == 2)
            await told("WATCHDOG=1")
            mirror.process.send_signal(signal.SIGTERM)
            await told("STOPPING=1")


async def test_a_wrong_option_ends_the_start_with_one_message(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as failed:
        async with running_mirror(hub, tmp_path, "--set", "docxy_pieces=0", workers=3):
            pass
    assert str(failed.value).count("docxy_pieces: 0 is less than 1") == 1
    assert "started again" not in str(failed.value)


async def test_one_port_tells_of_all_workers_though_one_of_them_dies(
    hub: Hub, tmp_path: Path
) -> None:
    image = hub.add_image("library/some", layers=(2000,))
    async with watched(hub, tmp_path, workers=2) as one, asyncio.timeout(60):
        await pull(one.mirror, image, "some")
        found = await one.until(lambda scrape: scrape.total("docxy_pulls_total") == 1)
        assert found.total("docxy_build_info") == 1
        assert one.mirror.text.count("Metrics: http") == 1
        for pid in one.mirror.children():
            os.kill(pid, signal.SIGKILL)
        await one.mirror.log_line("worker 1 ended (SIGKILL)")
        assert (await one.scrape()).total("docxy_pulls_total") == 1
        assert (await one.get("/ready"))[0] == 200


async def test_a_port_that_another_mirror_has_is_not_shared_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        spare = Listener(*other.getsockname())
        assert list(supervisor._to_be_had(spare)) == []
    assert "No metrics: port" in caplog.text
    assert list(supervisor._to_be_had(spare)) == [spare]
