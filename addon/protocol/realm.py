"""The mirror's own address, as clients are told it: the base of the realm.

Never from `Host` or `X-Forwarded-*`: whoever could set these would choose where clients send
their passwords.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from addon.outbound.networks import parse_address, unmapped
from addon.protocol.routes import TOKEN_PATH

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"{_NAME}|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a client came in: the local socket, and the SNI name where the certificate has it."""

    host: str
    port: int
    tls: bool
    server_name: str = ""

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a slash at the end; default ports are left out."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{_authority(scheme, self.server_name or self.host, self.port)}"


def realm(public_url: str, entrance: Entrance) -> str:
    """The address of the token service on the mirror."""
    return (public_url or entrance.base_url) + TOKEN_PATH


def is_host_name(text: str) -> bool:
    """Whether it may stand for a host in an address; a wildcard covers more than that."""
    return bool(re.fullmatch(_NAME, text))


def parse_public_url(text: str) -> str:
    """The mirror's public address: scheme, host and perhaps a port, without a slash at the end.

    Raises:
        ValueError: it is no such address; a path, a query or a user have no place in it.
    """
    if not text:
        return ""
    parts = urlsplit(text)
    wanted = "an address such as https://mirror.example.com"
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{text!r} does not begin with https:// or http://; expected {wanted}")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text!r} has more than scheme, host and port; expected {wanted}")
    port = parts.port  # raises ValueError where it is no number
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if port == 0 or not _HOST.fullmatch(host):
        raise ValueError(f"{text!r} has no valid host or port; expected {wanted}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _authority(scheme: str, host: str, port: int) -> str:
    shown = _bracketed(host)
    return shown if _DEFAULT_PORTS[scheme] == port else f"{shown}:{port}"


def _bracketed(host: str) -> str:
    try:
        address = unmapped(parse_address(host))
    except ValueError:
        return host
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)
