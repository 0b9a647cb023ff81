"""The hooks with mitmproxy's own flows, and no socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
from mitmproxy import connection, ctx, http
from mitmproxy.flow import Error
from mitmproxy.proxy import mode_specs, server_hooks
from mitmproxy.test import taddons, tflow

from addon.answering.answering import Answering, Incoming, Pending
from addon.flows.exchange import ASKED
from addon.flows.messages import Sink
from addon.flows.replaying import AS_NOBODY, REPLAYED
from addon.flows.replays import NOT_REPLAYED
from addon.hooks import Flows
from addon.inspection.ownflows import SENT
from addon.mitm.inner import PORT
from addon.protocol.reply import Reply, whole
from addon.redaction.records import revealed
from tests.reverseflows import make_flow

URL = "https://registry.example/v2/library/alpine/manifests/latest"


class Answers(Answering):
    """Answers as it is told, and notes what it was asked."""

    def __init__(self, answer: Reply | Pending | Exception) -> None:
        self.said = answer
        self.asked: list[Incoming] = []

    def answer(self, request: Incoming) -> Reply | Pending:
        self.asked.append(request)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def client(self, request: Incoming) -> object:  # type: ignore[override]
        return request.peer


async def nothing() -> Reply:
    return whole(200, b"")


PENDING = Pending(URL, nothing)


@pytest.fixture
def flows() -> Iterator[Flows]:
    flows = Flows()
    with taddons.context(flows):  # type: ignore[no-untyped-call]
        yield flows


async def test_what_is_known_is_answered_at_once(flows: Flows) -> None:
    flows.answering = Answers(whole(401, b"{}", [("X-Field", "a")]))
    flow = make_flow()
    flows.requestheaders(flow)
    assert not flow.response, "other addons see a request first"
    flows.request(flow)
    assert flow.response
    assert (flow.response.status_code, flow.response.content) == (401, b"{}")
    assert flow.response.headers["X-Field"] == "a"
    assert len(flows) == 1
    flows.response(flow)
    assert len(flows) == len(flows.inner) == 0


@pytest.mark.parametrize(
    ("modes", "listen_port", "expected"),
    [
        pytest.param(["@18104", "@18105"], None, 18104, id="the first mode's own"),
        pytest.param(["@::1:18104"], None, 18104, id="with a host"),
        # run.sh always says one, for modes that name none.
        pytest.param(["@18104", "@18105"], 8443, 18104, id="its own before the common one"),
        pytest.param(["", "@80"], 8443, 8443, id="the common one"),
        pytest.param(["@0"], None, 8081, id="any: the one that was connected to"),
        pytest.param(["", "@80"], None, 8080, id="mitmproxy's"),
    ],
)
async def test_plain_http_is_led_to_the_first_port(
    flows: Flows, modes: list[str], listen_port: int | None, expected: int
) -> None:
    named = [f"reverse:http://registry.example{mode}" for mode in modes]
    ctx.options.update(mode=named, listen_port=listen_port)  # type: ignore[no-untyped-call]
    answers = flows.answering = Answers(whole(200, b""))
    flow = make_flow()
    flow.client_conn.sockname = ("127.0.0.1", 8081)
    flows.requestheaders(flow)
    flows.request(flow)
    assert answers.asked[0].tls_port == expected


@pytest.mark.parametrize("is_seen", [True, False])
async def test_what_mitmproxy_refuses_is_marked_with_the_cause(is_seen: bool) -> None:
    flows = Flows(is_seen=lambda: is_seen)
    flow = make_flow(method="CONNECT")
    flow.error = Error("not a proxy")
    flows.requestheaders(flow)
    flows.error(flow)
    assert flow.comment == ("failed: not a proxy" if is_seen else "")
    assert bool(flow.marked) is is_seen


async def test_what_a_person_wrote_in_a_flow_that_broke_off_stays(flows: Flows) -> None:
    flow = make_flow(method="CONNECT")
    flow.comment, flow.error = "mine", Error("not a proxy")
    flows.requestheaders(flow)
    flows.error(flow)
    assert flow.comment == "mine"


async def test_what_an_upstream_must_give_goes_to_the_inner_connection(flows: Flows) -> None:
    flows.answering = Answers(PENDING)
    flow = make_flow(path="/v2/alpine/manifests/latest")
    flows.requestheaders(flow)
    flows.request(flow)
    assert flow.response is None
    assert flow.request.host in flows.inner
    assert (flow.request.scheme, flow.request.port) == ("http", PORT)
    assert flow.metadata[ASKED] == "/v2/alpine/manifests/latest"
    flow.response = http.Response.make(200, b"", {"Content-Length": "5"})
    flows.responseheaders(flow)
    assert flow.request.url == URL
    flows.response(flow)
    assert len(flows) == 0
    flows.client_disconnected(flow.client_conn)
    assert len(flows.inner) == 0


@pytest.mark.parametrize("settled", ["response", "killed", "not live", "another mode"])
async def test_a_flow_that_is_settled_is_left_alone(flows: Flows, settled: str) -> None:
    flows.answering = answers = Answers(PENDING)
    flow = make_flow()
    match settled:
        case "response":
            flow.response = http.Response.make(418)
        case "killed":
            flow.kill()  # type: ignore[no-untyped-call]
        case "not live":
            flow.live = False
        case _:
            flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse("regular")
    flows.requestheaders(flow)
    flows.request(flow)
    assert answers.asked == []
    assert len(flows) == 0
    assert not flow.request.stream


@pytest.mark.parametrize("fields", [{}, {"Content-Length": "5"}], ids=["no body", "a body"])
async def test_a_fault_is_answered_with_500(flows: Flows, fields: dict[str, str]) -> None:
    flows.answering = Answers(RuntimeError("on purpose"))
    flow = make_flow("PUT", fields=fields)
    flows.requestheaders(flow)
    flows.request(flow)
    if fields:
        opening = flows.inner.take(flow.request.host)
        assert opening is not None
        assert (await opening.reply()).status == 500
    else:
        assert flow.response is not None
        assert flow.response.status_code == 500


async def test_a_body_is_answered_before_it_comes_and_announced_to_nobody(flows: Flows) -> None:
    flows.answering = Answers(whole(405, b"{}"))
    flow = make_flow("PUT", fields={"Content-Length": "5", "Expect": "100-continue"})
    shown = flow.request.url
    flows.requestheaders(flow)
    for name in ("content-length", "transfer-encoding", "expect"):
        assert name not in flow.request.headers
    assert flow.request.stream
    opening = flows.inner.take(flow.request.host)
    assert opening is not None
    assert ("Connection", "close") in (await opening.reply()).fields
    flow.response = http.Response.make(405)
    flows.responseheaders(flow)
    assert flow.request.url == shown


async def test_a_form_is_read_as_it_comes(flows: Flows) -> None:
    flows.answering = answers = Answers(PENDING)
    flow = make_flow("POST", "/auth/token?a=b", {"Content-Length": "9"})
    flows.requestheaders(flow)
    (asked,) = answers.asked
    reading = asyncio.ensure_future(asked.form())
    assert isinstance(flow.request.stream, Sink)
    for piece in (b"service=", b"a", b""):
        assert flow.request.stream(piece) == b""
    assert await reading == b"service=a"


SECRET = "d29uZGVybGFuZA"
QUERY = "?account=alice&password=wonderland"
SHOWN_QUERY = "?account=alice&password=[redacted]"


async def test_a_secret_is_hidden_at_once_and_known_where_it_is_used(flows: Flows) -> None:
    flows.answering = answers = Answers(Pending(URL + "?sig=a", nothing))
    login = ("Authorization", f"Basic {SECRET}")
    flow = make_flow(path=f"/auth/token{QUERY}", fields=dict([login]))
    flows.requestheaders(flow)
    assert SECRET not in repr(flow.get_state()), "whatever shows flows has it from here on"
    flows.request(flow)
    (asked,) = answers.asked
    assert asked.target == f"/auth/token{QUERY}"
    assert login in asked.fields
    assert flow.metadata[ASKED] == f"/auth/token{SHOWN_QUERY}"
    flow.response = http.Response.make(200, b"", {"X-Auth-Token": SECRET})
    flows.responseheaders(flow)
    assert flow.request.url == URL + "?sig=[redacted]"
    flows.response(flow)
    for secret in (SECRET, "wonderland"):
        assert secret not in repr(flow.get_state())


async def test_a_request_that_is_refused_before_it_has_a_host_shows_the_mirrors(
    flows: Flows,
) -> None:
    # mitmproxy 11's terminal program takes no key any more once it has to draw one without.
    flow = make_flow("/auth/token")
    flow.request.data.host, flow.request.data.port = "", 0
    fields = flow.request.headers.copy()
    flows.requestheaders(flow)
    assert (flow.request.host, flow.request.port) == flow.client_conn.sockname[:2]
    assert flow.request.headers == fields


async def test_a_form_is_shown_once_it_has_passed(flows: Flows) -> None:
    flows.answering = Answers(PENDING)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "20"}
    flow = make_flow("POST", "/auth/token", form)
    flows.requestheaders(flow)
    assert isinstance(flow.request.stream, Sink)
    for piece in (b"password=", b"wonder", b"land", b""):
        flow.request.stream(piece)
    flows.request(flow)
    assert flow.request.content == b"password=[redacted]"


@pytest.mark.parametrize("shows_secrets", [False, True])
async def test_a_token_is_streamed_and_shown_without_its_secrets(
    flows: Flows, shows_secrets: bool
) -> None:
    flows.shows_secrets = shows_secrets
    flows.answering = Answers(Pending(URL, nothing, holds_secret=True))
    flow = make_flow(path="/auth/token")
    flows.requestheaders(flow)
    flows.request(flow)
    flow.response = http.Response.make(200, b"", {"Content-Length": "19"})
    flow.response.raw_content = None
    flows.responseheaders(flow)
    assert callable(flow.response.stream)
    body = b'{"token": "secret"}'
    assert flow.response.stream(body) == body
    assert flow.response.stream(b"") == b""
    flows.response(flow)
    assert flow.response.content == (body if shows_secrets else b'{"token": "[redacted]"}')


async def test_an_answer_at_once_shows_no_secret(flows: Flows) -> None:
    where = f"https://mirror.example/auth/token{QUERY}"
    flows.answering = Answers(whole(308, b"", [("Location", where)]))
    flow = make_flow(path=f"/auth/token{QUERY}")
    flows.requestheaders(flow)
    flows.request(flow)
    assert flow.response
    assert "wonderland" not in repr(flow.get_state())
    flows.responseheaders(flow)
    flows.response(flow)
    assert revealed(flow.response).headers["Location"] == where


async def test_what_another_addon_puts_into_a_request_holds_and_is_hidden(flows: Flows) -> None:
    flows.answering = answers = Answers(PENDING)
    flow = make_flow(fields={"Authorization": "Basic YQ=="})
    flows.requestheaders(flow)
    flow.request.headers["Authorization"] = f"Basic {SECRET}"  # as `upstream_auth` does
    flows.request(flow)
    assert ("Authorization", f"Basic {SECRET}") in answers.asked[0].fields
    assert SECRET not in repr(flow.get_state())


@pytest.mark.parametrize("settled", ["response", "error"])
async def test_a_flow_that_is_settled_shows_no_secret_either(flows: Flows, settled: str) -> None:
    flow = make_flow(fields={"Authorization": f"Basic {SECRET}"})
    if settled == "response":
        flow.response = http.Response.make(418, b"", {"Set-Cookie": SECRET})
    else:
        flow.error = tflow.terr(f"invalid header name: b'Authorization Basic {SECRET}'")
    flows.requestheaders(flow)
    flows.responseheaders(flow)
    flows.error(flow)
    assert SECRET not in repr(flow.get_state())


async def test_secrets_are_shown_where_they_are_asked_for(flows: Flows) -> None:
    flows.shows_secrets = True
    flows.answering = Answers(whole(200, b"{}", [("X-Auth-Token", SECRET)]))
    flow = make_flow(path=f"/auth/token{QUERY}", fields={"Authorization": f"Basic {SECRET}"})
    flows.requestheaders(flow)
    flows.request(flow)
    flows.responseheaders(flow)
    flows.response(flow)
    assert flow.response
    assert flow.request.path == flow.metadata[ASKED] == f"/auth/token{QUERY}"
    assert flow.request.headers["Authorization"] == f"Basic {SECRET}"
    assert flow.response.headers["X-Auth-Token"] == SECRET


async def test_a_body_is_not_streamed_where_a_later_addon_has_answered(flows: Flows) -> None:
    """mitmproxy crashes where both are asked of it."""
    flows.answering = Answers(PENDING)
    flow = make_flow("PUT", fields={"Content-Length": "5"})
    flows.requestheaders(flow)
    assert flow.request.stream
    flow.response = http.Response.make(418)
    assert not flow.request.stream


async def test_a_flow_that_failed_shows_its_upstream_and_is_forgotten(
    flows: Flows, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    flows.answering = Answers(PENDING)
    flow = make_flow(path="/v2/a?secret=b")
    flows.requestheaders(flow)
    flows.request(flow)
    flow.error = tflow.terr("the client left")
    flows.error(flow)
    assert flow.request.url == URL
    assert len(flows) == 0
    assert "GET /v2/a: the client left" in caplog.text
    assert "secret" not in caplog.text


async def test_who_left_before_asking_has_an_address_and_nothing_from_memory(
    flows: Flows, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    flow = make_flow()
    flows.requestheaders(flow)
    flow.error = tflow.terr("the client left")
    flows.error(flow)
    host = flow.client_conn.peername[0]
    assert caplog.messages[-1].startswith(f"{host} GET /v2/: the client left, 0 bytes, ")
    assert caplog.messages[-1].endswith(" mirror")


@pytest.mark.parametrize("address", [("example.com", 443), None])
def test_mitmproxy_opens_nothing_of_its_own(flows: Flows, address: tuple[str, int] | None) -> None:
    server = connection.Server(address=address)
    flows.server_connect(server_hooks.ServerConnectionHookData(server, tflow.tclient_conn()))
    assert server.error


@pytest.mark.parametrize(("protocol", "refused"), [("tcp", False), ("udp", True)])
def test_only_tcp_is_served(flows: Flows, protocol: Literal["tcp", "udp"], refused: bool) -> None:
    client = tflow.tclient_conn()
    client.transport_protocol = protocol
    flows.client_connected(client)
    assert bool(client.error) is refused


def ended(flows: Flows, flow: http.HTTPFlow, status: int = 200) -> None:
    """mitmproxy's hooks for a flow that goes to the inner connection."""
    flows.requestheaders(flow)
    flows.request(flow)
    flow.response = http.Response.make(status, b"", {"Content-Length": "0"})
    flows.responseheaders(flow)
    flows.response(flow)


