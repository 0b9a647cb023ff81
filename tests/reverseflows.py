"""mitmproxy's flows as a reverse proxy has them, without a socket."""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.proxy import mode_specs
from mitmproxy.test import tflow, tutils


def make_flow(
    method: str = "GET", path: str = "/v2/", fields: dict[str, str] | None = None
) -> http.HTTPFlow:
    headers = http.Headers([(n.encode(), v.encode()) for n, v in (fields or {}).items()])
    request = tutils.treq(
        method=method.encode(), path=path.encode(), headers=headers, content=None, authority=b""
    )
    flow = tflow.tflow(req=request)
    flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse("reverse:https://registry.example")
    flow.client_conn.sockname = ("127.0.0.1", 8080)
    flow.live = True
    return flow
