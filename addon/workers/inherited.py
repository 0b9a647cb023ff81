"""A worker listens on sockets that its supervisor has opened, in place of its own.

mitmproxy opens them in `AsyncioServerInstance.listen` (mitmproxy/proxy/mode_servers.py, the same
in 11.0.2 and 12), which gives back asyncio's servers. That method is replaced, in a worker alone.
This is an internal of mitmproxy; tests/workers/test_inherited.py says in words when it changes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

from mitmproxy.proxy.mode_servers import AsyncioServerInstance

from addon.workers.worker import Where

# Connections that wait while a worker is started again; net.core.somaxconn bounds it.
BACKLOG = 1024


def listen_on(listeners: Mapping[Where, tuple[int, ...]]) -> None:
    """Let mitmproxy listen on these descriptors, once on each."""
    left = dict(listeners)

    async def listen(instance: Any, host: str, port: int) -> list[asyncio.Server]:
        descriptors = left.pop((host, port), None)
        if descriptors is None:
            raise OSError(f"this worker was given no socket for {host or '*'}:{port}")
        # The only copies here: what is closed for a drain must be closed.
        return [
            await asyncio.start_server(
                instance.handle_stream, sock=socket.socket(fileno=each), backlog=BACKLOG
            )
            for each in descriptors
        ]

    AsyncioServerInstance.listen = listen  # type: ignore[method-assign, assignment]