def again(flow: http.HTTPFlow) -> http.HTTPFlow:
    """As mitmproxy prepares a replay."""
    flow.response = flow.error = None
    flow.is_replay = "request"
    return flow


async def test_what_is_replayed_asks_what_the_client_asked(flows: Flows) -> None:
    shown = "https://auth.example/token?scope=library/a&sig=a"
    flows.answering = answers = Answers(Pending(shown, nothing, holds_secret=True))
    flow = make_flow(path="/auth/token?scope=a")
    ended(flows, flow, status=502)
    assert flow.request.path == "/token?scope=library/a&sig=[redacted]"
    first = flow.comment
    assert flow.marked == ":red_circle:"
    for _ in range(2):
        ended(flows, again(flow))
        assert answers.asked[-1].target == "/auth/token?scope=a"
        assert answers.asked[-1].is_replayed
        assert flow.metadata[ASKED] == "/auth/token?scope=a"
        assert flow.comment.startswith("replayed · ")
        assert flow.marked == ""
    assert first != flow.comment


async def test_a_target_that_was_redacted_is_replayed_without_its_secret(flows: Flows) -> None:
    flows.answering = answers = Answers(Pending(URL, nothing, holds_secret=True))
    flow = make_flow(path=f"/auth/token{QUERY}")
    ended(flows, flow)
    for _ in range(2):
        ended(flows, again(flow))
        assert answers.asked[-1].target == "/auth/token?account=alice"
        assert flow.comment.startswith(AS_NOBODY)
    flow.request.path = "/token?account=bob"
    ended(flows, again(flow))
    assert answers.asked[-1].target == flow.metadata[ASKED] == "/auth/token?account=bob"
    assert flow.comment.startswith(f"{REPLAYED} · ")


