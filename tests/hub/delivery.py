"""Sends an answer, or as much of it as the fault of the moment lets through."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Literal

from aiohttp import web
from multidict import CIMultiDict

from .content import CHUNK
from .exchange import Answer
from .faults import Delivery
from .log import Seen

_PAUSE_SECONDS = 0.002
_BODILESS = (204, 304)


class BrokenOff(Exception):
    """The connection was ended on purpose."""


async def deliver(
    request: web.BaseRequest, answer: Answer, how: Delivery, seen: Seen
) -> web.StreamResponse:
    seen.status = answer.status
    if request.method == "HEAD" or answer.status in _BODILESS:
        response = _head(answer, Delivery())
        await response.prepare(request)
        return response
    if how.framing == "close":
        await _deliver_until_close(request, answer, how, seen)
        raise BrokenOff
    response = _head(answer, how)
    await response.prepare(request)
    for chunk in _body(answer, how.after):
        await response.write(chunk)
        seen.sent += len(chunk)
        # Otherwise nobody here would ever hear that the client has left.
        await asyncio.sleep(0)
    if how.after is not None:
        await end(request, how.end)
        raise BrokenOff
    await response.write_eof()
    return response


def _head(answer: Answer, how: Delivery) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=CIMultiDict(answer.headers))
    if how.framing == "chunked":
        response.enable_chunked_encoding()
    else:
        response.content_length = answer.body.size
    return response


def _body(answer: Answer, after: int | None) -> Iterator[bytes]:
    stop = answer.body.size if after is None else min(after, answer.body.size)
    for start in range(0, stop, CHUNK):
        yield answer.body.read(start, min(start + CHUNK, stop))


async def _deliver_until_close(
    request: web.BaseRequest, answer: Answer, how: Delivery, seen: Seen
) -> None:
    # aiohttp frames whatever it sends over HTTP/1.1, so this one is written by hand.
    transport = _transport(request)
    reason = HTTPStatus(answer.status).phrase
    lines = [f"HTTP/1.1 {answer.status} {reason}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    transport.write("\r\n".join([*lines, "", ""]).encode())
    for chunk in _body(answer, how.after):
        transport.write(chunk)
        seen.sent += len(chunk)
        await asyncio.sleep(0)  # as above
        await _until(lambda: transport.get_write_buffer_size() <= CHUNK or transport.is_closing())
        _transport(request)  # none where the client has left
    if how.after is None:
        seen.ended = "whole"
    await end(request, how.end)


async def end(request: web.BaseRequest, how: Literal["fin", "rst", "stall"]) -> None:
    """End the connection once what was written has arrived; a stall lasts until it is closed."""
    transport = _transport(request)
    if how == "stall":
        # The handler is cancelled when the client leaves or the Hub closes.
        await asyncio.Event().wait()
    if how == "fin":
        transport.close()
        return
    raw: socket.socket = transport.get_extra_info("socket")
    await _until(
        lambda: transport.is_closing() or not (transport.get_write_buffer_size() or _unsent(raw))
    )
    # Without this the kernel would send a FIN although the connection is aborted.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _transport(request: web.BaseRequest) -> asyncio.Transport:
    if request.transport is None:
        raise ConnectionResetError("the client has left")
    return request.transport


async def _until(condition: Callable[[], bool]) -> None:
    # A transport tells its protocol when the buffer is empty, and the protocol is aiohttp's.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(_PAUSE_SECONDS)


def _unsent(raw: socket.socket) -> int:
    buffer = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(4))
    return int(struct.unpack("i", buffer)[0])
