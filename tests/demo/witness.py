"""Loaded by mitmdump beside the mirror: one line for each request, for a demo that stays."""

from __future__ import annotations

import json
import time

from mitmproxy import http

from addon.flows.exchange import ASKED


class Witness:
    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        length = flow.response.headers.get("content-length", "")
        has_length = length.isdigit() and flow.request.method != "HEAD"
        self._say(flow, flow.response.status_code, int(length) if has_length else None)

    def error(self, flow: http.HTTPFlow) -> None:
        self._say(flow, None, None)

    def _say(self, flow: http.HTTPFlow, status: int | None, size: int | None) -> None:
        request = flow.request
        # The flow itself shows the upstream's address.
        target = flow.metadata.get(ASKED, request.path)
        agent = request.headers.get("user-agent", "")
        times = (request.timestamp_start, time.time())
        print("demo:", json.dumps([agent, request.method, target, status, size, *times]))


addons = [Witness()]
