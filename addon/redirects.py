"""A redirect followed inside the mirror: the client never sees the CDN.

Hub answers a blob with 307 and a presigned address, whose signature covers path and query byte
for byte and which refuses a request that also carries `Authorization`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from urllib.parse import urljoin, urlsplit

from addon.errors import UpstreamFailure, failure
from addon.headers import Fields, without_authorization
from addon.outbound import Answer, Outbound
from addon.registry import Registry, authority, same_origin
from addon.reply import BrokenTransfer

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
# Bytes and seconds for the page that a redirect comes with; Hub's has some 700 bytes.
MAX_PAGE = 16 * 1024
PAGE_SECONDS = 1.0

_URL_CHARACTERS = re.compile(r"[!-~]+")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


async def follow(
    outbound: Outbound, registry: Registry, method: str, url: str, fields: Fields
) -> Answer:
    """Ask a registry and follow its redirects to the answer that is none.

    Raises:
        UpstreamFailure: an upstream failed, or a redirect leads where none may.
    """
    answer = await outbound.request(method, url, fields)
    for _ in range(MAX_REDIRECTS):
        location = answer.get("Location")
        if answer.status not in REDIRECTS or not location:
            return answer
        await _discard(answer)
        target = resolve_target(registry, url, location)
        if not same_origin(target, registry.url):
            fields = without_authorization(fields)
        url = target
        redirected = not same_origin(url, registry.url)
        answer = await outbound.request(method, url, fields, redirected=redirected)
    if answer.status not in REDIRECTS:
        return answer
    await _discard(answer)
    raise failure(authority(url), f"more than {MAX_REDIRECTS} redirects")


async def _discard(answer: Answer) -> None:
    """Read a redirect's page: a connection is kept only once its answer has been read."""
    left = MAX_PAGE
    with contextlib.closing(answer.body), contextlib.suppress(TimeoutError, BrokenTransfer):
        async with asyncio.timeout(PAGE_SECONDS):
            while left > 0 and (chunk := await answer.body.read()):
                left -= len(chunk)


def resolve_target(registry: Registry, url: str, location: str) -> str:
    """Where a redirect leads, as the upstream wrote it.

    Raises:
        UpstreamFailure: it is no address, or leads away from https.
    """
    host = authority(url)
    if not _URL_CHARACTERS.fullmatch(location):
        raise failure(host, "its redirect holds characters that are not allowed")
    try:
        # An absolute address must arrive as it is; joining is for relative ones only.
        target = location if _ABSOLUTE.match(location) else urljoin(url, location)
    except ValueError as e:
        raise _no_address(host) from e
    target = target.partition("#")[0]
    _check_target(registry, host, target)
    return target


def _check_target(registry: Registry, host: str, target: str) -> None:
    try:
        parts = urlsplit(target)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as e:
        raise _no_address(host) from e
    if not has_host or "@" in parts.netloc:
        raise _no_address(host)
    if parts.scheme == "https" or (parts.scheme == "http" and registry.is_http):
        return
    raise failure(host, f"its redirect leads to {parts.scheme}://{parts.hostname}, not to https")


def _no_address(host: str) -> UpstreamFailure:
    return failure(host, "its redirect leads to no address")
