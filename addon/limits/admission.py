"""Who is served, and what: the whole mirror, or only what plain HTTP is fit for.

Plain HTTP shows tokens and passwords to everyone on the way, so it is for this machine, for a
private network while there is no certificate, and for a proxy in front that ends TLS itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from addon.outbound.networks import (
    Address,
    Networks,
    is_local,
    parse_address,
    parse_networks,
    unmapped,
)
from addon.protocol.errors import Refusal


class Admission(Enum):
    """What a connection is good for."""

    MIRROR = auto()
    REDIRECT = auto()  # health, the authority's challenge, and a redirect to https


@dataclass(frozen=True, slots=True)
class Door:
    """How the mirror is reached: its certificate and the proxies in front of it."""

    has_certificate: bool = False
    behind_proxy: Networks = field(default_factory=Networks)

    def admit(self, peer: Address, *, tls: bool) -> Admission:
        """What a peer is served over this connection.

        Raises:
            Refusal: 403, nothing at all.
        """
        # Without a certificate of the owner's, mitmproxy's own TLS proves nothing to anybody.
        if (tls and self.has_certificate) or peer in self.behind_proxy:
            return Admission.MIRROR
        if self.has_certificate:
            return Admission.REDIRECT
        if self.behind_proxy:
            raise Refusal(403, "DENIED", "only the proxies in docxy_behind_proxy are served")
        if not is_local(peer):
            raise Refusal(
                403,
                "DENIED",
                "without a certificate this mirror serves loopback and private addresses only",
            )
        return Admission.MIRROR


def client_address(peer: Address, forwarded_for: Sequence[str], trusted: Networks) -> Address:
    """The client's address: the last one in `X-Forwarded-For` that is no trusted proxy.

    Only what a trusted peer says counts. An entry that is no address ends the search at the last
    good one, because everything before it may be made up.
    """
    if peer not in trusted:
        return peer
    client = peer
    entries = [entry.strip() for field in forwarded_for for entry in field.split(",")]
    for entry in reversed(entries):
        try:
            client = parse_address(_without_port(entry))
        except ValueError:
            return client
        if client not in trusted:
            return client
    return client


def parse_allowed(text: str) -> Networks:
    """The networks whose clients are served, everybody's where nothing is said.

    Raises:
        ValueError: an entry is no network, or there is none between the commas: a slip must not
            open a mirror to everyone.
    """
    allowed = parse_networks(text)
    if text.strip() and not allowed:
        raise ValueError(f"{text!r} names no network")
    return allowed


def check_allowed(client: Address, allowed: Networks) -> None:
    """Refuse a client whose address is not in a list that says something.

    Loopback is no exception: whatever passes TCP on from this machine itself (a container engine's
    port, a tunnel) makes strangers look like it.

    Raises:
        Refusal: 403.
    """
    if allowed and client not in allowed:
        raise Refusal(
            403,
            "DENIED",
            f"this mirror does not serve {unmapped(client)}; whoever runs it can add the address"
            " to docxy_allow",
        )


def _without_port(entry: str) -> str:
    """`192.0.2.1:80` and `[2001:db8::1]:80` without the port that some proxies add."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    if entry.count(":") == 1:
        return entry.partition(":")[0]
    return entry
