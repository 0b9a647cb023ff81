"""The commands as mitmproxy calls them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions, http
from mitmproxy.addons.view import View
from mitmproxy.test import taddons, tflow

from addon.answering.fetching import Fetcher
from addon.flows.exchange import ASKED, STORY
from addon.inspection.inspection import NO_FLOWS, NO_MIRROR, Inspection
from addon.inspection.ownflows import SENT
from addon.protocol.pulllimits import NOT_HEARD
from tests.upstreams import Site

untyped_tflow: Any = tflow
untyped_taddons: Any = taddons


class Inspected:
    """mitmproxy with a list of flows, the commands, and a mirror once there is one."""

    def __init__(self) -> None:
        self.fetcher: Fetcher | None = None
        self.view = View()
        self.context = untyped_taddons.context(self.view, Inspection(lambda: self.fetcher))

    def run(self, command: str) -> Any:
        return self.context.master.commands.execute(command)


@pytest.fixture
def inspected() -> Iterator[Inspected]:
    inspected = Inspected()
    with inspected.context:
        yield inspected


def client(id: str, **facts: object) -> http.HTTPFlow:
    flow: http.HTTPFlow = untyped_tflow.tflow(resp=True)
    flow.metadata[ASKED] = "/v2/alpine/manifests/latest?token=secret"
    flow.metadata[STORY] = {"id": id, "what": f"image {id}", "requests": 1, **facts}
    return flow


def own(cause: str, **facts: object) -> http.HTTPFlow:
    flow: http.HTTPFlow = untyped_tflow.tflow(resp=True)
    url = "https://registry.example/v2/"
    known = {"url": url, "purpose": f"sent for {cause}", "cause": cause, "story": cause}
    flow.metadata[SENT] = {**known, "began": flow.request.timestamp_start, **facts}
    return flow


def fill(inspected: Inspected, *flows: http.HTTPFlow) -> None:
    inspected.view.add(flows)


def test_a_timeline_is_written_for_its_owner_alone(inspected: Inspected, tmp_path: Path) -> None:
    fill(inspected, client("r-1"), own("r-1"), client("r-2"), untyped_tflow.tflow())
    path = tmp_path / "page.html"
    inspected.run(f"docxy.timeline @all {path}")
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for expected in ("image r-1", "image r-2", "sent for r-1 registry.example"):
        assert text.count(expected) == 1
    assert "secret" not in text
    inspected.run(f"docxy.timeline @all {path}")
    assert path.read_text() == text


def test_of_a_chosen_request_all_that_was_sent_for_it_is_shown(inspected: Inspected) -> None:
    flows = client("r-1", ahead="r-3"), client("r-2"), own("r-1"), own("r-2", story="r-3")
    fill(inspected, *flows, own("r-2"))
    told = inspected.run(f"docxy.explain @{flows[0].id}")
    assert told.startswith("image r-1\n  asked ")
    assert told.count("sent for r-1") == 1
    assert told.count("sent for r-2") == 1, "begun ahead"
    assert "image r-2" not in told


def test_the_commands_work_where_there_is_no_list(tmp_path: Path) -> None:
    inspection = Inspection(lambda: None)
    with untyped_taddons.context(inspection) as context:
        flows = [client("r-1"), own("r-1")]
        told = context.master.commands.call("docxy.explain", flows)
        context.master.commands.call("docxy.timeline", flows, str(tmp_path / "page.html"))
    assert "sent for r-1" in told
    assert "sent for r-1" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("command", ["docxy.explain @all", "docxy.timeline @all page.html"])
def test_where_no_request_is_chosen_that_is_said(inspected: Inspected, command: str) -> None:
    fill(inspected, own("r-1"), untyped_tflow.tflow(), untyped_tflow.ttcpflow())
    with pytest.raises(exceptions.CommandError, match=NO_FLOWS):
        inspected.run(command)


def test_a_page_that_cannot_be_written_is_one_line(inspected: Inspected, tmp_path: Path) -> None:
    fill(inspected, client("r-1"))
    with pytest.raises(exceptions.CommandError, match=r"missing/page.html: No such file") as raised:
        inspected.run(f"docxy.timeline @all {tmp_path}/missing/page.html")
    assert "\n" not in str(raised.value)


def test_facts_of_any_kind_break_nothing(inspected: Inspected, tmp_path: Path) -> None:
    flow = client("r-1", what=["x"], whole="x", size=float("inf"), waited_for=[None, 5])
    flow.metadata[ASKED] = 5
    flow.request.timestamp_start = float("nan")
    odd: http.HTTPFlow = untyped_tflow.tflow()
    odd.metadata[STORY] = "r-1"
    fill(inspected, flow, odd, own("r-1", began="x", opened="yes"))
    assert inspected.run("docxy.explain @all").startswith("a request")
    inspected.run(f"docxy.timeline @all {tmp_path}/page.html")


@pytest.mark.parametrize("command", ["docxy.limits", "docxy.memory"])
def test_where_no_mirror_runs_that_is_said(inspected: Inspected, command: str) -> None:
    with pytest.raises(exceptions.CommandError, match=NO_MIRROR):
        inspected.run(command)


async def test_what_is_left_and_what_is_remembered(inspected: Inspected) -> None:
    site = Site()
    inspected.fetcher = site.fetcher
    assert inspected.run("docxy.limits") == NOT_HEARD
    site.push("1", b"config")
    await site.pull(await site.token())
    asked = len(site.hub.asked)
    assert inspected.run("docxy.limits") == "5 pulls left in 1 s, heard 0 s ago"
    assert inspected.run("docxy.memory").startswith("manifests                1  ")
    assert len(site.hub.asked) == asked, "nothing is asked for it"
