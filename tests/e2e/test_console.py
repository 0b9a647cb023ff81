"""mitmproxy's terminal program as a person has it before him, on both of mitmproxy's lines."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from mitmproxy import http
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from tests.e2e.client import ask, bearer
from tests.e2e.test_secrets import PASSWORD, REPOSITORY, Pulled, fail, found, presigned, pull
from tests.hub import Hub
from tests.hub.media_types import OCI_INDEX, OCI_MANIFEST
from tests.inspecting import arguments
from tests.installed import RUN_SH, installed
from tests.ports import free_port
from tests.running import Mirror
from tests.terminal import Terminal, has_tmux, terminal
from tests.views import bodies

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not has_tmux(), reason="there is no tmux"),
]

# What is shown of each kind of body.
VIEWS = {
    "index": (OCI_INDEX, bodies.index(bodies.named(1, 1234, OCI_MANIFEST)), "1.2 kB"),
    "manifest": (OCI_MANIFEST, bodies.image(bodies.named(2, 3_400_000)), "3.4 MB"),
    "token": (bodies.JSON, bodies.encode({"token": bodies.jwt(bodies.CLAIMS)}), "Token answer"),
    "config": (bodies.BLOB, bodies.config(), "Image config for linux/amd64"),
    "error": (bodies.JSON, bodies.errors({"code": "DENIED"}), "DENIED: whoever asks may not"),
}
untyped_tflow: Any = tflow
untyped_writer: Any = FlowWriter


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_hub() -> AsyncIterator[Hub]:
    async with Hub(users={"alice": PASSWORD}) as hub:
        hub.add_image(REPOSITORY, layers=(2000, 300_000), platforms="linux/amd64", private=True)
        yield hub


class Console:
    """The program, and the mirror that it is."""

    def __init__(self, screen: Terminal, port: int) -> None:
        self.screen = screen
        # tmux has started it.
        self.mirror = Mirror(None, "127.0.0.1", port)  # type: ignore[arg-type]

    async def command(self, line: str) -> None:
        """Run one, as after a colon."""
        # A line of the log in its place would end what is begun; it goes by itself.
        await self.screen.shows("? Help")
        await self.screen.type(":")
        await self.screen.shows("\n:")
        await self.screen.type(line)
        await self.screen.press("Enter")

    async def choose(self, query: str) -> None:
        """Show only what this filter finds, and put the focus on it."""
        await self.command(f"set view_filter '{query}'")
        await self.command("view.focus.go 0")


@pytest_asyncio.fixture(loop_scope="module")
async def console(hub: Hub, tmp_path: Path) -> AsyncIterator[Console]:
    port = free_port()
    words = arguments(hub, port, docxy_remember="false", console_focus_follow="false")
    command = (str(RUN_SH), "inspect", "--console", *words)
    async with terminal(tmp_path, *command, environ=installed(tmp_path)) as screen:
        await screen.shows("Flows")
        yield Console(screen, port)


async def test_a_flow_is_told_and_explained(console: Console, hub: Hub) -> None:
    hub.add_image("library/seen")
    mirror = console.mirror
    token = await bearer(mirror, "seen")
    accept = {**token, "Accept": OCI_MANIFEST}
    assert (await ask(mirror, "/v2/seen/manifests/latest", headers=accept)).status == 200
    assert (await ask(mirror, "/v2/seen/manifests/none", headers=accept)).status == 404
    await console.choose("~u manifests/latest & !~meta docxy_sent")
    await console.screen.shows("/v2/library/seen/manifests/latest")
    await console.command("docxy.explain @focus")
    await console.screen.shows(
        "seen:latest → library/seen", "answer      the network", "pull limit  99 of 100 left"
    )
    await console.command("docxy.limits")
    await console.screen.shows("pulls left in 6 h")
    await console.command("docxy.memory")
    await console.screen.shows("images looked ahead for")
    await console.screen.press("q")
    # A failed one is marked, and its comment begins with the cause.
    await console.choose("~u manifests/none & ~marked & ~comment MANIFEST_UNKNOWN")
    await console.screen.shows("/v2/library/seen/manifests/none")
    await console.screen.press("Enter")
    await console.screen.shows("Flow Details")
    await console.screen.press("Tab", "Tab")
    await console.screen.shows("Comment: failed: ", "seen:none → library/seen")


@pytest.mark.parametrize("name", VIEWS)
async def test_a_body_is_shown_as_a_person_reads_it(tmp_path: Path, name: str) -> None:
    content_type, body, shown = VIEWS[name]
    flow: http.HTTPFlow = untyped_tflow.tflow(resp=True)
    assert flow.response
    flow.response.headers = http.Headers(content_type=content_type)
    flow.response.content = body
    file = tmp_path / "recording"
    with file.open("wb") as saved:
        writer = untyped_writer(saved)
        writer.add(flow)
    command = (str(RUN_SH), "inspect", "--console", "-n", "-r", str(file))
    async with terminal(tmp_path, *command, environ=installed(tmp_path)) as screen:
        await screen.shows("Flows", "/path")
        await screen.press("Enter")
        await screen.shows("Flow Details")
        await screen.press("Tab")
        seen = await screen.shows(shown)
    assert "SignatureSignature" not in seen


async def test_no_secret_is_on_the_screen(console: Console, hub: Hub) -> None:
    pulled = await pull(console.mirror, hub)
    failed = await fail(console.mirror)
    await console.screen.shows("/v2/me/private/blobs/")
    secrets = [*pulled.shown_where_asked, *failed, *presigned(hub)]
    screens = [screen async for screen in each_flow(console, pulled)]
    for screen in screens:
        # A long value is broken at the edge.
        whole = re.sub(r"\s*\n\s*", "", screen)
        assert found(secrets, screen.encode()) == []
        assert found(secrets, whole.encode()) == []
    assert any("Basic [redacted]" in screen for screen in screens)
    assert any("password=[redacted]" in screen for screen in screens)


async def each_flow(console: Console, pulled: Pulled) -> AsyncIterator[str]:
    """What is on the screen: the list, the log, and each client's request and answer."""
    screen = console.screen
    await console.choose("!~meta docxy_sent")
    yield await screen.shows(REPOSITORY)
    await console.command("console.view.eventlog")
    yield await screen.shows("Events", REPOSITORY)
    await console.command("console.view.pop")
    for number in range(len(pulled.answers)):
        await console.command(f"view.focus.go {number}")
        await screen.press("Enter")
        seen = await screen.shows("Flow Details")
        yield seen
        # Request, answer and details, beginning with the one that was looked at last.
        for _ in range(2):
            await screen.press("Tab")
            seen = await screen.changes(seen)
            yield seen
        await screen.press("q")
        await screen.shows("Flows\n")
