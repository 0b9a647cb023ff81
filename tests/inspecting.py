"""`run.sh inspect` in front of a test Hub, and its page's API for whoever has the token."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.e2e.webpage import WebPage
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
        "docxy_metrics": "",
        "docxy_inspect_flows": str(FLOWS),
    }
    said = settings_arguments({**usual, **settings})
    return ["-p", str(port), *said, *hub_options(hub), *words]


@dataclass
class Page(WebPage):
    """mitmweb's page of a mirror, for whoever has its token."""

    mirror: Mirror


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
        yield Page(found[1], int(found[2]), found[3], mirror)
        assert await mirror.stop() == 0, mirror.text
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reader
