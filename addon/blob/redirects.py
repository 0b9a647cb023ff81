"""A redirect followed inside the mirror: the client never sees the CDN.

Hub answers a blob with 307 and a presigned address, whose signature covers path and query byte
for byte and which refuses a request that also carries `Authorization`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urljoin, urlsplit

from cachetools import LRUCache

from addon.memory.sharing import BlobKey
from addon.outbound.outbound import Outbound
from addon.outbound.received import Answer, discard
from addon.protocol.errors import UpstreamFailure, failure
from addon.protocol.headers import Fields, without_authorization
from addon.protocol.registry import Registry, authority, same_origin

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Seconds before its end that an address is asked for anew.
MARGIN = 30.0

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
    followed: int = 0,
    answer_within: float | None = None,
) -> Followed:
    """Ask an address and follow its redirects to the answer that is none.

    Args:
        outbound: the way out.
        registry: whose content it is.
        method: GET or HEAD.
        url: the address.
        fields: what it is shown.
        followed: redirects that led to it already.
        answer_within: seconds for each answer, if that is less than the owner said.

    Raises:
        UpstreamFailure: an upstream failed, or a redirect leads where none may.
    """
    for _ in range(outbound.max_redirects - followed + 1):
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
    raise failure(authority(url), f"more than {outbound.max_redirects} redirects")


class Redirects:
    """Where blobs are, as long as the presigned addresses hold; kept by method."""

    def __init__(
        self,
        entries: int,
        now: Callable[[], float] = time.time,
        longest: float = 86400.0,
        unknown: float = 60.0,
    ) -> None:
        """Keep at most so many.

        Args:
            entries: how many.
            now: the wall clock, which the addresses speak of.
            longest: seconds that one is kept at most, whatever it says of its end. Hub's hold for
                20 minutes, S3's for a week at most.
            unknown: seconds that one is kept that says nothing of its end.
        """
        self._longest = longest
        self._unknown = unknown
        self._kept: LRUCache[tuple[BlobKey, str], tuple[str, float]] = LRUCache(entries)
        self._now = now

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def held(self) -> int:
        """Bytes of the addresses that are kept."""
        return sum(len(url) for url, _ in self._kept.values())

    def get(self, key: BlobKey, method: str) -> str | None:
        """The address, if one holds."""
        kept = self._kept.get((key, method))
        if kept is None or kept[1] <= self._now():
            return None
        return kept[0]

    def keep(self, key: BlobKey, method: str, url: str) -> None:
        """Note where a blob is."""
        now = self._now()
        end = expires_at(url)
        until = now + self._unknown if end is None else min(end, now + self._longest) - MARGIN
        self._kept[key, method] = (url, until)

    def forget(self, key: BlobKey, method: str) -> None:
        """It does not hold."""
        self._kept.pop((key, method), None)

    def drop(self, audience: str, repository: str) -> None:
        """Forget all of a repository."""
        for kept in [kept for kept in self._kept if kept[0].is_of(audience, repository)]:
            del self._kept[kept]


def expires_at(url: str) -> float | None:
    """When a presigned address ends, in seconds since 1970; None where it does not say.

    CloudFront says `Expires=<seconds since 1970>`, S3 and its kin `X-Amz-Date` and
    `X-Amz-Expires=<seconds>`.
    """
    try:
        return _end(dict(parse_qsl(urlsplit(url).query)))
    except (KeyError, ValueError, OverflowError):
        return None


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
