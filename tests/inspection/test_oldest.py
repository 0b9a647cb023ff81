from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.addons.view import View
from mitmproxy.proxy.layers.http._hooks import (
    HttpErrorHook,
    HttpRequestHeadersHook,
    HttpResponseHook,
)
from mitmproxy.test import taddons, tflow

from addon.inspection import oldest
from addon.inspection.oldest import (
    FIELD_COST,
    OPTION,
    OWN_MARKS,
    InspectedFlows,
    Oldest,
    bytes_held,
)

untyped_view: Any = View
untyped_taddons: Any = taddons
untyped_tflow: Any = tflow


@dataclass
class Inspected:
    """A list of flows that is bounded, as mitmproxy's programs have it."""

    context: Any
    view: Any
    bound: Oldest

    def begin(self, body: bytes = b"") -> http.HTTPFlow:
        flow: http.HTTPFlow = untyped_tflow.tflow(resp=True)
        flow.request.raw_content = b""
        assert flow.response
        flow.response.raw_content = body
        self._trigger(HttpRequestHeadersHook(flow))
        return flow

    def end(self, flow: http.HTTPFlow) -> http.HTTPFlow:
        self._trigger(HttpResponseHook(flow))
        flow.live = False
        return flow

    def fail(self, flow: http.HTTPFlow) -> None:
        self._trigger(HttpErrorHook(flow))
        flow.live = False

    def pass_through(self, count: int, body: bytes = b"") -> list[http.HTTPFlow]:
        return [self.end(self.begin(body)) for _ in range(count)]

    def _trigger(self, hook: Any) -> None:
        # The mirror's hooks come before the list's, because scripts do.
        for addon in (self.bound, self.view):
            handler = getattr(addon, hook.name, None)
            if handler:
                handler(*hook.args())

    def kept(self) -> list[http.HTTPFlow]:
        return list(self.view.resolve("@all"))


@pytest.fixture
def inspected() -> Iterator[Inspected]:
    view, flows = untyped_view(), InspectedFlows()
    with untyped_taddons.context(view, flows, loadcore=False) as context:
        (bound,) = flows.addons
        assert isinstance(bound, Oldest)
        context.configure(flows, docxy_inspect_flows=10)
        yield Inspected(context, view, bound)


def test_the_oldest_go(inspected: Inspected) -> None:
    flows = inspected.pass_through(60)
    assert inspected.kept() == flows[-10:]
    assert len(inspected.bound) == 10


def test_what_does_not_match_the_filter_goes_too(inspected: Inspected) -> None:
    inspected.context.configure(inspected.view, view_filter="~m NONE")
    inspected.pass_through(60)
    assert len(inspected.view) == 0
    assert inspected.view.store_count() == 10


def test_one_that_is_on_its_way_stays_until_it_has_ended(inspected: Inspected) -> None:
    slow = inspected.begin()
    inspected.pass_through(60)
    assert slow in inspected.kept()
    assert slow.error is None
    assert inspected.view.store_count() == 10
    inspected.end(slow)
    inspected.pass_through(60)
    assert slow not in inspected.kept()


def test_many_at_once_are_made_up_for(inspected: Inspected) -> None:
    slow = [inspected.begin() for _ in range(50)]
    assert inspected.view.store_count() == 50
    for each in slow:
        inspected.fail(each)
    inspected.pass_through(20)
    assert inspected.view.store_count() == 10


def test_a_marked_one_stays(inspected: Inspected) -> None:
    (marked,) = inspected.pass_through(1)
    marked.marked = ":star:"
    inspected.pass_through(60)
    assert marked in inspected.kept()
    assert inspected.view.store_count() == 10
    marked.marked = ""
    inspected.pass_through(60)
    assert marked not in inspected.kept()


@pytest.mark.parametrize("mark", sorted(OWN_MARKS - {""}))
def test_one_that_the_mirror_itself_has_marked_goes(inspected: Inspected, mark: str) -> None:
    (marked,) = inspected.pass_through(1)
    marked.marked = mark
    inspected.pass_through(60)
    assert marked not in inspected.kept()


def test_where_all_are_marked_the_others_still_go(inspected: Inspected) -> None:
    for each in inspected.pass_through(10):
        each.marked = ":star:"
    inspected.pass_through(500)
    assert inspected.view.store_count() < 20


def test_one_that_is_replayed_counts_once(inspected: Inspected) -> None:
    flows = inspected.pass_through(10)
    for _ in range(30):
        flows[0].live = True
        inspected.end(flows[0])
    assert inspected.kept() == flows


def test_those_that_were_loaded_by_hand_go_too(inspected: Inspected) -> None:
    recent = inspected.pass_through(5)
    loaded = [untyped_tflow.tflow(live=False) for _ in range(30)]
    inspected.view.add(loaded)
    inspected.pass_through(30)
    assert inspected.view.store_count() == 10
    assert not {f.id for f in loaded + recent} & {f.id for f in inspected.kept()}


def test_what_somebody_clears_is_forgotten(inspected: Inspected) -> None:
    flows = inspected.pass_through(10)
    inspected.view.remove(flows[:3])
    assert len(inspected.bound) == 7
    inspected.view.clear()
    assert len(inspected.bound) == 0
    assert inspected.bound._total == 0


def test_what_flows_hold_is_bounded_in_bytes(
    inspected: Inspected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oldest, "MAX_HELD", 10_000)
    flows = inspected.pass_through(8, body=bytes(2500))
    assert inspected.kept() == flows[-3:]
    # One that is larger than all may be is looked at all the same.
    (large,) = inspected.pass_through(1, body=bytes(20_000))
    assert inspected.kept() == [large]


def test_what_a_flow_holds_is_counted() -> None:
    def held(**parts: Any) -> int:
        flow = untyped_tflow.tflow(resp=True)
        flow.request.path = parts.get("path", "/")
        flow.request.raw_content = parts.get("sent", b"")
        flow.response.raw_content = parts.get("got", b"")
        flow.request.headers = http.Headers(parts.get("fields", ()))
        flow.comment = parts.get("comment", "")
        flow.metadata = parts.get("metadata", {})
        return bytes_held(flow)

    least = held()
    for parts in ({"sent": b"a" * 900}, {"path": "/" + "a" * 900}, {"comment": "a" * 900}):
        assert held(**parts) == least + 900
    assert held(got=b"a" * 900) == least + 900
    assert held(got=None) == least
    assert held(fields=[(b"a", b"b" * 899)]) == least + 900 + FIELD_COST
    assert (
        held(metadata={"asked": "a" * 300, "story": {"url": "a" * 600, "size": 1}}) == least + 900
    )
    assert bytes_held(untyped_tflow.ttcpflow()) == 0


def test_a_program_without_a_list_has_none_of_it() -> None:
    flows = InspectedFlows()
    with untyped_taddons.context(flows, loadcore=False) as context:
        assert flows.addons == []
        assert context.options.docxy_inspect_flows == 2000


@pytest.mark.parametrize("number", [0, -1])
def test_a_list_without_a_flow_ends_the_start(
    caplog: pytest.LogCaptureFixture, number: int
) -> None:
    flows = InspectedFlows()
    with untyped_taddons.context(flows, loadcore=False) as context:
        context.configure(flows, docxy_inspect_flows=number)
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage() == f"docxy_inspect_flows: {number} is less than 1"


def test_its_help_says_the_unit() -> None:
    assert OPTION.type is int
    assert OPTION.help.startswith("Flows ")
