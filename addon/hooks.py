"""mitmproxy's hooks: a flow in, the mirror's answer out.

Hooks never wait. What takes time is a reply that the inner connection asks for, so a client that
leaves cancels it, and what a client sends meanwhile does not pile up behind a hook.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field, replace

from mitmproxy import ctx, http
from mitmproxy.connection import Client
from mitmproxy.proxy import layer, mode_specs, server_hooks
from mitmproxy.proxy.layers import modes

from addon.answering import Answering, Incoming, Pending, internal_error
from addon.asked import no_body
from addon.descriptors import CONFIG_TYPES
from addon.errors import MirrorError
from addon.form import Form, drop
from addon.inner import PORT, InnerConnections, Opening, has_body, phrase
from addon.networks import parse_address
from addon.ownflows import FAILED_MARK, SENT
from addon.records import (
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
from addon.redaction import REDACTED, redact_url
from addon.refused import Refused
from addon.replaying import AS_NOBODY, REPLAYED, anonymous_target, held, replayed_target
from addon.reply import MemoryBody, Reply, from_error
from addon.routes import TOKEN_PATH
from addon.story import Source, Story, new_story, tell
from addon.telling import cause_of, story_facts, story_line
from addon.wire import client_stack, close_left_open

logger = logging.getLogger(__name__)

# Bodies up to this size are kept in the flow, so that a person can look at them.
MAX_RECORDED = 1024 * 1024

# Of a target that is logged: a longer one is nobody's.
MAX_LOGGED = 512

# What a field's value cannot hold (RFC 9110, section 5.5), with the fold of RFC 9112, section 5.2.
_NOT_IN_A_VALUE = re.compile(r"[\0-\x08\x0a-\x1f\x7f]+[ \t]*")

# What the client asked, for whoever looks at a flow that shows the upstream's address.
ASKED = "docxy_asked"
# What became of it, in plain values: addon/telling.py says which.
STORY = "docxy_story"

NOT_REPLAYED = (
    "the mirror's own requests are not replayed; replay the client's request that it was sent for"
)


@dataclass(slots=True)
class Exchange:
    """A flow on its way: who asked, when, and the upstream's address if one is asked."""

    client: str
    started: float
    url: str = ""
    shown: str = ""  # the address in the flow, for a flow that goes to the inner connection
    holds_secret: bool = False
    is_config: bool = False
    form: Form | None = None
    hidden: Hidden = field(default_factory=Hidden)
    recorder: Recorder | None = None
    story: Story = field(default_factory=new_story)

    @property
    def is_inner(self) -> bool:
        """Whether the answer comes through the inner connection."""
        return bool(self.shown)


class Flows:
    """The hooks of one client's request after the other.

    `answering` and `shows_secrets` are set by whoever reads the options. `own_clients` are the
    addresses that the mirror's own clients ask from.
    """

    def __init__(self, own_clients: Container[tuple[str, int]] = ()) -> None:
        self.answering: Answering | None = None
        self.shows_secrets = False
        self.inner = InnerConnections()
        self._own_clients = own_clients
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
        exchange = Exchange(client="", started=time.monotonic(), form=form, hidden=hidden)
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
        self._release(flow)
        _tell(flow, exchange)
        _log(flow, exchange, str(flow.response.status_code))

    def error(self, flow: http.HTTPFlow) -> None:
        """The client left, or the answer broke off."""
        if not self.shows_secrets:
            conceal_error(flow)
        exchange = self._exchanges.pop(flow.id, None)
        if exchange is None:
            return
        if exchange.is_inner:
            flow.request.url = exchange.shown
        self._release(flow)
        _tell(flow, exchange)
        _log(flow, exchange, flow.error.msg if flow.error else "failed")

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
        incoming = to_incoming(flow, exchange.form, exchange.hidden)
        incoming = replace(incoming, is_own=client_of(flow) in self._own_clients)
        if is_replayed(flow):
            incoming, exchange.story.replayed = to_replayed(incoming, flow)
        exchange.client = str(self.answering.client(incoming))
        shown = incoming.target if self.shows_secrets else redact_url(incoming.target)
        if not is_replayed(flow) or is_edited(flow):
            flow.metadata[ASKED] = shown
        tell(exchange.story)
        return self.answering.answer(incoming)

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

    def _release(self, flow: http.HTTPFlow) -> None:
        if _inner_key(flow) != flow.client_conn.id:
            self.inner.forget(_inner_key(flow))


