"""The flows that are made of what the mirror sends, as other addons see them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator

import pytest
from mitmproxy import http, io as flows_io
from mitmproxy.addons import intercept, view
from mitmproxy.test import taddons

from addon.flows.story import Story, current, tell
from addon.hooks import Flows
from addon.inspection.ownflows import FAILED_MARK, OWN_MARK, PEER, SENT, OwnFlows
from addon.outbound.sent import Sent
from tests.outbound.test_sent import a_sent

STORY = Story("7")


class Seen:
    """An addon that notes the hooks of each flow."""

    def __init__(self) -> None:
        self.hooks: list[tuple[str, http.HTTPFlow]] = []
        self.stories: set[str] = set()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self._note("requestheaders", flow)

    def request(self, flow: http.HTTPFlow) -> None:
        self._note("request", flow)

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        await asyncio.sleep(0)
        self._note("responseheaders", flow)

    def response(self, flow: http.HTTPFlow) -> None:
        self._note("response", flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._note("error", flow)

    def _note(self, name: str, flow: http.HTTPFlow) -> None:
        self.hooks.append((name, flow))
        self.stories.add(current().id)

    # mitmproxy looks at all attributes of an addon, so these are no properties.
    def names(self) -> list[str]:
        return [name for name, _ in self.hooks]

    def flow(self) -> http.HTTPFlow:
        return self.hooks[-1][1]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def own(seen: Seen) -> Iterator[OwnFlows]:
    own = OwnFlows()
    # The mirror's own hooks see such a flow as well, and must leave it alone.
    with taddons.context(Flows(), seen, own):  # type: ignore[no-untyped-call]
        yield own


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def answered(own: OwnFlows, sent: Sent, status: int = 200) -> Sent:
    own.asked(sent)
    sent.gone, sent.head, sent.status = 100.1, 100.2, status
    sent.answer = [("Content-Length", "5"), ("Set-Cookie", "word")]
    own.answered(sent)
    return sent


def whole(own: OwnFlows, sent: Sent) -> None:
    sent.bytes, sent.end = 5, 100.5
    own.ended(sent)


async def test_a_request_goes_through_all_hooks_in_order(own: OwnFlows, seen: Seen) -> None:
    tell(STORY)
    whole(own, answered(own, a_sent("manifest", story=STORY)))
    assert len(own) == 0
    await settle()
    assert seen.names() == ["requestheaders", "request", "responseheaders", "response"]
    flow = seen.flow()
    assert flow.request.url == "https://registry.example/v2/library/a/blobs/sha256:0"
    assert flow.request.host_header == "registry.example"
    assert (flow.client_conn.peername, flow.server_conn.address) == (
        PEER,
        ("registry.example", 443),
    )
    assert (flow.marked, flow.live) == (OWN_MARK, False)
    assert flow.comment.startswith("manifest · ")
    facts = flow.metadata[SENT]
    assert (facts["cause"], facts["bytes"], facts["whole"]) == ("7", 5, 0.5)
    request, response = flow.request, flow.response
    assert response
    assert (response.status_code, response.raw_content) == (200, None)
    assert response.headers["Content-Length"] == "5", "as the upstream has said"
    assert "Set-Cookie" not in response.headers
    times = [request.timestamp_start, request.timestamp_end]
    times += [response.timestamp_start, response.timestamp_end]
    assert times == pytest.approx([1000.0, 1000.1, 1000.2, 1000.5])
    assert seen.stories == {""}, "what addons do is no part of the story"


async def test_a_request_that_is_on_its_way_is_there_already(own: OwnFlows, seen: Seen) -> None:
    own.asked(a_sent("token"))
    await settle()
    assert seen.names() == ["requestheaders", "request"]
    assert seen.flow().comment == "token · on its way"
    assert len(own) == 1


async def test_without_an_answer_it_ends_with_an_error(own: OwnFlows, seen: Seen) -> None:
    sent = a_sent("token")
    own.asked(sent)
    sent.end, sent.error = 101.0, "upstream a: cannot connect: refused"
    own.ended(sent)
    await settle()
    assert seen.names() == ["requestheaders", "request", "error"]
    error = seen.flow().error
    assert error
    assert error.msg == sent.error
    assert seen.flow().marked == FAILED_MARK


async def test_a_body_that_broke_off_ends_with_an_error(own: OwnFlows, seen: Seen) -> None:
    sent = answered(own, a_sent("blob"))
    sent.end, sent.error = 101.0, "upstream a broke off"
    own.ended(sent)
    await settle()
    assert seen.names()[-1] == "error"
    assert seen.flow().marked == FAILED_MARK


async def test_one_that_is_refused_is_marked_as_failed(own: OwnFlows, seen: Seen) -> None:
    whole(own, answered(own, a_sent("manifest"), 404))
    await settle()
    assert seen.flow().marked == FAILED_MARK


async def test_what_was_begun_before_anybody_looked_is_left_out(own: OwnFlows, seen: Seen) -> None:
    sent = a_sent()
    own.answered(sent)
    own.ended(sent)
    await settle()
    assert not seen.hooks


async def test_it_is_written_and_read_back_with_all_that_is_told(own: OwnFlows, seen: Seen) -> None:
    whole(own, answered(own, a_sent("blob", part="0-9", story=STORY)))
    await settle()
    file = io.BytesIO()
    writer = flows_io.FlowWriter(file)  # type: ignore[no-untyped-call]
    writer.add(seen.flow())
    file.seek(0)
    (read,) = flows_io.FlowReader(file).stream()
    assert read.metadata[SENT] == seen.flow().metadata[SENT]
    assert (read.comment, read.marked) == (seen.flow().comment, OWN_MARK)


async def test_what_has_gone_out_is_not_held_back() -> None:
    own, seen = OwnFlows(), Seen()
    with taddons.context(intercept.Intercept(), seen, view.View(), own) as tctx:  # type: ignore[no-untyped-call]
        tctx.options.intercept = "~all"
        whole(own, answered(own, a_sent()))
        await settle()
    assert seen.names()[-1] == "response"
    assert not seen.flow().intercepted


async def test_the_end_of_the_mirror_ends_what_is_handed_on(own: OwnFlows) -> None:
    own.done()
    own.asked(a_sent())
    own.done()
    await settle()
