"""Reads one large blob and drops it, in a process of its own: cheap, and checked all the same.

`python -m tests.bench.reader URL CA TOKEN [SECONDS]` prints what came as JSON; it stops after so
many seconds.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import sys
import time
from urllib.parse import urlsplit

BUFFER = 1024 * 1024


def read(url: str, ca: str, token: str, at_most: str = "inf") -> dict[str, object]:
    """Follow redirects, and read to the end."""
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    context = ssl.create_default_context(cafile=ca)
    while True:
        at = urlsplit(url)
        connection = http.client.HTTPSConnection(at.netloc, context=context)
        connection.request("GET", url.removeprefix(f"https://{at.netloc}"), headers=headers)
        response = connection.getresponse()
        location = response.getheader("Location")
        if response.status not in (302, 303, 307, 308) or not location:
            break
        if urlsplit(location).netloc != at.netloc:
            headers = {}
        url = location
    buffer, digest, count = memoryview(bytearray(BUFFER)), hashlib.sha256(), 0
    # A slow line gives a large buffer back only when it is full.
    read_some = response.readinto1 if at_most != "inf" else response.readinto
    while (length := read_some(buffer)) > 0:
        digest.update(buffer[:length])
        count += length
        if time.monotonic() - began > float(at_most):
            break
    seconds = time.monotonic() - began
    return {
        "status": response.status,
        "bytes": count,
        "digest": f"sha256:{digest.hexdigest()}",
        "seconds": seconds,
    }


if __name__ == "__main__":
    print(json.dumps(read(*sys.argv[1:5])))
