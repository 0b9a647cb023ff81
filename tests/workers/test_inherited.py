"""Sockets of a supervisor's in place of mitmproxy's own."""

from __future__ import annotations

import inspect
import socket
from typing import Any

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import mode_servers
from mitmproxy.proxy.mode_servers import AsyncioServerInstance, ServerInstance
from mitmproxy.test import taddons

from addon.workers.inherited import listen_on

MODE = "reverse:http://registry.example:443"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AsyncioServerInstance, "listen", AsyncioServerInstance.listen)


def test_mitmproxy_still_listens_where_it_is_replaced() -> None:
    hint = "mitmproxy's mode_servers has changed: look through addon/workers/inherited.py"
    assert list(inspect.signature(AsyncioServerInstance.listen).parameters) == [
        "self",
        "host",
        "port",
    ], hint
    start = inspect.getsource(mode_servers.AsyncioServerInstance._start)
    assert "self._servers = await self.listen(host, port)" in start, hint
    assert "self.handle_stream" in inspect.getsource(AsyncioServerInstance.listen), hint


async def test_a_mode_listens_on_the_sockets_of_its_place_once() -> None:
    given = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    where = [one.getsockname()[:2] for one in given]
    listen_on({("127.0.0.1", 8080): tuple(one.detach() for one in given)})
    with taddons.context(Proxyserver()) as context:  # type: ignore[no-untyped-call]
        context.options.listen_host = "127.0.0.1"
        server: ServerInstance[Any] = ServerInstance.make(
            f"{MODE}@8080", context.master.addons.get("proxyserver")
        )
        await server.start()
        assert [address[:2] for address in server.listen_addrs] == where
        await server.stop()
        for address in where:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
        with pytest.raises(OSError, match="was given no socket for "):
            await server.start()
