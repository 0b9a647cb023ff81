"""The test Hub in a process of its own: it takes no time from the client, and may lie elsewhere.

Its command line is one JSON object, the Hub's arguments. Each line on its input is a question:
`add` an image, or its `log` since the last time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tests.hub import Hub, Image

from .images import IMAGES


def _add(hub: Hub, added: dict[str, Image], name: str) -> Any:
    if name not in added:
        added[name] = hub.add_image(f"library/{name}", "latest", IMAGES[name], compression=None)
    image = added[name]
    return {"layers": [[layer.digest, layer.size] for layer in image.layers]}


def _log(hub: Hub) -> Any:
    seen = [
        {
            "time": each.time,
            "role": each.role,
            "method": each.method,
            "target": each.target,
            "range": each.asked.header("Range"),
            "connection": each.connection,
            "status": each.status,
        }
        for each in hub.requests
    ]
    hub.requests.clear()
    return seen


def _addresses(hub: Hub, folder: str) -> dict[str, Any]:
    return {
        "registry": hub.registry_url,
        "token": hub.token_url,
        "service": hub.service,
        "ca": str(hub.ca_file),
        "folder": folder,
        "bound": [[role.host, role.port] for role in (hub.registry, hub.token, hub.cdn)],
    }


async def _main(arguments: dict[str, Any]) -> None:
    async with Hub(**arguments) as hub:
        hub.settings.pull_limit = 1_000_000
        hub.issue_certificate(hub.folder, "127.0.0.1", "10.77.0.1")
        print(json.dumps(_addresses(hub, str(hub.folder))), flush=True)
        loop, added = asyncio.get_running_loop(), dict[str, Image]()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            question = json.loads(line)
            is_image = question["do"] == "add"
            said = _add(hub, added, question["image"]) if is_image else _log(hub)
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
