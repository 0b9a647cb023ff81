"""mitmweb's page as its own script uses it, on both of mitmproxy's lines."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from addon.inspection.ownflows import PEER
from addon.inspector import page_asks_for_token
from tests.hub import Hub
from tests.ports import free_port
from tests.running import Mirror, page_line, running_mirror, settings_arguments


@dataclass
class WebPage:
    """The page, for whoever has its token; the one of mitmproxy 11 has none."""

    host: str
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def get(self, path: str) -> Any:
        """What its API says."""
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.get(path, headers={"Authorization": f"Bearer {self.token}"}) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, told: Any = None, method: str = "POST") -> Any:
        """Tell it something, with the same word in cookie and header."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Cookie": "_xsrf=a; _mitmproxy_xsrf=a",
            "X-XSRFToken": "a",
        }
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.request(method, path, json=told, headers=headers) as answer,
        ):
            text = await answer.text()
            assert answer.status in (200, 204), text
            return text

    async def run(self, command: str, *words: str) -> Any:
        """What a command says."""
        said = await self.attempt(command, *words)
        assert "error" not in said, said
        return said["value"]

    async def attempt(self, command: str, *words: str) -> Any:
        """The same, with the error if there is one."""
        return json.loads(await self.post(f"/commands/{command}", {"arguments": words}))

    async def flows(self) -> list[Any]:
        """Those of clients."""
        every = await self.get("/flows")
        return [f for f in every if f["client_conn"]["peername"][0] != PEER[0]]

    async def own_flows(self) -> list[Any]:
        """Those of the mirror itself."""
        every = await self.get("/flows")
        return [f for f in every if f["client_conn"]["peername"][0] == PEER[0]]

    async def flow(self, part: str) -> Any:
        """The last one whose path has this part."""
        return [f for f in await self.flows() if part in f["request"]["path"]][-1]

    async def shown(self, flow: Any) -> str:
        """A flow's answer as its content view shows it."""
        said = await self.get(f"/flows/{flow['id']}/response/content/auto.json")
        if "text" in said:
            return str(said["text"])
        return "\n".join("".join(text for _, text in line) for line in said["lines"])


@contextlib.asynccontextmanager
async def web_mirror(
    hub: Hub, folder: Path, *words: str, **more: Any
) -> AsyncIterator[tuple[Mirror, WebPage]]:
    """A mirror under mitmweb with its page; `more` is for `running_mirror`."""
    page = WebPage("127.0.0.1", free_port(), "0f-the-page")
    settings = {"web_open_browser": "false", "web_port": str(page.port)}
    if page_asks_for_token():
        settings["web_password"] = page.token
    told = [*settings_arguments(settings), *words]
    async with running_mirror(hub, folder, *told, program="mitmweb", **more) as mirror:
        await mirror.log_line(page_line())
        yield mirror, page
