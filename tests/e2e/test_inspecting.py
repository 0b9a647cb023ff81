"""`./run.sh inspect` as a user runs it: the same mirror, and a page or a screen beside it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from addon.inspector import OPEN_PAGE, page_asks_for_token
from tests.e2e.client import Answer, ask, bearer, connect
from tests.hub import Hub
from tests.inspecting import FLOWS, Page, arguments, inspecting
from tests.installed import RUN_SH, installed
from tests.ports import free_port
from tests.running import Mirror

on_the_hubs_loop = pytest.mark.asyncio(loop_scope="module")

ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
LAYER = 20_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    shared_hub.add_image("library/seen", layers=[1000, LAYER])
    async with inspecting(shared_hub, tmp_path_factory.mktemp("inspect")) as page:
        yield page


@on_the_hubs_loop
class TestPage:
    __test__ = page_asks_for_token()

    async def test_opens_with_the_token_alone(self, page: Page) -> None:
        for path, status in {
            f"/?token={page.token}": 200,
            "/": 403,
            "/?token=": 403,
            "/?token=0": 403,
            "/flows": 403,
            "/events": 403,
            "/options": 403,
            "/updates": 403,
            f"/flows?token={page.token}": 200,
        }.items():
            async with (
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.get(f"{page.url}{path}") as answer,
            ):
                assert answer.status == status, path

    async def test_is_on_this_machine_alone(self, page: Page) -> None:
        assert page.host == "127.0.0.1"
        with socket.create_connection(("127.0.0.1", page.port), timeout=5):
            pass
        # It would be reached at these too if it listened on every address.
        for host in ("127.0.0.2", "::1"):
            with pytest.raises(OSError, match=r"refused|Cannot assign"):
                socket.create_connection((host, page.port), timeout=5)

    async def test_its_address_is_said_once_and_last(self, page: Page) -> None:
        lines = [line for line in page.mirror.log if page.token in line]
        assert len(lines) == 1
        before = page.mirror.log[: page.mirror.log.index(lines[0])]
        assert any("daemon.json" in line for line in before)

    async def test_what_the_mirror_does_is_the_same(self, page: Page, hub: Hub) -> None:
        token = await bearer(page.mirror, "seen")
        index = await ask(page.mirror, "/v2/seen/manifests/latest", headers={**token, **ACCEPT})
        assert index.status == 200
        for layer in index.json["layers"]:
            blob = await ask(page.mirror, f"/v2/seen/blobs/{layer['digest']}", headers=token)
            assert (blob.status, len(blob.body)) == (200, layer["size"])
        manifest = await page.flow("/manifests/latest")
        assert manifest["response"]["contentLength"] == len(index.body)
        request = manifest["request"]
        assert f"{request['scheme']}://{request['host']}:{request['port']}" == hub.registry_url
        assert request["path"] == "/v2/library/seen/manifests/latest"

    async def test_its_commands_tell_what_happened(
        self, page: Page, hub: Hub, tmp_path: Path
    ) -> None:
        token = await bearer(page.mirror, "seen")
        await ask(page.mirror, "/v2/seen/manifests/latest", headers={**token, **ACCEPT})
        before = len([s for s in hub.requests if "/manifests/" in s.target])
        file = tmp_path / "page.html"
        assert "seen:latest → library/seen" in await page.run("docxy.explain", "~u manifests")
        assert await page.run("docxy.timeline", "@all", str(file)) is None
        assert "pulls left in 6 h" in await page.run("docxy.limits")
        memory = await page.run("docxy.memory")
        assert len([s for s in hub.requests if "/manifests/" in s.target]) == before
        assert re.search(r"^manifests +1 ", memory, re.MULTILINE)
        assert re.search(r"^tokens +1", memory, re.MULTILINE)
        assert hub.registry_url.removeprefix("https://") in memory
        text = file.read_text()
        assert "GET seen:latest → library/seen" in text
        assert '<div class="row own"' in text
        secret = token["Authorization"].removeprefix("Bearer ")
        assert not [said for said in (text, memory) if secret in said]

    async def test_keeps_no_blob(self, page: Page) -> None:
        flows = [f for f in await page.flows() if "/blobs/" in f["request"]["path"]]
        assert len(flows) == 2
        assert all(not f["response"]["contentLength"] for f in flows)

    async def test_no_request_to_the_mirror_reaches_its_api(self, page: Page) -> None:
        own, secret = f"127.0.0.1:{page.port}", f"token={page.token}"
        hosts = ["mirror.test", own, f"localhost:{page.port}", "mitm.it", ""]
        targets = [
            *(f"/{path}?{secret}" for path in ("", "flows", "flows.json", "state", "options")),
            *(f"/{path}?{secret}" for path in ("updates", "commands", "events", "clear")),
            f"http://{own}/flows?{secret}",
            f"http://localhost:{page.port}/flows?{secret}",
            f"http://mitm.it/?{secret}",
            f"//{own}/flows?{secret}",
            f"/v2/../flows?{secret}",
            f"/v2/%2e%2e/flows?{secret}",
            f"/v2/http://{own}/flows/manifests/latest?{secret}",
            f"/auth/token?{secret}&scope=http://{own}/flows",
            own,
        ]
        fields = {"Authorization": f"Bearer {page.token}", "Cookie": "_xsrf=a", "X-XSRFToken": "a"}
        for target in targets:
            for method in ("GET", "POST", "OPTIONS", "CONNECT"):
                for host in hosts:
                    answer = await twisted(page.mirror, target, method, {"Host": host, **fields})
                    if answer is None:
                        continue  # the connection was ended instead
                    asked = (method, target, host, answer)
                    assert "client_conn" not in str(answer.body), asked
                    assert "mitmweb" not in str(answer.body), asked
                    # The one address of these that the mirror has an answer for.
                    assert answer.status >= 400 or target.startswith("/auth/token"), asked

    async def test_an_answer_can_be_held_and_let_go(self, page: Page) -> None:
        await page.post("/options", {"intercept": "~u held"}, method="PUT")
        try:
            held = asyncio.get_running_loop().create_task(ask(page.mirror, "/health?held"))
            flow = await intercepted(page, "/health?held")
            assert not held.done()
            await page.post(f"/flows/{flow['id']}/resume")
            # It is held once more with its answer, unless that was there already.
            with contextlib.suppress(AssertionError):
                again = await intercepted(page, "/health?held", seconds=1)
                await page.post(f"/flows/{again['id']}/resume")
            assert (await held).status == 200
        finally:
            await page.post("/options", {"intercept": ""}, method="PUT")

    async def test_a_manifest_can_be_held_and_let_go(self, page: Page) -> None:
        token = await bearer(page.mirror, "seen")
        await page.post("/options", {"intercept": "~u /manifests/ & ~q"}, method="PUT")
        try:
            target = "/v2/seen/manifests/latest"
            asking = ask(page.mirror, target, headers={**token, **ACCEPT})
            held = asyncio.get_running_loop().create_task(asking)
            flow = await intercepted(page, "/manifests/")
            await page.post(f"/flows/{flow['id']}/resume")
            assert (await held).status == 200
        finally:
            await page.post("/options", {"intercept": ""}, method="PUT")

    async def test_a_request_can_be_repeated(self, page: Page, hub: Hub) -> None:
        token = await bearer(page.mirror, "seen")
        assert (await ask(page.mirror, "/v2/seen/tags/list", headers=token)).status == 200
        flow = await page.flow("/tags/list")
        hub.requests.clear()
        await page.post(f"/flows/{flow['id']}/replay")
        await hub.until(lambda: bool(hub.requests.of("registry", text="/tags/list", status=200)))

    async def test_a_request_can_be_taken_away_as_a_command(self, page: Page) -> None:
        flow = await page.flow("/tags/list")
        text = await page.post("/commands/export", {"arguments": ["curl", f"@{flow['id']}"]})
        assert "curl" in text
        assert "/v2/library/seen/tags/list" in text

    async def test_the_oldest_flows_go_and_memory_stays_level(self, page: Page) -> None:
        async def many(count: int) -> None:
            async with connect(page.mirror) as connection:
                for number in range(count):
                    answer = await connection.ask(f"/health?{number}")
                    assert answer.status == 200

        await many(FLOWS + 50)
        paths = [flow["request"]["path"] for flow in await page.flows()]
        assert paths == [f"/health?{number}" for number in range(50, FLOWS + 50)]
        await many(1000)
        before = page.mirror.memory()
        await many(1500)
        assert len(await page.flows()) == FLOWS
        assert page.mirror.memory() - before < 8 * 1024 * 1024

    async def test_a_second_page_is_on_another_port(
        self, page: Page, shared_hub: Hub, tmp_path: Path
    ) -> None:
        async with inspecting(shared_hub, tmp_path) as other:
            assert other.port != page.port
            assert f"docxy: port 8081 is taken; the page is on port {other.port}" in (
                other.mirror.text
            )


async def intercepted(page: Page, part: str, seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for flow in await page.flows():
            if part in flow["request"]["path"] and flow["intercepted"]:
                return flow
        await asyncio.sleep(0.02)
    raise AssertionError(f"{part} is not held")


async def twisted(mirror: Mirror, target: str, method: str, headers: Any) -> Answer | None:
    try:
        return await ask(mirror, target, method, headers)
    except (EOFError, ConnectionError, TimeoutError):
        return None


def test_a_page_without_a_token_is_not_opened(tmp_path: Path) -> None:
    words = ["inspect", "-p", str(free_port()), "--set", "docxy_acme_home="]
    if page_asks_for_token():
        words.append("--version")
    done = subprocess.run([RUN_SH, *words], env=installed(tmp_path), capture_output=True, text=True)
    if page_asks_for_token():
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"docxy: {OPEN_PAGE}\n")


# The terminal program.


@dataclass
class Screen:
    """A terminal that a program runs in, and all that it has drawn."""

    process: subprocess.Popen[bytes]
    descriptor: int
    drawn: bytes = field(default=b"")

    def wait_for(self, text: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while text not in self.text():
            assert time.monotonic() < end, f"no {text!r} on the screen:\n{self.text()}"
            self._read()

    def text(self) -> str:
        """Without what colours it and moves the cursor."""
        return re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]", "", self.drawn.decode(errors="replace"))

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def end(self, seconds: float = 20) -> int:
        """Its exit code; a program waits for a terminal that nobody reads."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end:\n{self.text()}"
            self._read()
        return self.process.returncode

    def close(self) -> None:
        """Close the window."""
        os.close(self.descriptor)

    def _read(self) -> None:
        try:
            self.drawn += os.read(self.descriptor, 65536)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            time.sleep(0.02)  # the program has left


