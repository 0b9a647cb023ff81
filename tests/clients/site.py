"""Where the clients pull: a test Hub, a mirror with TLS in front of it, and one without."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import trustme

from tests.clients.processes import becomes
from tests.hub import Hub, Image, Seen
from tests.hub.background import Background, in_background
from tests.running import Mirror, running_mirror

T = TypeVar("T")

# More than all tests together ask for: the limit is another test's matter.
PULLS = 100_000
BIG = 200_000_000


@dataclass(frozen=True)
class Site:
    hub: Hub
    mirror: Mirror
    """With TLS."""
    plain: Mirror
    """Plain HTTP, on loopback."""
    ca_file: Path
    """The authority of the mirror's certificate, not of the Hub's.

    A client knows no other, so what it pulls over TLS it has from the mirror and not from the Hub
    or its CDN.
    """

    def environ(self, folder: Path) -> dict[str, str]:
        """For a client that keeps its things in a folder and gets nowhere but to the mirrors.

        Some ask Docker Hub itself once its mirror refuses; what they would hear there differs from
        network to network. The mirror is nobody's proxy, so that way ends at once.
        """
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "HTTPS_PROXY": self.plain.url,
            "NO_PROXY": self.mirror.host,
        }

    @cached_property
    def big(self) -> Image:
        """An image with one layer of 200 MB, made once."""
        return self.hub.add_image("team/big", "1", [BIG])

    @contextmanager
    def watched(self) -> Iterator[list[Seen]]:
        """What reaches the Hub in the block, filled in and checked at its end."""
        seen: list[Seen] = []
        start = len(self.hub.requests)
        yield seen
        assert becomes(lambda: all(each.ended != "open" for each in self.hub.requests[start:]))
        seen += self.hub.requests[start:]
        assert_fit_for_hub(seen)


def assert_fit_for_hub(requests: list[Seen]) -> None:
    for seen in requests:
        assert "ns=" not in seen.target, seen.line
        assert not seen.asked.header("Cookie"), seen.line
        if seen.role == "cdn":
            # A signed address: the CDN refuses both, a header more and a byte changed.
            assert not seen.asked.header("Authorization"), seen.line
            assert seen.status in (200, 206), seen.line


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    hub = Hub()
    hub.settings.pull_limit = PULLS
    host = own_address()
    ca_file, chain, key = write_certificate(folder, host)
    with in_background(hub) as background:
        tls = running_mirror(
            hub, folder / "tls", host=host, certificate=(chain, key), ca_file=ca_file
        )
        plain = running_mirror(hub, folder / "plain")
        with entered(background, tls) as mirror, entered(background, plain) as plain_mirror:
            yield Site(hub, mirror, plain_mirror, ca_file)


@contextmanager
def entered(background: Background, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """An asynchronous block, in the Hub's thread."""

    async def enter() -> T:
        return await manager.__aenter__()

    async def leave() -> None:
        await manager.__aexit__(None, None, None)

    value = background.run(enter())
    try:
        yield value
    finally:
        background.run(leave())


def write_certificate(folder: Path, host: str) -> tuple[Path, Path, Path]:
    """CA, chain and key."""
    authority = trustme.CA(organization_name="the mirror's CA")
    leaf = authority.issue_cert(host)
    ca_file, chain, key = (folder / name for name in ("ca.pem", "chain.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca_file)
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    leaf.private_key_pem.write_to_path(key)
    return ca_file, chain, key


def own_address() -> str:
    """An address of this machine that is not loopback, if it has one.

    Docker does not check the certificate of a registry on 127.0.0.0/8.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: the kernel only chooses the address for one that is elsewhere.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
