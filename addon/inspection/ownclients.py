"""Clients of the mirror's own: which connections are theirs, and what was told of their requests.

They ask over the mirror's own port, so each of their requests is a flow as anybody's.
"""

from __future__ import annotations

import asyncio
from collections import deque

from mitmproxy import http

from addon.flows.exchange import STORY
from addon.flows.messages import client_of
from addon.inspection.loopback import Peer
from addon.inspection.seen import Facts

# Seconds for mitmproxy to end a flow whose last byte has come; a person may hold it back.
PATIENCE = 5.0


class OwnClients:
    """The hooks that hear what became of their requests, one after the other on a connection."""

    def __init__(self) -> None:
        self._told: dict[Peer, Told] = {}

    def __len__(self) -> int:
        return len(self._told)

    def __contains__(self, peer: object) -> bool:
        return peer in self._told

    def opened(self, peer: Peer) -> None:
        """A connection of theirs is about to be opened."""
        self._told[peer] = Told()

    def forget(self, peer: Peer) -> None:
        """It is not theirs any more."""
        self._told.pop(peer, None)

    async def source(self, peer: Peer) -> str:
        """Where the answer to the last request of a connection came from, "" if nobody says."""
        told = self._told.get(peer)
        return await told.next() if told else ""

    def response(self, flow: http.HTTPFlow) -> None:
        """A request was answered."""
        told = self._told.get(client_of(flow))
        if told:
            facts = flow.metadata.get(STORY)
            told.hear(Facts(facts if isinstance(facts, dict) else {}).text("from"))


class Told:
    """What was told of one connection's answers, in their order."""

    def __init__(self) -> None:
        # One is asked for after the other.
        self._sources: deque[str] = deque(maxlen=2)
        self._came = asyncio.Event()

    def hear(self, source: str) -> None:
        """An answer has ended."""
        self._sources.append(source)
        self._came.set()

    async def next(self) -> str:
        """The next one's source, waited for."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._came.wait()
        except TimeoutError:
            return ""
        source = self._sources.popleft()
        if not self._sources:
            self._came.clear()
        return source