def name_host(flow: http.HTTPFlow) -> None:
    """Let a request that mitmproxy refuses have a host, as it has none before it was accepted.

    One without freezes mitmproxy's terminal program for good: it fails where it colours the host.
    """
    if not flow.request.host:
        # Not by the property, which would write it into the fields as well.
        flow.request.data.host, flow.request.data.port = flow.client_conn.sockname[:2]


class Sink:
    """Where a request's body goes: mitmproxy keeps none that is streamed, and bounds no other."""

    def __init__(self, flow: http.HTTPFlow, take: Callable[[bytes], bytes]) -> None:
        self._flow = flow
        self._take = take

    def __call__(self, piece: bytes) -> bytes:
        """Take a piece, and say what of it goes on."""
        return self._take(piece)

    def __bool__(self) -> bool:
        # mitmproxy cannot stream the body of a request that a later addon has answered already.
        return self._flow.response is None


def to_incoming(flow: http.HTTPFlow, form: Form | None, hidden: Hidden) -> Incoming:
    """A flow's request in plain values, with what the flow does not show."""
    client = flow.client_conn
    request = flow.request
    incoming = Incoming(
        method=request.method,
        target=true_target(flow, hidden),
        fields=[
            (n.decode("latin-1"), to_value(v))
            for n, v in hidden.true_fields(request.headers.fields)
        ],
        peer=parse_address(client.peername[0]),
        local_host=client.sockname[0],
        local_port=client.sockname[1],
        tls=client.tls_established,
        sni=client.sni,
        tls_port=_first_port() or client.sockname[1],
    )
    return replace(incoming, form=form.read) if form else incoming


def true_target(flow: http.HTTPFlow, hidden: Hidden) -> str:
    """What the client asks, whatever the flow shows."""
    if not is_replayed(flow):
        return hidden.true_target(flow.request.path)
    told = _facts(flow)
    return replayed_target(flow.metadata.get(ASKED), told.get("shown"), flow.request.path)


def is_edited(flow: http.HTTPFlow) -> bool:
    """Whether a flow that is asked again shows another target than it did when it had ended."""
    return bool(_facts(flow).get("shown") != flow.request.path)


def to_replayed(incoming: Incoming, flow: http.HTTPFlow) -> tuple[Incoming, str]:
    """A request that is asked again, with what its flow still holds, and how it is asked."""
    fields = held(incoming.fields)
    content = flow.request.raw_content or b""
    anonymous = anonymous_target(content) if incoming.method == "POST" else ""
    again = replace(incoming, fields=fields, is_replayed=True)
    if anonymous:
        again = replace(again, method="GET", target=anonymous, form=no_body)
    lacks_secret = REDACTED in str(flow.metadata.get(ASKED)) and not is_edited(flow)
    if len(fields) == len(incoming.fields) and not anonymous and not lacks_secret:
        return again, REPLAYED
    logger.info("%s is %s", to_shown(again.target.partition("?")[0]), AS_NOBODY)
    return again, AS_NOBODY


def refuse_own(flow: http.HTTPFlow) -> None:
    """Ask nothing again that no client has asked: it lacks what it was asked with."""
    flow.response = to_response(from_error(MirrorError(403, "DENIED", NOT_REPLAYED)), "GET")
    flow.comment = f"failed: {NOT_REPLAYED}"
    flow.marked = FAILED_MARK
    logger.warning("%s", NOT_REPLAYED)


