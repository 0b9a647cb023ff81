"""When a connection may be closed in a drain; whole drains are in e2e/test_service.py."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest

from addon.service import drain as draining
from addon.service.drain import HEAD_SECONDS, drain, may_close


@pytest.mark.parametrize(
    ("is_idle", "is_between", "waited", "closes"),
    [
        pytest.param(True, True, 0.0, True, id="between two requests"),
        pytest.param(True, False, 0.0, False, id="has just connected, or sent half a request"),
        pytest.param(True, False, HEAD_SECONDS, True, id="the same, after a second"),
        pytest.param(False, False, 1000.0, False, id="is being answered"),
    ],
)
def test_who_waits_for_nothing_is_let_go(
    is_idle: bool, is_between: bool, waited: float, closes: bool
) -> None:
    assert may_close(is_idle=is_idle, is_between=is_between, waited=waited) is closes


SIZE = 20_000_000  # more than the kernel holds for a client that does not read


async def test_what_was_written_is_waited_for_until_the_client_has_taken_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * SIZE)
        written.put_nowait(writer)

    async def stop_listening() -> None:
        server.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        writer = await written.get()
        handler = SimpleNamespace(
            client="client",
            transports={"client": SimpleNamespace(writer=writer, handler=None)},
            layer=SimpleNamespace(context=SimpleNamespace(layers=[])),
        )
        handlers = {"client": handler}
        monkeypatch.setattr(draining, "client_connections", lambda: handlers)
        monkeypatch.setattr(draining, "_stop_listening", stop_listening)
        assert await drain(0.1) == 1
        waiting = asyncio.get_running_loop().create_task(drain(60))
        await asyncio.sleep(0.1)
        # mitmproxy closes it and forgets it, whatever is still to be sent.
        writer.close()
        handlers.clear()
        await asyncio.sleep(0.3)
        assert not waiting.done()
        taken = await asyncio.to_thread(lambda: len(client.makefile("rb").read()))
        assert (taken, await waiting) == (SIZE, 0)
