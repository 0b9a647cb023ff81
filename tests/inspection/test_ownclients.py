from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from addon.flows.exchange import STORY
from addon.inspection import ownclients
from addon.inspection.ownclients import OwnClients

untyped_tflow: Any = tflow
PEER = ("127.0.0.1", 5000)


def answered(source: object, peer: tuple[str, int] = PEER) -> http.HTTPFlow:
    flow: http.HTTPFlow = untyped_tflow.tflow(resp=True)
    flow.client_conn.peername = peer
    flow.metadata[STORY] = {"from": source}
    return flow


async def test_what_is_told_of_a_request_is_heard_in_order() -> None:
    clients = OwnClients()
    clients.opened(PEER)
    asking = asyncio.ensure_future(clients.source(PEER))
    clients.response(answered("memory", ("127.0.0.1", 5001)))
    clients.response(answered("mirror"))
    assert await asking == "mirror"
    clients.response(answered("network"))
    assert await clients.source(PEER) == "network"
    clients.response(answered("memory"))
    clients.response(answered(5))
    assert [await clients.source(PEER) for _ in range(2)] == ["memory", ""]


async def test_who_is_none_of_theirs_is_not_known() -> None:
    clients = OwnClients()
    assert PEER not in clients
    clients.response(answered("memory"))
    assert await clients.source(PEER) == ""
    clients.opened(PEER)
    assert PEER in clients
    clients.forget(PEER)
    clients.forget(PEER)
    assert PEER not in clients
    assert len(clients) == 0


async def test_what_nobody_tells_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownclients, "PATIENCE", 0.01)
    clients = OwnClients()
    clients.opened(PEER)
    assert await clients.source(PEER) == ""


async def test_what_nobody_asks_for_does_not_pile_up() -> None:
    clients = OwnClients()
    clients.opened(PEER)
    for number in range(100):
        clients.response(answered(str(number)))
    heard = [await clients.source(PEER) for _ in range(2)]
    assert heard == ["98", "99"]
