"""mitmproxy's hooks: a flow in, the mirror's answer out.

Hooks never wait. What takes time is a reply that the inner connection asks for, so a client that
leaves cancels it, and what a client sends meanwhile does not pile up behind a hook.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import replace

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import layer, mode_specs, server_hooks
from mitmproxy.proxy.layers import modes

from addon.answering.answering import Answering, Pending, internal_error
from addon.flows.account import Listener
from addon.flows.endings import account_of, tell_refused
from addon.flows.exchange import ASKED, Exchange
from addon.flows.messages import Sink, client_of, may_have_body, name_host, to_incoming, to_response
from addon.flows.replays import is_edited, is_replayed, refuse_own, to_replayed, true_target
from addon.flows.story import Source, Story, tell
from addon.inspection.ownflows import SENT
from addon.log.requestlog import log_account
from addon.mitm.inner import PORT, InnerConnections, Opening
from addon.mitm.wire import client_stack, close_left_open
from addon.protocol.descriptors import CONFIG_TYPES
from addon.protocol.form import Form, drop
from addon.protocol.reply import Reply
from addon.protocol.routes import TOKEN_PATH
from addon.redaction.records import (
    Hidden,
    Recorder,
    conceal_again,
    conceal_error,
    conceal_request,
    conceal_response,
    record_config,
    record_form,
    record_token,
)
from addon.redaction.redaction import redact_url

logger = logging.getLogger(__name__)

# Bodies up to this size are kept in the flow, so that a person can look at them.
MAX_RECORDED = 1024 * 1024


class Flows:
    """The hooks of one client's request after the other.

    `answering` and `shows_secrets` are set by whoever reads the options. `own_clients` are the
    addresses that the mirror's own clients ask from; `listeners` hear of each request's end, and
    `begun` of its client and its story once it is known what is asked. `is_seen` tells whether
    anybody may look at a flow that has ended.
    """

    def __init__(
        self,
        own_clients: Container[tuple[str, int]] = (),
        listeners: Sequence[Listener] = (log_account,),
        begun: Callable[[str, Story], None] = lambda client, story: None,
        is_seen: Callable[[], bool] = lambda: True,
    ) -> None:
        self.answering: Answering | None = None
        self.shows_secrets = False
        self.inner = InnerConnections()
        self._own_clients = own_clients
        self._listeners = listeners
        self._begun = begun
        self._is_seen = is_seen
        self._exchanges: dict[str, Exchange] = {}

    def __len__(self) -> int:
        return len(self._exchanges)

    # Connections

    def client_connected(self, client: Client) -> None:
        """Refuse QUIC: in `reverse:https` mode mitmproxy listens for it as well."""
        if client.transport_protocol != "tcp":
            client.error = "a mirror serves TCP alone"

    def client_disconnected(self, client: Client) -> None:
        """Forget the client's inner connection."""
        self.inner.forget(client.id)
        close_left_open(client)

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Put the bounded HTTP layer in place of mitmproxy's own."""
        context = nextlayer.context
        is_first = isinstance(context.layers[-1], modes.ReverseProxy)
        if nextlayer.layer is None and is_first and context.client.transport_protocol == "tcp":
            nextlayer.layer = client_stack(context, nextlayer.data_client())  # type: ignore[no-untyped-call]

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Let mitmproxy open nothing but inner connections, however a request is twisted."""
        address = data.server.address
        if not address or address[0] not in self.inner:
            data.server.error = "a mirror opens no connection of mitmproxy's own"

    # Requests

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Answer at once what has a body, so that the body is not waited for."""
        # First of all: whatever shows or saves a flow has it from this hook on.
        hidden = Hidden() if self.shows_secrets else conceal_request(flow)
        if is_replayed(flow) and SENT in flow.metadata:
            refuse_own(flow)
        name_host(flow)
        if _is_settled(flow):
            return
        form = Form() if true_target(flow, hidden).partition("?")[0] == TOKEN_PATH else None
        # The peer, until it is known for whom it asks.
        peer, _ = client_of(flow)
        exchange = Exchange(client=peer, started=time.monotonic(), form=form, hidden=hidden)
        self._exchanges[flow.id] = exchange
        flow.request.stream = Sink(flow, form.take if form else drop)
        if may_have_body(flow.request):
            self._answer(flow, exchange, early=True)
        elif form:
            form.take(b"")

    def request(self, flow: http.HTTPFlow) -> None:
        """Answer what has no body, once other addons have seen it."""
        exchange = self._exchanges.get(flow.id)
        if exchange is None or _is_settled(flow):
            return
        if not exchange.is_inner:
            self._answer(flow, exchange, early=False)
        elif exchange.form:
            record_form(flow.request, exchange.form.whole, redacted=not self.shows_secrets)
        if not self.shows_secrets:
            conceal_again(flow, exchange.hidden)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Show the real upstream, and stream what is large or secret."""
        if flow.response and not self.shows_secrets:
            conceal_response(flow.response)
        exchange = self._exchanges.get(flow.id)
        if exchange is None or not exchange.is_inner or flow.response is None:
            return
        flow.request.url = exchange.shown
        if flow.request.http_version == "HTTP/1.0":
            # It does not know chunks: the end of the connection is the end of the body.
            flow.response.headers.pop("transfer-encoding", None)
        length = flow.response.headers.get("content-length", "")
        is_small = length.isdigit() and int(length) <= MAX_RECORDED
        flow.response.stream = not is_small or _is_blob(flow)
        if exchange.holds_secret or (is_small and _is_config(flow.response, exchange)):
            # Streamed, so that what is shown of it need not be what the client gets.
            flow.response.stream = exchange.recorder = Recorder(MAX_RECORDED)

    def response(self, flow: http.HTTPFlow) -> None:
        """Say in one line what was asked and what it became."""
        exchange = self._exchanges.pop(flow.id, None)
        if exchange is None or flow.response is None:
            return
        if exchange.recorder and exchange.holds_secret:
            content = exchange.recorder.content
            record_token(flow.response, content, redacted=not self.shows_secrets)
        elif exchange.recorder:
            record_config(flow.response, exchange.recorder.content)
        self._end(flow, exchange)

    def error(self, flow: http.HTTPFlow) -> None:
        """The client left, or the answer broke off."""
        if not self.shows_secrets:
            conceal_error(flow)
        exchange = self._exchanges.pop(flow.id, None)
        if exchange is None:
            if flow.live and self._is_seen():
                tell_refused(flow)
            return
        if exchange.is_inner:
            flow.request.url = exchange.shown
        else:
            exchange.story.given(Source.MIRROR)
        self._end(flow, exchange)

    def _answer(self, flow: http.HTTPFlow, exchange: Exchange, *, early: bool) -> None:
        try:
            answer = self._decide(flow, exchange)
        except Exception:
            # mitmproxy would log it and send the request on unchanged.
            logger.exception("a request could not be answered")
            answer = internal_error()
        if isinstance(answer, Reply):
            exchange.story.given(Source.MIRROR)
        if isinstance(answer, Reply) and not early:
            flow.response = to_response(answer, flow.request.method)
            if not self.shows_secrets:
                conceal_response(flow.response)
            return
        if isinstance(answer, Reply):
            # Refused, so the client need not send what it holds back.
            flow.request.headers.pop("expect", None)
            exchange.shown = flow.request.url
            self._send_inside(flow, _at_once(answer))
            return
        exchange.url = answer.url
        exchange.shown = answer.url if self.shows_secrets else redact_url(answer.url)
        exchange.holds_secret = answer.holds_secret
        exchange.is_config = answer.is_config
        self._send_inside(flow, _told(answer.reply, exchange.story))

    def _decide(self, flow: http.HTTPFlow, exchange: Exchange) -> Reply | Pending:
        if self.answering is None:
            return internal_error()
        target = true_target(flow, exchange.hidden)
        incoming = to_incoming(flow, target, exchange.form, exchange.hidden)
        incoming = replace(incoming, is_own=client_of(flow) in self._own_clients)
        if is_replayed(flow):
            incoming, exchange.story.replayed = to_replayed(incoming, flow)
        exchange.client = str(self.answering.client(incoming))
        shown = incoming.target if self.shows_secrets else redact_url(incoming.target)
        if not is_replayed(flow) or is_edited(flow):
            flow.metadata[ASKED] = shown
        tell(exchange.story)
        answer = self.answering.answer(incoming)
        self._begun(exchange.client, exchange.story)
        return answer

    def _send_inside(self, flow: http.HTTPFlow, reply: Callable[[], Awaitable[Reply]]) -> None:
        request = flow.request
        key = _inner_key(flow)
        self.inner.arm(key, Opening(request.method, reply))
        # Whatever of a body comes is dropped, so the head must not announce one.
        request.headers.pop("transfer-encoding", None)
        request.headers.pop("content-length", None)
        # Plain for mitmproxy, or it begins a TLS handshake with the inner connection.
        request.scheme = "http"
        request.host = self.inner.address(key)
        request.port = PORT

    def _end(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if _inner_key(flow) != flow.client_conn.id:
            self.inner.forget(_inner_key(flow))
        account = account_of(flow, exchange, is_told=self._is_seen())
        for listener in self._listeners:
            listener(account)


def _told(reply: Callable[[], Awaitable[Reply]], story: Story) -> Callable[[], Awaitable[Reply]]:
    """The same, as part of a story: whatever is begun for it inherits that."""

    async def answer() -> Reply:
        tell(story)
        given = await reply()
        story.head = time.monotonic()
        return given

    return answer


def _at_once(reply: Reply) -> Callable[[], Awaitable[Reply]]:
    """A refusal of what has a body; the body is read to its end, and then the connection closed."""
    fields = [*reply.fields, ("Connection", "close")]

    async def answer() -> Reply:
        return replace(reply, fields=fields)

    return answer


def _is_settled(flow: http.HTTPFlow) -> bool:
    """Whether another addon, or mitmproxy, has answered or ended it."""
    is_reverse = isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode)
    return bool(flow.response or flow.error or not flow.live or not is_reverse)


def _is_config(response: http.Response, exchange: Exchange) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return exchange.is_config or kind in CONFIG_TYPES


def _is_blob(flow: http.HTTPFlow) -> bool:
    return "/blobs/" in flow.request.path


def _inner_key(flow: http.HTTPFlow) -> str:
    """HTTP/1 asks one after the other over one inner connection; HTTP/2 asks side by side.

    Of what is replayed the client may still be there, and ask something else.
    """
    if flow.request.http_version.startswith("HTTP/1") and not is_replayed(flow):
        return flow.client_conn.id
    return flow.id
