"""The one way out: a pooled HTTP client for all that leaves the machine.

Connections stay open between requests and between clients. It keeps no cookies, reads no
`.netrc` (aiohttp's `trust_env` would send the owner's password with anonymous requests), adds no
fields of its own, follows no redirect, changes no byte of an address, and unpacks nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from addon.ahead.destinations import Destinations
from addon.blob.retrying import Tries, tried
from addon.flows.story import current, purpose
from addon.outbound.carrier import Carrier
from addon.outbound.causes import explained, fault_of, may_pass
from addon.outbound.faults import Fault
from addon.outbound.hosts import Hosts
from addon.outbound.pool import (
    ANEW,
    ASKED,
    check_literal,
    named_hosts,
    redirected_hosts,
    tls_context,
)
from addon.outbound.proxies import proxy_for
from addon.outbound.readahead import start_small
from addon.outbound.received import Answer, discard
from addon.outbound.responses import UpstreamBody, answer_of, fields_of
from addon.outbound.sent import Sent, Watch
from addon.protocol.errors import failure
from addon.protocol.headers import Fields
from addon.protocol.registry import authority
from addon.settings.wayout import OutboundSettings

# What is read ahead of a slow client, for each transfer; aiohttp holds up to twice as much. More
# gave no less CPU for a GiB (32 to 512 KiB measured).
READ_BUFFER = 64 * 1024
# Why a request ended that no upstream ended.
GIVEN_UP = "given up before an answer came"
_TOO_LATE = "time-out, its answer took too long to begin"


class Outbound:
    """The pooled client. Made inside a running event loop; `close` ends all connections."""

    def __init__(self, settings: OutboundSettings) -> None:
        start_small()
        self._settings = settings
        self._tries = Tries(settings.tries, settings.longest_pause)
        self.max_redirects = settings.redirects
        self.hosts = Hosts()
        # Told of each connection that broke off in the middle of a body: its origin, and whether
        # an upstream had named it. Set by whoever opens connections ahead.
        self.on_loss: Callable[[str, bool], None] = _ignore
        self._carriers: WeakKeyDictionary[asyncio.Transport, Carrier] = WeakKeyDictionary()
        self.destinations = Destinations()
        # Who wants to see what is sent, None for nobody.
        self.watch: Watch | None = None
        tls = tls_context(settings)
        self._named = named_hosts(settings, tls)
        self._redirected = redirected_hosts(settings, tls)

    async def request(
        self,
        method: str,
        url: str,
        fields: Fields,
        *,
        body: bytes | None = None,
        redirected: bool = False,
        answer_within: float | None = None,
    ) -> Answer:
        """Ask an upstream; the answer's body is read as its chunks are taken.

        Args:
            method: GET, HEAD or POST.
            url: the address, sent byte for byte.
            fields: all fields but Host and framing.
            body: a form's body.
            redirected: an upstream named the address, so private ones are refused.
            answer_within: seconds for each try's connection and head, if not the owner's.

        Raises:
            UpstreamFailure: no answer came; it names host and cause.
        """
        if redirected:
            check_literal(url, self._settings.redirect_private)

        tries = itertools.count()

        async def ask() -> Answer:
            # Where one idle connection has been closed, the others may have been too.
            ANEW.set(next(tries) > 0)
            try:
                async with asyncio.timeout(answer_within or self._settings.answer_timeout or None):
                    return await self._request(method, url, fields, body, redirected)
            except TimeoutError as e:
                # Bytes may have come, but no whole head.
                raise failure(authority(url), _TOO_LATE, timed_out=True) from e

        if method not in ("GET", "HEAD"):
            return await ask()
        return await tried(
            ask, self._tries, may_pass=may_pass, asks_to_wait=_asks_to_wait, drop=discard
        )

    async def _request(
        self, method: str, url: str, fields: Fields, body: bytes | None, redirected: bool
    ) -> Answer:
        proxy = proxy_for(url)
        # Through a proxy the socket leads to the proxy, which may well be a private address.
        session = self._redirected if redirected and not proxy else self._named
        name = authority(url)
        host = self.hosts.of(name)
        ASKED.set(host)
        sent = self._sends(Sent(host, name, method, url, fields, purpose(), current()))
        try:
            with host.asked():
                response = await session.request(
                    method,
                    URL(url, encoded=True),
                    headers=list(fields),
                    data=body,
                    proxy=proxy,
                    allow_redirects=False,
                    read_bufsize=READ_BUFFER,
                    trace_request_ctx=sent,
                )
        except (aiohttp.ClientError, OSError, ValueError) as e:
            failed = explained(name, e)
            self._over(sent, str(failed), broken=fault_of(e))
            raise failed from e
        except BaseException:
            self._over(sent, cut=GIVEN_UP)
            raise
        self._answers(sent, response)
        if not 200 <= response.status <= 599:
            response.close()
            self._over(sent)
            raise failure(name, f"it answered with status {response.status}")
        host.carries(response)
        origin = str(response.url.origin())

        def over(error: str = "", cut: str = "", broken: Fault | None = None) -> None:
            self._over(sent, error, cut, broken)

        carrier = self._carrier(response)
        lost = partial(self.on_loss, origin, redirected)
        return answer_of(
            response, sent.answer, UpstreamBody(response, name, sent, over, carrier, lost)
        )

    def _carrier(self, response: aiohttp.ClientResponse) -> Carrier | None:
        """What a body comes over; None for one that has ended with its head."""
        transport = response.connection.transport if response.connection else None
        if transport is None:
            return None
        carrier = self._carriers.get(transport)
        if carrier is None:
            carrier = self._carriers[transport] = Carrier(transport)
        return carrier

    def _sends(self, sent: Sent) -> Sent:
        sent.story.requests += 1
        sent.story.upstream = sent.name
        if self.watch is not None:
            self.watch.asked(sent)
        return sent

    def _answers(self, sent: Sent, response: aiohttp.ClientResponse) -> None:
        sent.status = response.status
        sent.answer = fields_of(response)
        sent.story.waits(sent.asked, sent.gone)
        if self.watch is not None:
            self.watch.answered(sent)

    def _over(
        self, sent: Sent, error: str = "", cut: str = "", broken: Fault | None = None
    ) -> None:
        if sent.end:
            return
        sent.end = time.monotonic()
        sent.error, sent.cut, sent.broken = error, cut, broken
        if self.watch is not None:
            self.watch.ended(sent)

    async def touch(
        self, method: str, url: str, fields: Fields, *, redirected: bool, anew: bool = False
    ) -> None:
        """Ask once for what nobody wants: it leaves a connection open, a new one if `anew`.

        Raises:
            UpstreamFailure: no answer came.
        """
        if redirected:
            check_literal(url, self._settings.redirect_private)
        ANEW.set(anew)
        await discard(await self._request(method, url, fields, None, redirected))

    async def close(self) -> None:
        """End all connections."""
        await self._named.close()
        await self._redirected.close()


def _asks_to_wait(answer: Answer) -> str | None:
    if answer.status not in (502, 503, 504):
        return None
    return answer.get("Retry-After") or ""


def _ignore(_origin: str, _redirected: bool) -> None:
    pass
