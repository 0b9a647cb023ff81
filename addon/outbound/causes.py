"""Why an upstream gave no answer, in words; never an address with a signature."""

from __future__ import annotations

import asyncio
import os

import aiohttp

from addon.outbound.faults import Fault
from addon.protocol.errors import UpstreamFailure, failure


def explained(host: str, error: Exception) -> UpstreamFailure:
    """The failure that an error of the HTTP client is."""
    timed_out = isinstance(error, asyncio.TimeoutError)
    return failure(host, cause_of(error), timed_out=timed_out)


def cause_of(error: Exception) -> str:
    """DNS, refused, TLS, time-out, in words."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "time-out while connecting"
        case TimeoutError():
            return "time-out, no byte came for too long"
        case aiohttp.ClientConnectorDNSError():
            return "the name cannot be resolved (DNS)"
        case aiohttp.ClientConnectorCertificateError():
            return f"its TLS certificate is not valid: {error.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return f"TLS failed: {error.os_error}"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy cannot be reached: {_reason(error.os_error)}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_reason(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the body ended too early"
        case aiohttp.ClientResponseError():
            return "its answer is not HTTP"
        case aiohttp.InvalidURL() | ValueError():
            return "the address is not valid"
        case OSError():
            return f"the connection broke: {error.strerror or type(error).__name__}"
    return type(error).__name__


def fault_of(error: Exception) -> Fault:
    """The same as one of the kinds that are counted."""
    match error:
        case TimeoutError():
            return Fault.TIMEOUT
        case aiohttp.ClientConnectorDNSError():
            return Fault.DNS
        case aiohttp.ClientSSLError():
            return Fault.TLS
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return Fault.PROXY
        case aiohttp.ClientConnectorError():
            return Fault.CONNECT
        case aiohttp.ClientPayloadError():
            return Fault.CUT_SHORT
        case aiohttp.ClientResponseError():
            return Fault.NOT_HTTP
        case OSError() | aiohttp.ServerDisconnectedError():
            return Fault.CLOSED
    return Fault.OTHER


def may_pass(error: BaseException) -> bool:
    """Refused, reset or closed before an answer: the next connection may fare better."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientSSLError | aiohttp.ClientConnectorDNSError):
        return False
    if isinstance(cause, aiohttp.ClientConnectorError):
        return isinstance(cause.os_error, ConnectionError)
    return isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


def _reason(error: OSError) -> str:
    # asyncio's own text names the address and leaves out the reason.
    return os.strerror(error.errno) if error.errno else str(error)
