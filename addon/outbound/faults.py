"""What upstreams do wrong, as the few kinds that an operator counts and acts upon."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """Why an upstream did not give what it was asked for."""

    DNS = "dns"
    CONNECT = "connect"  # refused, unreachable, or where no upstream may be
    TIMEOUT = "timeout"
    TLS = "tls"
    PROXY = "proxy"
    CLOSED = "closed"  # reset or closed, before an answer or within one
    CUT_SHORT = "cut_short"  # the body ended before its end
    NOT_HTTP = "not_http"
    LIMITED = "limited"  # 429
    SERVER = "server_error"  # 5xx
    OTHER = "other"


def fault_of_status(status: int) -> Fault | None:
    """What a status says of an upstream; None: nothing wrong, or the client's fault."""
    if status == 429:
        return Fault.LIMITED
    return Fault.SERVER if status >= 500 else None