async def test_what_a_person_has_written_outlives_a_replay(flows: Flows) -> None:
    flows.answering = Answers(PENDING)
    flow = make_flow(path="/v2/alpine/manifests/latest")
    ended(flows, flow)
    flow.comment, flow.marked = "look here", ":star:"
    ended(flows, again(flow), status=404)
    assert (flow.comment, flow.marked) == ("look here", ":star:")


async def test_a_replay_does_not_touch_what_its_client_still_asks(flows: Flows) -> None:
    flows.answering = Answers(PENDING)
    flow = make_flow(path="/v2/alpine/manifests/latest")
    ended(flows, flow)
    live = make_flow(path="/v2/alpine/manifests/1")
    live.client_conn = flow.client_conn
    flows.requestheaders(live)
    flows.request(live)
    ended(flows, again(flow))
    assert live.request.host in flows.inner
    assert len(flows.inner) == 1


async def test_the_mirrors_own_requests_are_not_replayed(
    flows: Flows, caplog: pytest.LogCaptureFixture
) -> None:
    flows.answering = answers = Answers(PENDING)
    flow = again(make_flow(path="/v2/library/alpine/manifests/latest"))
    flow.metadata[SENT] = {"purpose": "manifest"}
    flows.requestheaders(flow)
    flows.request(flow)
    assert answers.asked == []
    assert flow.response
    assert flow.response.status_code == 403
    assert flow.comment == f"failed: {NOT_REPLAYED}"
    assert caplog.messages == [NOT_REPLAYED]
    assert len(flows) == len(flows.inner) == 0


