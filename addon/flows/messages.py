"""mitmproxy's requests and answers as the mirror's plain values, and back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from mitmproxy import ctx, http
from mitmproxy.proxy import mode_specs

from addon.answering.answering import Incoming
from addon.mitm.inner import has_body, phrase
from addon.outbound.networks import parse_address
from addon.protocol.form import Form
from addon.protocol.refused import Refused
from addon.protocol.reply import MemoryBody, Reply
from addon.redaction.records import Hidden

# Of a target that is logged: a longer one is nobody's.
MAX_SHOWN = 512

# What a field's value cannot hold (RFC 9110, section 5.5), with the fold of RFC 9112, section 5.2.
_NOT_IN_A_VALUE = re.compile(r"[\0-\x08\x0a-\x1f\x7f]+[ \t]*")


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


def to_incoming(flow: http.HTTPFlow, target: str, form: Form | None, hidden: Hidden) -> Incoming:
    """A flow's request in plain values, with what the flow does not show."""
    client = flow.client_conn
    request = flow.request
    incoming = Incoming(
        method=request.method,
        target=target,
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


def to_shown(text: str) -> str:
    """What a client sent as a person may see it: on one line, and not a whole screen of it."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:MAX_SHOWN])
    return shown if len(text) <= MAX_SHOWN else f"{shown}…"


def client_of(flow: http.HTTPFlow) -> tuple[str, int]:
    """The address that a flow came from."""
    host, port, *_ = flow.client_conn.peername
    return host, port


def may_have_body(request: http.Request) -> bool:
    """Whether a body may follow a head (RFC 9112, section 6); HTTP/2 does not say it there."""
    if not request.http_version.startswith("HTTP/1"):
        return True
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or length.strip() != "0"


def name_host(flow: http.HTTPFlow) -> None:
    """Let a request that mitmproxy refuses have a host, as it has none before it was accepted.

    One without freezes mitmproxy's terminal program for good: it fails where it colours the host.
    """
    if not flow.request.host:
        # Not by the property, which would write it into the fields as well.
        flow.request.data.host, flow.request.data.port = flow.client_conn.sockname[:2]
