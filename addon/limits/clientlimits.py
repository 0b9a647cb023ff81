"""How much one client, and all of them together, may take: against a network that is hostile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from addon.limits.crowd import CrowdLimits
from addon.limits.ratelimit import Rate
from addon.settings.option import Option, check_numbers

CLIENT_LIMITS = (
    Option(
        "docxy_client_connections",
        int,
        1024,
        "Connections of clients at most, and of the files that the process may open half; the one"
        " that has waited longest for a request makes room, and requests run on fifteen sixteenths"
        " of them (0: no limit).",
        least=0,
    ),
    Option(
        "docxy_address_connections",
        int,
        256,
        "Connections from one address at most, an IPv6 /64 counting as one, and a proxy in"
        " docxy_behind_proxy not at all; the one that has waited longest makes room (0: no limit).",
        least=0,
    ),
    Option(
        "docxy_address_requests",
        int,
        200,
        "Requests a second from one address, counted as above but behind a proxy for the client;"
        " a new connection counts as one (0: no limit).",
        least=0,
    ),
    Option(
        "docxy_address_burst",
        int,
        10000,
        "Requests from one address that may come at once, before docxy_address_requests holds.",
        least=1,
    ),
    Option(
        "docxy_head_timeout",
        int,
        30,
        "Seconds from a connection to the end of its first request, TLS handshake included"
        " (0: mitmproxy's ten minutes).",
        least=0,
    ),
    Option(
        "docxy_client_idle_time",
        int,
        300,
        "Seconds from an answer to the end of the next request on the same connection"
        " (0: mitmproxy's ten minutes).",
        least=0,
    ),
    Option(
        "docxy_client_timeout",
        int,
        60,
        "Seconds in which a client takes no byte of what is sent to it, after which its connection"
        " is ended (0: mitmproxy's ten minutes).",
        least=0,
    ),
)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """All of them, checked."""

    crowd: CrowdLimits = field(default_factory=CrowdLimits)
    rate: Rate = field(default_factory=Rate)


def parse_client_limits(values: Mapping[str, Any]) -> ClientLimits:
    """The limits that the options say.

    Raises:
        ValueError: one is too low; the message begins with its name.
    """
    check_numbers(CLIENT_LIMITS, values)
    return ClientLimits(
        crowd=CrowdLimits(
            connections=values["docxy_client_connections"],
            of_address=values["docxy_address_connections"],
            head_seconds=float(values["docxy_head_timeout"]),
            idle_seconds=float(values["docxy_client_idle_time"]),
            stall_seconds=float(values["docxy_client_timeout"]),
        ),
        rate=Rate(values["docxy_address_requests"], values["docxy_address_burst"]),
    )