def is_replayed(flow: http.HTTPFlow) -> bool:
    """Whether it is not a client that asks, but somebody who looks at what a client has asked."""
    return flow.is_replay == "request"


def client_of(flow: http.HTTPFlow) -> tuple[str, int]:
    """The address that a flow came from."""
    host, port, *_ = flow.client_conn.peername
    return host, port


def _first_port() -> int | None:
    """The port of the first mode, to which plain HTTP on the others is led; 0 is any."""
    first = mode_specs.ProxyMode.parse(ctx.options.mode[0])
    return first.listen_port(ctx.options.listen_port)


def to_value(raw: bytes) -> str:
    """A field's value as one line."""
    return _NOT_IN_A_VALUE.sub(" ", raw.decode("latin-1"))


def to_response(reply: Reply, method: str) -> http.Response:
    """A reply that is in memory as mitmproxy's response."""
    if not isinstance(reply.body, MemoryBody):
        raise TypeError("only what is in memory can be given at once")
    content = reply.body.content
    response = http.Response.make(reply.status)
    response.reason = phrase(reply.status)
    response.headers = http.Headers([(n.encode(), v.encode("latin-1")) for n, v in reply.fields])
    response.raw_content = content if has_body(method, reply.status) else b""
    response.headers["Content-Length"] = str(len(content))
    return response


def may_have_body(request: http.Request) -> bool:
    """Whether a body may follow a head (RFC 9112, section 6); HTTP/2 does not say it there."""
    if not request.http_version.startswith("HTTP/1"):
        return True
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or length.strip() != "0"


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


def _tell(flow: http.HTTPFlow, exchange: Exchange) -> None:
    """Say in the flow what became of it; what a person has written there stays."""
    story = exchange.story
    response = flow.response
    refused = to_refused(flow)
    broken = flow.error.msg if flow.error else ""
    error = to_shown(cause_of(story, refused, exchange.url, broken))
    length = response.headers.get("content-length", "") if response else ""
    size = int(length) if length.isdigit() else None
    when = {"started": exchange.started, "ended": time.monotonic()}
    facts = story_facts(
        story, url=exchange.url, size=size, error=error, realm=refused.realm, **when
    )
    line = story_line(story, size=size, error=error, realm=refused.realm, **when)
    # What was told of it before it was asked again is no person's.
    if flow.comment in ("", _facts(flow).get("line")):
        flow.comment = line
    if flow.marked in ("", FAILED_MARK):
        flow.marked = FAILED_MARK if error else ""
    flow.metadata[STORY] = {**facts, "line": line, "shown": flow.request.path}


def _facts(flow: http.HTTPFlow) -> dict[str, object]:
    """What was told of it last; a recording may hold anything."""
    told = flow.metadata.get(STORY)
    return told if isinstance(told, dict) else {}


def to_refused(flow: http.HTTPFlow) -> Refused:
    """An answer as far as it may be a refusal; of one that is none there is nothing to say."""
    response = flow.response
    if response is None or response.status_code < 400:
        return Refused(response.status_code if response else 0)
    request = flow.request
    return Refused(
        response.status_code,
        response.headers.get("www-authenticate", ""),
        response.raw_content or b"",
        # A login may also come in a form.
        had_credentials="authorization" in request.headers or request.method == "POST",
    )


def _log(flow: http.HTTPFlow, exchange: Exchange, outcome: str) -> None:
    asked = str(flow.metadata.get(ASKED, flow.request.path)).partition("?")[0]
    asked = to_shown(f"{flow.request.method} {asked}")
    upstream = f" <- {exchange.url.partition('?')[0]}" if exchange.url else ""
    elapsed = (time.monotonic() - exchange.started) * 1000
    logger.info("%s %s: %s, %.0f ms%s", exchange.client, asked, outcome, elapsed, upstream)


def to_shown(text: str) -> str:
    """What a client sent as a person may see it: on one line, and not a whole screen of it."""
    shown = "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:MAX_LOGGED]
    )
    return shown if len(text) <= MAX_LOGGED else f"{shown}…"
