"""Five failures that a person meets, made on the test Hub, and where the cause is to be seen.

The guide (docs/failures.md) has a picture of each, made by `pictures.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.e2e.client import ask, bearer, shake_hands
from tests.hub import Hub
from tests.hub.faults import Delivery
from tests.hub.media_types import OCI_MANIFEST
from tests.running import Mirror

# What the mirror was told that clients call it; nobody reaches it there.
PUBLIC_URL: Final = "https://mirror.example.com:8443"
PULL_LIMIT: Final = 3
LAYER: Final = 3_000_000
BROKEN_AT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Failure:
    """How one is made, and what of it is shown."""

    name: str
    make: Callable[[Mirror, Hub], Awaitable[None]]
    shown: Sequence[str]
    """What a person reads on the page."""
    path: str = ""
    """Of the flow that is chosen, which the last one of these is; none: the list alone."""
    search: str = ""
    """A filter of mitmproxy's for the list."""
    in_log: bool = False
    """Whether it is no flow, and stands in the log."""


async def manifest(mirror: Mirror, name: str, tag: str = "latest") -> None:
    """Ask for it as an engine does, whatever comes."""
    token = await bearer(mirror, name)
    await ask(mirror, f"/v2/{name}/manifests/{tag}", headers={**token, "Accept": OCI_MANIFEST})


async def no_token(mirror: Mirror, _hub: Hub) -> None:
    """Docker pings, is sent to where nobody listens, and begins anew."""
    for _ in range(4):
        await ask(mirror, "/v2/")


async def wrong_name(mirror: Mirror, hub: Hub) -> None:
    """One word is an official image's name, which grafana is not; and a slip in a tag."""
    hub.add_image("library/alpine")
    await manifest(mirror, "grafana")
    await manifest(mirror, "alpine", "lastest")


async def rate_limit(mirror: Mirror, hub: Hub) -> None:
    """One pull more than are allowed."""
    hub.settings.pull_limit = PULL_LIMIT
    names = ("redis", "nginx", "postgres", "python")
    for name in names:
        hub.add_image(f"library/{name}")
    for name in names:
        await manifest(mirror, name)


async def broken_blob(mirror: Mirror, hub: Hub) -> None:
    """A connection to the CDN that breaks at one byte, again and again."""
    image = hub.add_image("library/mysql", layers=[LAYER], compression=None)
    (layer,) = image.manifest.layers
    hub.cdn.faults.add(Delivery(after=BROKEN_AT, end="rst"), path=layer.digest[7:], times=1)
    hub.cdn.faults.add(Delivery(after=0, end="rst"), path=layer.digest[7:], skip=1)
    token = await bearer(mirror, "mysql")
    await ask(mirror, f"/v2/mysql/blobs/{layer.digest}", headers=token)


async def untrusted(mirror: Mirror, _hub: Hub) -> None:
    """A client that knows nothing of the authority."""
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLCertVerificationError):
        await asyncio.to_thread(shake_hands, mirror, context, "mirror.example.com")
    await mirror.log_line("does not trust the certificate")


FAILURES: Final = (
    Failure(
        "no-token",
        no_token,
        (f"ping · answered by the mirror · to fetch a token at {PUBLIC_URL}/auth/token",),
        path="/v2/",
    ),
    Failure(
        "wrong-name",
        wrong_name,
        (
            "refused the credentials: insufficient_scope, the image is private or does not exist"
            " · grafana:latest → library/grafana",
            "answered 404: MANIFEST_UNKNOWN, the repository has no manifest of this tag or digest"
            " · alpine:lastest → library/alpine",
        ),
        path="/manifests/",
        search="~u /manifests/",
    ),
    Failure(
        "rate-limit",
        rate_limit,
        ("TOOMANYREQUESTS", f"pull limit 0 of {PULL_LIMIT}", "python:latest → library/python"),
        path="/manifests/",
        search="~u /manifests/",
    ),
    Failure(
        "broken-blob",
        broken_blob,
        ("failed: ", "mysql@sha256:"),
        path="/blobs/",
        search="~u /mysql/ | ~u /blobs/",
    ),
    Failure(
        "untrusted",
        untrusted,
        ("127.0.0.1 does not trust the certificate", "it does not know who signed it"),
        in_log=True,
    ),
)