@contextlib.contextmanager
def screen(folder: Path, *words: str) -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        [RUN_SH, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**installed(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8"},
        start_new_session=True,
        # A window that is closed tells the one whose terminal it is (SIGHUP).
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with contextlib.suppress(OSError):
            os.close(ours)


@on_the_hubs_loop
async def test_the_terminal_program_shows_what_passes(hub: Hub, tmp_path: Path) -> None:
    hub.add_image("library/console", layers=[1000])
    port = free_port()
    with screen(tmp_path, "inspect", "--console", *arguments(hub, port)) as console:
        await asyncio.to_thread(console.wait_for, "Flows")
        mirror: Any = Mirror(None, "127.0.0.1", port)  # type: ignore[arg-type]  # not asyncio's
        token = await bearer(mirror, "console")
        answer = await ask(mirror, "/v2/console/manifests/latest", headers={**token, **ACCEPT})
        assert answer.status == 200
        await asyncio.to_thread(console.wait_for, "/v2/library/console/manifests/latest")
        console.press(":docxy.explain @all\r")
        # Each of its lines is one on the screen.
        await asyncio.to_thread(console.wait_for, "answer      the network: nothing that could")
        console.press("q")
        console.press(":docxy.pull console linux/amd64\r")
        await asyncio.to_thread(console.wait_for, "Pulling console:latest for linux/amd64.")
        console.press("q")
        await asyncio.to_thread(
            console.wait_for, "docxy.pull console:latest for linux/amd64: 5 req"
        )
        console.press(":docxy.pulls\r")
        await asyncio.to_thread(console.wait_for, "manifest  /v2/console/manifests/latest")
        console.press("q")
        console.press("q")
        await asyncio.to_thread(console.wait_for, "Quit")
        console.press("y")
        assert await asyncio.to_thread(console.end) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@on_the_hubs_loop
async def test_the_terminal_program_ends_with_its_terminal(hub: Hub, tmp_path: Path) -> None:
    port = free_port()
    with screen(tmp_path, "inspect", "--console", *arguments(hub, port)) as console:
        await asyncio.to_thread(console.wait_for, "Flows")
        console.close()
        assert await asyncio.to_thread(console.process.wait, 20) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_without_a_terminal_one_line_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [RUN_SH, "inspect", "--console", "-p", str(free_port()), "--set", "docxy_acme_home="],
        env=installed(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "docxy: inspect --console needs a terminal; ./run.sh inspect has a page instead\n"
    )


def test_a_page_for_others_is_refused(tmp_path: Path) -> None:
    words = ["-p", str(free_port()), "--set", "docxy_acme_home=", "--web-host", "0.0.0.0"]
    done = subprocess.run(
        [RUN_SH, "inspect", *words], env=installed(tmp_path), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("docxy: web_host '0.0.0.0' would show the page to others")
    assert done.stderr.count("\n") == 1
