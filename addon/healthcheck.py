"""Ask a mirror on this machine whether it answers: the check of its container.

A process of its own each time, so it loads little. The first address where somebody listens
decides: a mirror with a certificate speaks TLS on the one port, another plain HTTP on the other.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

SECONDS = 5.0


def is_healthy(addresses: Sequence[str], seconds: float = SECONDS) -> bool:
    """Whether the mirror behind one of these addresses, such as https://127.0.0.1:8443, answers.

    A certificate is not checked: it is for another name than an address of this machine.
    """
    for address in addresses:
        try:
            return _status(address, seconds) == 200
        except ConnectionRefusedError:
            continue
        except (OSError, http.client.HTTPException):
            return False
    return False


def _status(address: str, seconds: float) -> int:
    connection = _connection(address, seconds)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()


def _connection(address: str, seconds: float) -> http.client.HTTPConnection:
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=seconds, context=unchecked)


if __name__ == "__main__":
    sys.exit(not is_healthy(sys.argv[1:]))