@pytest.mark.parametrize("is_own", [False, True])
async def test_who_asks_from_within_is_known_by_the_connection(is_own: bool) -> None:
    flow = make_flow()
    flow.client_conn.peername = ("127.0.0.1", 5000)
    own = Flows({("127.0.0.1", 5000 if is_own else 5001)})
    with taddons.context(own):  # type: ignore[no-untyped-call]
        own.answering = answers = Answers(whole(200, b""))
        own.requestheaders(flow)
        own.request(flow)
    assert answers.asked[0].is_own is is_own


CONFIG = b'{"os": "linux"}'
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"


@pytest.mark.parametrize(
    ("is_config", "status", "fields", "expected"),
    [
        pytest.param(True, 200, {}, CONFIG, id="a manifest has named it"),
        pytest.param(False, 200, {"Content-Type": OCI_CONFIG}, CONFIG, id="it says so itself"),
        pytest.param(False, 200, {}, None, id="a layer"),
        pytest.param(True, 206, {}, None, id="a part"),
        pytest.param(True, 200, {"Content-Length": "1048577"}, None, id="a large one"),
        pytest.param(True, 200, {"Content-Length": ""}, None, id="of no known length"),
    ],
)
async def test_an_images_config_is_kept_and_no_other_blob(
    flows: Flows, is_config: bool, status: int, fields: dict[str, str], expected: bytes | None
) -> None:
    url = "https://registry.example/v2/library/alpine/blobs/sha256:a"
    flows.answering = Answers(Pending(url, nothing, is_config=is_config))
    flow = make_flow(path="/v2/alpine/blobs/sha256:a")
    flows.requestheaders(flow)
    flows.request(flow)
    flow.response = http.Response.make(status)
    flow.response.raw_content = None
    flow.response.headers.update({"Content-Length": str(len(CONFIG))} | fields)
    flows.responseheaders(flow)
    stream = flow.response.stream
    assert stream, "the client waits for nothing"
    if callable(stream):
        assert [stream(CONFIG), stream(b"")] == [CONFIG, b""]
    flows.response(flow)
    assert flow.response.raw_content == expected
