"""Addresses: who may come in over plain HTTP, and where a redirect may lead.

Ranges: IANA's IPv4 and IPv6 special-purpose address registries (RFC 6890), said here in full
because `ipaddress`' own notion of private differs between Python versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Networks:
    """A list of networks that answers `address in networks`, IPv4-mapped IPv6 included."""

    networks: tuple[Network, ...] = ()

    def __contains__(self, address: Address) -> bool:
        plain = unmapped(address)
        return any(plain in network for network in self.networks)

    def __bool__(self) -> bool:
        return bool(self.networks)


def parse_networks(text: str) -> Networks:
    """Networks in CIDR form, separated by commas; a bare address is a network of one.

    Raises:
        ValueError: an entry is neither, or has bits set behind its prefix.
    """
    entries = [entry.strip() for entry in text.split(",")]
    return Networks(tuple(_network(entry) for entry in entries if entry))


def _network(entry: str) -> Network:
    try:
        return ip_network(entry)
    except ValueError as e:
        raise ValueError(f"{entry!r} is not a network such as 10.0.0.0/8 or fd00::/8 ({e})") from e


def _parsed(*networks: str) -> Networks:
    return Networks(tuple(ip_network(network) for network in networks))


def parse_address(text: str) -> Address:
    """An IP address; an IPv6 zone (`%eth0`) is dropped.

    Raises:
        ValueError: it is none.
    """
    return ip_address(text.partition("%")[0])


def unmapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped IPv6 one, all others as they are."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def subscriber(address: Address) -> Address:
    """What an address is counted as: itself, or the beginning of its /64 in IPv6.

    A /64 is what one subscriber has at least (RFC 6177), so its addresses cost nothing.
    """
    plain = unmapped(address)
    return IPv6Address(int(plain) >> 64 << 64) if isinstance(plain, IPv6Address) else plain


# Peers that plain HTTP is fit for: this machine and a local network.
_LOCAL = _parsed(
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)

# Where no CDN is. What is not here is on the Internet, or nowhere.
_NOT_PUBLIC = _parsed(
    "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for loopback
    "10.0.0.0/8",
    "100.64.0.0/10",  # shared by carriers (RFC 6598)
    "127.0.0.0/8",
    "169.254.0.0/16",  # link-local, and the clouds' metadata service
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",  # the relays of 6to4
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarks, and fake-IP resolvers
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",  # unspecified, loopback, IPv4-compatible
    "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765): what a translator has it mean
    "64:ff9b:1::/48",  # local NAT64: where the IPv4 address stands in it is anyone's choice
    "100::/64",
    "2001::/23",  # Teredo among them
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_local(address: Address) -> bool:
    """Whether a peer is this machine or on a private or link-local network."""
    return address in _LOCAL


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine and reached from nowhere else."""
    try:
        return parse_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_public(address: Address) -> bool:
    """Whether an address, and any IPv4 address embedded in it, is on the Internet."""
    return not any(form in _NOT_PUBLIC for form in _forms(address))


def may_redirect_to(address: Address, allowed: Networks) -> bool:
    """Whether a redirect may lead there: a public address, or one in an allowed network."""
    if any(form in allowed for form in _forms(address)):
        return True
    return is_public(address)


def _forms(address: Address) -> Iterable[Address]:
    """The address, and the IPv4 address that it stands for (RFC 4291 2.5.5, 6052, 3056)."""
    plain = unmapped(address)
    yield plain
    if not isinstance(plain, IPv6Address):
        return
    if plain in _NAT64:
        yield IPv4Address(int(plain) & 0xFFFFFFFF)
    if plain.sixtofour:
        yield plain.sixtofour
