"""An HTTP/1.1 client that sends what it is told, byte for byte, and says how the answer ended."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from multidict import CIMultiDict

_SECONDS = 10
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RawAnswer:
    status: int
    """0: the connection ended with no head."""
    headers: CIMultiDict[str]
    body: bytes
    """Without the chunks' framing."""
    ended: Literal["whole", "short", "reset"]
    """`short`: the connection was closed before the body's end."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of the first error in an OCI error body."""
        return str(self.json["errors"][0]["code"])


async def ask(
    url: str,
    target: str | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> RawAnswer:
    """One request over one connection of its own.

    Args:
        url: the address; its path and query are the target, unless there is another.
        target: what stands in the request line.
        method: any.
        headers: beside Host, Connection and Content-Length.
        body: of the request.
        tls: for an https address.
    """
    at = urlsplit(url)
    if target is None:
        target = url.removeprefix(f"{at.scheme}://{at.netloc}") or "/"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {at.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"Content-Length: {len(body)}"] if body else []
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(at.hostname, at.port, ssl=tls)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            data, reset = await _read(reader)
        finally:
            writer.transport.abort()
    return _parse(data, method, reset=reset)


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    data = bytearray()
    try:
        while chunk := await reader.read(_CHUNK):
            data += chunk
    except ConnectionResetError:
        return bytes(data), True
    return bytes(data), False


def _parse(data: bytes, method: str, *, reset: bool) -> RawAnswer:
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head:
        return RawAnswer(0, CIMultiDict(), b"", "reset" if reset else "short")
    first, *lines = head.decode().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = CIMultiDict((name, value.strip()) for name, _, value in pairs)
    status = int(first.split()[1])
    body, whole = _unframe(rest, headers, empty=method == "HEAD" or status in (204, 304))
    ended: Literal["whole", "short", "reset"] = "reset" if reset else "short"
    return RawAnswer(status, headers, body, "whole" if whole and not reset else ended)


def _unframe(rest: bytes, headers: CIMultiDict[str], *, empty: bool) -> tuple[bytes, bool]:
    if empty:
        return rest, not rest
    if headers.get("Transfer-Encoding") == "chunked":
        return _unchunk(rest)
    return rest, len(rest) == int(headers.get("Content-Length", len(rest)))


def _unchunk(rest: bytes) -> tuple[bytes, bool]:
    body = bytearray()
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not size:
            return bytes(body), False
        length = int(size, 16)
        if length == 0:
            return bytes(body), rest == b"\r\n"
        body += rest[:length]
        rest = rest[length + 2 :]
