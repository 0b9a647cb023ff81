"""A redirect followed inside the mirror: the client never sees the CDN.

Hub answers a blob with 307 and a presigned address, whose signature covers path and query byte
for byte and which refuses a request that also carries `Authorization`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urljoin, urlsplit

from cachetools import LRUCache

from addon.errors import UpstreamFailure, failure
from addon.headers import Fields, without_authorization
from addon.outbound import Answer, Outbound, discard
from addon.registry import Registry, authority, same_origin

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
# Seconds before its end that an address is asked for anew, and that one without an end is kept.
MARGIN = 30.0
UNKNOWN_LIFETIME = 60.0
# Whatever an address says; Hub's hold for 20 minutes, S3's for a week at most.
LONGEST_LIFETIME = 24 * 3600.0

_URL_CHARACTERS = re.compile(r"[!-~]+")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Followed:
    """The answer at the end of the redirects, and the address that gave it."""

    answer: Answer
    url: str


async def follow(
    outbound: Outbound,
    registry: Registry,
    method: str,
    url: str,
    fields: Fields,
    *,
    at_most: int = MAX_REDIRECTS,
    answer_within: float | None = None,
) -> Followed:
    """Ask an address and follow so many of its redirects to the answer that is none.

    Each has to answer within so many seconds, if that is less than the owner said.

    Raises:
        UpstreamFailure: an upstream failed, or a redirect leads where none may.
    """
    for _ in range(at_most + 1):
        is_registry = same_origin(url, registry.url)
        if not is_registry:
            # For good: who is redirected back to the registry has been elsewhere.
            fields = without_authorization(fields)
        answer = await outbound.request(
            method, url, fields, redirected=not is_registry, answer_within=answer_within
        )
        location = answer.get("Location")
        if answer.status not in REDIRECTS or not location:
            if not is_registry and answer.status < 400:
                outbound.destinations.note(registry.url, url)
            return Followed(answer, url)
        await discard(answer)
        url = resolve_target(registry, url, location)
    raise failure(authority(url), f"more than {MAX_REDIRECTS} redirects")


class Redirects:
    """Where blobs are, as long as the presigned addresses hold; kept by method."""

    def __init__(self, entries: int, now: Callable[[], float] = time.time) -> None:
        """Keep at most so many; `now` is the wall clock, which the addresses speak of."""
        self._kept: LRUCache[tuple[Hashable, str], tuple[str, float]] = LRUCache(entries)
        self._now = now

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, method: str) -> str | None:
        """The address, if one holds."""
        kept = self._kept.get((key, method))
        if kept is None or kept[1] <= self._now():
            return None
        return kept[0]

    def keep(self, key: Hashable, method: str, url: str) -> None:
        """Note where a blob is."""
        self._kept[key, method] = (url, expires_at(url, self._now()))

    def forget(self, key: Hashable, method: str) -> None:
        """It does not hold."""
        self._kept.pop((key, method), None)

    def drop(self, is_meant: Callable[[Hashable], bool]) -> None:
        """Forget all whose key is meant."""
        for kept in [kept for kept in self._kept if is_meant(kept[0])]:
            del self._kept[kept]


def expires_at(url: str, now: float) -> float:
    """Until when a presigned address may be used again, in seconds since 1970.

    CloudFront says `Expires=<seconds since 1970>`, S3 and its kin `X-Amz-Date` and
    `X-Amz-Expires=<seconds>`; of any other address nothing is known.
    """
    try:
        return min(_end(dict(parse_qsl(urlsplit(url).query))), now + LONGEST_LIFETIME) - MARGIN
    except (KeyError, ValueError, OverflowError):
        return now + UNKNOWN_LIFETIME


def _end(query: dict[str, str]) -> float:
    if "Expires" in query:
        return _seconds(query["Expires"])
    signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed.timestamp() + _seconds(query["X-Amz-Expires"])


def _seconds(text: str) -> float:
    """Digits alone: a float may also be infinite, or no number, which never ends."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is no number of seconds")
    return float(text)


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
