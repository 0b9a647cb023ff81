"""`run.sh inspect` in front of a test Hub, and its page's API for whoever has the token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp

from addon.ownflows import PEER
from tests.hub import Hub
from tests.installed import RUN_SH, installed
from tests.ports import free_port
from tests.running import Mirror, _read, hub_options, settings_arguments

# Flows that are kept.
FLOWS = 100


def arguments(hub: Hub, port: int, *words: str, **settings: str) -> list[str]:
    """What tells `run.sh inspect` of the Hub; `settings` are options in place of the usual ones."""
    usual = {
        "docxy_registry": hub.registry_url,
        "docxy_acme_home": "",
        "docxy_warm_time": "0",
        "docxy_inspect_flows": str(FLOWS),
    }
    said = settings_arguments({**usual, **settings})
    return ["-p", str(port), *said, *hub_options(hub), *words]


@dataclass
class Page:
    """mitmweb's page of a mirror, for whoever has its token."""

    mirror: Mirror
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
        """Tell it something, as its own script does: with the same word in cookie and header."""
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
        said = json.loads(await self.post(f"/commands/{command}", {"arguments": words}))
        assert "error" not in said, said
        return said["value"]

    async def flows(self) -> list[Any]:
        """Those of clients; the mirror's own are other tests'."""
        every = await self.get("/flows")
        return [f for f in every if f["client_conn"]["peername"][0] != PEER[0]]

    async def flow(self, part: str) -> Any:
        """The last one whose path has this part."""
        return [f for f in await self.flows() if part in f["request"]["path"]][-1]


@contextlib.asynccontextmanager
async def inspecting(
    hub: Hub,
    folder: Path,
    *words: str,
    ca_file: Path | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Page]:
    """A mirror that is looked into, ended with the block.

    `ca_file` is the authority of its certificate; `settings` are options.
    """
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        RUN_SH,
        "inspect",
        *arguments(hub, port, *words, **settings),
        cwd=folder,
        env=installed(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    mirror = Mirror(process, "127.0.0.1", port, ca_file)
    reader = asyncio.get_running_loop().create_task(_read(process, mirror.log))
    try:
        line = await mirror.log_line("Look inside: ", seconds=60)
        found = re.search(r"http://([^:]+):(\d+)/\?token=(\w+)$", line)
        assert found, line
        yield Page(mirror, found[1], int(found[2]), found[3])
        assert await mirror.stop() == 0, mirror.text
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reader
