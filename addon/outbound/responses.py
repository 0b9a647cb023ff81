"""aiohttp's responses as answers: the head in plain values, and the body as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import aiohttp

from addon.outbound.carrier import Carrier
from addon.outbound.causes import cause_of, fault_of
from addon.outbound.faults import Fault
from addon.outbound.received import Answer
from addon.outbound.sent import Sent
from addon.protocol.headers import Fields
from addon.protocol.reply import Body, BrokenTransfer

# Why a body ended that no upstream ended.
UNWANTED = "the rest was not wanted"


class Over(Protocol):
    """Told that a body has ended: broken off by its upstream, cut off here, or at its end."""

    def __call__(self, error: str = "", cut: str = "", broken: Fault | None = None) -> None:
        """It has ended."""


def fields_of(response: aiohttp.ClientResponse) -> Fields:
    """A response's fields as they came."""
    return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in response.raw_headers]


def answer_of(response: aiohttp.ClientResponse, fields: Fields, body: Body) -> Answer:
    """A response as an answer with its fields and this body."""
    length = _length(response)
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return Answer(
        status=response.status,
        fields=fields,
        length=length,
        closes_to_end=length is None and not chunked,
        body=body,
    )


def _length(response: aiohttp.ClientResponse) -> int | None:
    if "Transfer-Encoding" in response.headers:
        return None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


class UpstreamBody:
    """An upstream's body as it arrives."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        host: str,
        sent: Sent,
        over: Over,
        carrier: Carrier | None,
        lost: Callable[[], None],
    ) -> None:
        self._response = response
        self._host = host
        self._sent = sent
        self._over = over
        self._carrier = carrier
        self._lost = lost

    async def read(self) -> bytes:
        """What has arrived, or `BrokenTransfer` that says why nothing did."""
        if self._carrier:
            self._carrier.asked()
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as e:
            broken = f"upstream {self._host} broke off: {cause_of(e)}"
            self._over(error=broken, broken=fault_of(e))
            self._break()
            raise BrokenTransfer(broken) from e
        self._sent.bytes += len(chunk)
        if not chunk:
            self._over()
        if self._carrier:
            self._carrier.carried(len(chunk))
        return chunk

    def _break(self) -> None:
        if self._carrier:
            self._carrier = None
            self._lost()

    def close(self) -> None:
        """Give a connection back if the body was read to its end, close it if not."""
        self._over(cut="" if self._response.content.at_eof() else UNWANTED)
        self._response.close()
