"""The smallest addon that makes a pull work: mitmproxy itself forwards each request.

A redirect is handed to the client, led through the proxy, and so becomes a second flow. This is
what the mirror is compared with; it is loaded by mitmdump and imports nothing of the project.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from mitmproxy import http

TOKEN_SERVICE = os.environ.get("PLAIN_TOKEN_SERVICE", "https://auth.docker.io/token")
_REALM = re.compile(r'realm="[^"]*"')


class Plain:
    def request(self, flow: http.HTTPFlow) -> None:
        request = flow.request
        if request.path.startswith("/auth/token"):
            send_to(request, TOKEN_SERVICE + request.path.removeprefix("/auth/token"))
        elif request.path.startswith("/elsewhere/"):
            # The CDN refuses a request with a token beside its own signature.
            request.headers.pop("authorization", None)
            send_to(request, "https://" + request.path.removeprefix("/elsewhere/"))

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        headers = flow.response.headers
        host, port = flow.client_conn.sockname[:2]
        mirror = f"https://{host}:{port}"
        if "www-authenticate" in headers:
            realm = f'realm="{mirror}/auth/token"'
            headers["www-authenticate"] = _REALM.sub(realm, headers["www-authenticate"])
        if "location" in headers:
            target = headers["location"].removeprefix("https://")
            headers["location"] = f"{mirror}/elsewhere/{target}"


def send_to(request: http.Request, url: str) -> None:
    parts = urlsplit(url)
    request.host, request.port = parts.hostname or "", parts.port or 443
    request.path = f"{parts.path}?{parts.query}"
    request.host_header = parts.netloc


addons = [Plain()]
