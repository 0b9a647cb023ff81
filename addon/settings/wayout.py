"""What the owner says about the way out: whom to trust, how long to wait, how often to try."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from addon.outbound.networks import Networks, parse_networks
from addon.settings.option import Option, check_numbers

WAY_OUT = (
    Option(
        "docxy_redirect_private",
        str,
        "",
        "Networks (CIDR, separated by commas) that are not public and to which an upstream's"
        " redirect may lead all the same.",
    ),
    Option(
        "docxy_redirects",
        int,
        5,
        "Redirects that are followed for one request at most.",
        least=0,
    ),
    Option(
        "docxy_connections",
        int,
        512,
        "Connections to all hosts together that the owner's options name, and as many again to"
        " those that redirects name; more requests wait for one.",
        least=1,
    ),
    Option(
        "docxy_idle_time",
        int,
        60,
        "Seconds for which a connection to an upstream is kept while nothing is asked on it; those"
        " that are kept open are used after three quarters of that.",
        least=4,
    ),
    Option(
        "docxy_connect_timeout",
        int,
        10,
        "Seconds for a connection to an upstream, its TLS handshake included.",
        least=1,
    ),
    Option(
        "docxy_stall_timeout",
        int,
        30,
        "Seconds without a byte from an upstream after which it counts as failed, and is asked"
        " again where that may help.",
        least=1,
    ),
    Option(
        "docxy_answer_timeout",
        int,
        60,
        "Seconds for the whole head of an upstream's answer, its connection included, however"
        " slowly it comes (0: docxy_stall_timeout between two bytes is all).",
        least=0,
    ),
    Option(
        "docxy_tries",
        int,
        4,
        "Tries for a request that is refused, cut off or answered with 502, 503 or 504 before its"
        " first byte (1: it is not tried again).",
        least=1,
    ),
    Option(
        "docxy_longest_pause",
        int,
        5,
        "Seconds before a next try at most, for which an upstream's Retry-After is respected; an"
        " answer that asks for more is given on as it is.",
        least=0,
    ),
)


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """What the owner says about the way out. Times in seconds."""

    trusted_ca: str = ""
    trusted_confdir: str = ""
    insecure: bool = False
    redirect_private: Networks = field(default_factory=Networks)
    redirects: int = 5
    connections: int = 512
    idle_time: float = 60.0
    connect_timeout: float = 10.0
    stall_timeout: float = 30.0
    answer_timeout: float = 60.0
    tries: int = 4
    longest_pause: float = 5.0


def parse_way_out(values: Mapping[str, Any]) -> OutboundSettings:
    """What the options say, mitmproxy's own among them.

    Raises:
        ValueError: one is wrong; the message begins with its name.
    """
    check_numbers(WAY_OUT, values)
    try:
        private = parse_networks(values["docxy_redirect_private"])
    except ValueError as e:
        raise ValueError(f"docxy_redirect_private: {e}") from e
    return OutboundSettings(
        trusted_ca=expand(values["ssl_verify_upstream_trusted_ca"]),
        trusted_confdir=expand(values["ssl_verify_upstream_trusted_confdir"]),
        insecure=values["ssl_insecure"],
        redirect_private=private,
        redirects=values["docxy_redirects"],
        connections=values["docxy_connections"],
        idle_time=float(values["docxy_idle_time"]),
        connect_timeout=float(values["docxy_connect_timeout"]),
        stall_timeout=float(values["docxy_stall_timeout"]),
        answer_timeout=float(values["docxy_answer_timeout"]),
        tries=values["docxy_tries"],
        longest_pause=float(values["docxy_longest_pause"]),
    )


def expand(path: str | None) -> str:
    """A path with the owner's home in place of `~`."""
    # Unlike Path.expanduser this leaves `~` alone, and does not raise, where no home is known.
    return os.path.expanduser(path or "")
