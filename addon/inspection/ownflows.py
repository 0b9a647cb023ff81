"""What the mirror sends, as flows of their own: nothing goes out unseen.

mitmproxy makes flows of what clients send. For each request of the mirror's own one is made here,
and its hooks are called as if it had come by, so that View, Save and whoever else looks at flows
see it. It is not live: addons that would change a request leave it alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from urllib.parse import urlsplit

from mitmproxy import connection, ctx, flow, hooks, http
from mitmproxy.proxy.layers.http import (  # type: ignore[attr-defined]
    HttpErrorHook,
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)

from addon.flows.telling import sent_facts, sent_line
from addon.mitm.inner import phrase
from addon.outbound.sent import Sent
from addon.protocol.headers import Fields
from addon.protocol.registry import authority
from addon.redaction.redaction import redact_own_fields, redact_own_url

# The key of what is told of such a flow: `~meta docxy_sent` finds them all.
SENT = "docxy_sent"
# Whose they are, where mitmproxy shows a client's address.
PEER = ("docxy", 0)
OWN_MARK = ":gear:"
FAILED_MARK = ":red_circle:"
PORTS = {"http": 80, "https": 443}


class OwnFlows:
    """A flow for each request of the mirror's own, handed to all addons in the order of events."""

    def __init__(self) -> None:
        self._flows: dict[Sent, http.HTTPFlow] = {}
        self._waiting: deque[hooks.Hook] = deque()
        self._task: asyncio.Task[None] | None = None
        self._client = connection.Client(peername=PEER, sockname=PEER)

    def __len__(self) -> int:
        return len(self._flows)

    def asked(self, sent: Sent) -> None:
        """A request is about to be sent."""
        made = to_flow(sent, self._client)
        self._flows[sent] = made
        self._hand_on(HttpRequestHeadersHook(made), HttpRequestHook(made))

    def answered(self, sent: Sent) -> None:
        """Its answer's head is here."""
        made = self._flows.get(sent)
        if made:
            made.response = to_response(sent)
            _tell(made, sent)
            self._hand_on(HttpResponseHeadersHook(made))

    def ended(self, sent: Sent) -> None:
        """It is over."""
        made = self._flows.pop(sent, None)
        if made is None:
            return
        _tell(made, sent)
        if made.response and not sent.error:
            made.response.timestamp_end = sent.since_1970(sent.end)
            self._hand_on(HttpResponseHook(made))
        else:
            made.error = flow.Error(sent.error or sent.cut, sent.since_1970(sent.end) or 0.0)
            self._hand_on(HttpErrorHook(made))

    def done(self) -> None:
        """The mirror ends."""
        if self._task:
            self._task.cancel()

    def _hand_on(self, *events: hooks.Hook) -> None:
        self._waiting.extend(events)
        if self._task is None or self._task.done():
            # What addons do is no part of what the request is sent for.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def _run(self) -> None:
        # Eager tasks (mitmproxy 12) begin at once, in the middle of whatever sends the request.
        await asyncio.sleep(0)
        while self._waiting:
            event = self._waiting.popleft()
            await ctx.master.addons.handle_lifecycle(event)
            await _let_go(event.args()[0])


async def _let_go(made: http.HTTPFlow) -> None:
    """Hold back nothing that has gone out already, whatever is to be intercepted."""
    if made.intercepted:
        made.resume()  # type: ignore[no-untyped-call]
        await ctx.master.addons.trigger_event(hooks.UpdateHook([made]))


def to_flow(sent: Sent, client: connection.Client) -> http.HTTPFlow:
    """A request of the mirror's own as a flow; it holds no body, and no secret."""
    parts = urlsplit(sent.url)
    address = (parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0))
    server = connection.Server(address=address)
    server.tls = parts.scheme == "https"
    made = http.HTTPFlow(client, server)
    made.timestamp_created = sent.began
    made.request = http.Request(
        host=address[0],
        port=address[1],
        method=sent.method.encode(),
        scheme=parts.scheme.encode(),
        authority=b"",
        path=_path(sent.url).encode("latin-1", "replace"),
        http_version=b"HTTP/1.1",
        headers=_headers([("Host", authority(sent.url)), *sent.fields]),
        content=b"",
        trailers=None,
        timestamp_start=sent.began,
        timestamp_end=None,
    )
    _tell(made, sent)
    return made


def to_response(sent: Sent) -> http.Response:
    """The head of its answer."""
    response = http.Response.make(sent.status)
    response.headers = _headers(sent.answer)  # not above, where a length of 0 would be noted
    response.reason = phrase(sent.status)
    response.raw_content = None
    response.timestamp_start = sent.since_1970(sent.head) or sent.began
    response.timestamp_end = None
    return response


def _tell(made: http.HTTPFlow, sent: Sent) -> None:
    made.request.timestamp_end = sent.since_1970(sent.gone)
    made.metadata[SENT] = sent_facts(sent)
    made.comment = sent_line(sent)
    made.marked = FAILED_MARK if sent.has_failed else OWN_MARK


def _path(url: str) -> str:
    rest = redact_own_url(url).partition("://")[2]
    return f"/{rest.partition('/')[2]}"


def _headers(fields: Fields) -> http.Headers:
    shown = redact_own_fields(fields)
    return http.Headers([(n.encode("latin-1"), v.encode("latin-1")) for n, v in shown])
