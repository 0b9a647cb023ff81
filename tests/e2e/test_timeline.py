"""A real pull is recorded, the recording loaded, and its page shows each request, and no more."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.addons.view import View
from mitmproxy.test import taddons

from addon.flows.exchange import STORY
from addon.inspection.inspection import Inspection
from addon.inspection.ownflows import SENT
from tests.e2e.client import ask, bearer
from tests.e2e.test_own_flows import Recording, blob, manifest, recorded
from tests.hub import Hub
from tests.hub.faults import Delay

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = "<script>alert(1)</script>"
untyped_taddons: Any = taddons


@contextmanager
def loaded(file: Path) -> Iterator[Any]:
    """The commands of a mitmproxy that has loaded a recording, and runs no mirror."""
    with untyped_taddons.context(View(), Inspection(lambda: None)) as context:
        context.master.commands.execute(f"view.flows.load {file}")
        yield context.master.commands


def rows(page: str, kind: str) -> list[str]:
    """The names in a page's rows of one kind, without what stands beside them."""
    found = re.findall(rf'<div class="row {kind}" [^>]*><div class="name">([^<]*)', page)
    return [html.unescape(each) for each in found]


async def pull(recording: Recording, hub: Hub) -> None:
    image = hub.add_image(layers=(2000, 3_000_000))
    mirror = recording.mirror
    await ask(mirror, "/v2/")
    token = await bearer(mirror, "alpine")
    hub.registry.faults.add(Delay(0.2), times=1)
    await asyncio.gather(manifest(mirror, token), manifest(mirror, token))
    for each in image.manifest.blobs:
        await blob(mirror, token, each)
    await ask(mirror, f"/v2/{HOSTILE}/manifests/latest?token=hidden")


async def test_each_request_has_its_bar(hub: Hub, tmp_path: Path) -> None:
    async with recorded(hub, tmp_path) as recording:
        await pull(recording, hub)
    path = tmp_path / "page.html"
    with loaded(tmp_path / "flows") as commands:
        commands.execute(f"docxy.timeline @all {path}")
    page = path.read_text()
    told = [flow.metadata[STORY] for flow in recording.clients]
    named = [name.partition(" ")[2] for name in rows(page, "client")]
    assert len(named) == len(recording.clients)
    assert {facts["what"] for facts in told if facts["what"]} <= set(named)
    assert rows(page, "own client") == [], "each was sent for somebody"
    sent = [flow.metadata[SENT] for flow in recording.own]
    served = [
        each
        for facts in told
        for each in sent
        if each["cause"] == facts["id"] or each["story"] in (facts["ahead"], *facts["waited_for"])
    ]
    assert len(served) > len(sent) > 3, "one that two waited for stands beneath both"
    assert sorted(name.split(" ")[0] for name in rows(page, "own")) == sorted(
        each["purpose"].split(" ")[0] for each in served
    )
    # Each row has at least one part.
    assert all(row.count("<i class=") for row in page.splitlines() if 'class="row own' in row)


async def test_nothing_in_it_is_secret_or_runs(hub: Hub, tmp_path: Path) -> None:
    async with recorded(hub, tmp_path) as recording:
        await pull(recording, hub)
    path = tmp_path / "page.html"
    with loaded(tmp_path / "flows") as commands:
        commands.execute(f"docxy.timeline @all {path}")
        told = commands.execute("docxy.explain @all")
    page = path.read_text()
    assert "<script" not in page
    assert html.escape(HOSTILE) in page
    targets = [seen.target for seen in hub.requests.of("cdn")]
    signatures = {t.partition("Signature=")[2].partition("&")[0] for t in targets} - {""}
    assert signatures
    for secret in (*signatures, "Bearer", "eyJ", "hidden"):
        assert secret not in page
        assert secret not in told


async def test_a_pull_is_explained(hub: Hub, tmp_path: Path) -> None:
    async with recorded(hub, tmp_path) as recording:
        await pull(recording, hub)
    with loaded(tmp_path / "flows") as commands:
        told = commands.execute("docxy.explain @all")
    for expected in (
        "alpine:latest → library/alpine\n  asked ",
        "the mirror itself: no upstream is needed for it",
        "the network: nothing that could be given was remembered",
        "another's request: the same was being asked for already",
        "begun ahead: a manifest that named it was asked for before",
        "  pull limit  ",
    ):
        assert expected in told
