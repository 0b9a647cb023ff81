"""mitmproxy's hooks that keep clients within their limits.

A connection is closed before mitmproxy has read a byte of it, so that one over a limit costs
little; a request over a limit is answered with an OCI error.
"""

from __future__ import annotations

import asyncio
import logging
import math
import resource
from collections.abc import Container
from dataclasses import replace

from mitmproxy import http
from mitmproxy.connection import Client

from addon.limits.clientlimits import ClientLimits
from addon.limits.crowd import Crowd, Crowded, Ending, Guest
from addon.limits.ratelimit import RateLimit
from addon.limits.seldom import Seldom
from addon.mitm.wire import line_of
from addon.outbound.networks import Address, Networks, parse_address, subscriber
from addon.protocol.errors import Refusal

logger = logging.getLogger(__name__)

# Seconds between two looks at all connections: about a thousand take a millisecond.
INTERVAL = 1.0
# Addresses whose requests are counted.
ADDRESSES = 16384
# Seconds after which a client may come again for which all connections are taken.
BUSY_SECONDS = 5


class Doorkeeper:
    """Knows all connections of clients, and how often each address has asked.

    `own_clients` are the addresses that the mirror's own clients ask from.
    """

    def __init__(self, own_clients: Container[tuple[str, int]] = ()) -> None:
        self.crowd = Crowd()
        self._own_clients = own_clients
        self._proxies = Networks()
        self._rate = RateLimit(ClientLimits().rate, ADDRESSES)
        self._seldom = Seldom()
        self._task: asyncio.Task[None] | None = None

    def apply(self, limits: ClientLimits, proxies: Networks) -> None:
        """Keep these limits from now on; a listed proxy's connections are many clients'."""
        most = limits.crowd.connections
        self.crowd.limits = replace(limits.crowd, connections=min(most, _most_files() // 2))
        self._proxies = proxies
        if self._rate.rate != limits.rate:
            self._rate = RateLimit(limits.rate, ADDRESSES)

    def check(self, client: Address) -> None:
        """Count a client's request.

        Raises:
            Refusal: 429 or 503, it is one too many.
        """
        seconds = self._rate.take(subscriber(client))
        if seconds:
            rate = self._rate.rate.rate
            self._say("rate", f"{client} asks more than {rate} times a second, and is answered 429")
            raise Refusal(
                429,
                "TOOMANYREQUESTS",
                f"more than {rate} requests a second from {client}"
                " (docxy_address_requests of this mirror); wait, and ask again",
                _later(seconds),
            )
        if self.crowd.is_full:
            self._say("full", f"{self.crowd.running} requests run, and more are answered 503")
            raise Refusal(
                503,
                "UNAVAILABLE",
                "this mirror answers as many requests as it can"
                " (docxy_client_connections); wait, and ask again",
                _later(BUSY_SECONDS),
            )

    # Hooks

    def running(self) -> None:
        """Look at all connections from time to time."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        """Look at none any more."""
        if self._task:
            self._task.cancel()

    def client_connected(self, client: Client) -> None:
        """Let a connection in, or close it."""
        line = line_of(client)
        if client.error or line is None or client.peername[:2] in self._own_clients:
            return
        peer = parse_address(client.peername[0])
        address = None if peer in self._proxies else subscriber(peer)
        if address is not None and self._rate.take(address):
            self._say("rate", f"{peer} asks too often, and its new connections are closed")
            client.error = "too many connections in a short time"
            return
        try:
            gone = self.crowd.enter(client.id, address, line)
        except Crowded:
            self._say("crowded", f"{peer} has too many connections, and new ones are closed")
            client.error = "too many connections"
            return
        if gone:
            self._end(gone, Ending.ROOM)

    def client_disconnected(self, client: Client) -> None:
        """It is over."""
        self.crowd.leaves(client.id)

    def request(self, flow: http.HTTPFlow) -> None:
        """A whole request has come; one that is answered already takes no time."""
        if flow.response is None:
            self.crowd.begins(flow.client_conn.id, flow.id)

    def response(self, flow: http.HTTPFlow) -> None:
        """It was answered."""
        self.crowd.ends(flow.client_conn.id, flow.id)

    def error(self, flow: http.HTTPFlow) -> None:
        """Its answer broke off."""
        self.crowd.ends(flow.client_conn.id, flow.id)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            for guest, ending in self.crowd.overdue():
                self._end(guest, ending)

    def _end(self, guest: Guest, ending: Ending) -> None:
        if ending is not Ending.IDLE:
            self._say(ending, f"A connection of {guest.address or 'a proxy'} is ended: {ending}")
        if guest.has_asked and ending is not Ending.STALLED:
            guest.line.close()  # its last answer may still be on its way through the network
        else:
            guest.line.abort()

    def _say(self, kind: str, line: str) -> None:
        count = self._seldom.count(kind)
        if count:
            logger.warning("%s%s", line, f" ({count} times)" if count > 1 else "")


def _later(seconds: float) -> dict[str, str]:
    # Closed, so that the next one is counted before it costs a handshake.
    return {"Retry-After": str(math.ceil(seconds)), "Connection": "close"}


def _most_files() -> int:
    """Files that this process may open (getrlimit(2))."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 2**31
