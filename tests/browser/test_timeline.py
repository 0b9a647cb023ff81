"""docxy.timeline's page in a real browser: bars where they belong, and nothing that runs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.browser.chromium import Chromium, Tab
from tests.e2e.test_own_flows import recorded
from tests.e2e.test_timeline import HOSTILE, loaded, pull
from tests.hub import Hub

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = "a" * 255
BARS = """
    Array.from(document.querySelectorAll('.row:not(.axis)'), row => {
        const place = each => { const {left, right, top, bottom} = each.getBoundingClientRect();
                                return {left, right, top, bottom}; };
        return {name: row.querySelector('.name').textContent, own: row.classList.contains('own'),
                place: place(row), label: place(row.querySelector('.name')),
                time: place(row.querySelector('.time')),
                parts: Array.from(row.querySelectorAll('i'), place)};
    })
"""


@dataclass
class Bar:
    name: str
    own: bool
    place: dict[str, float]
    label: dict[str, float]
    time: dict[str, float]
    parts: list[dict[str, float]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def file(shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """The picture of a pull in which somebody sent names that are none."""
    folder = tmp_path_factory.mktemp("timeline")
    shared_hub.add_image(f"library/{LONG[:128]}")
    async with recorded(shared_hub, folder) as recording:
        await pull(recording, shared_hub)
    path = folder / "page.html"
    with loaded(folder / "flows") as commands:
        commands.execute(f"docxy.timeline @all {path}")
    yield path


@pytest_asyncio.fixture(loop_scope="module")
async def shown(tab: Tab, file: Path) -> Tab:
    await tab.open(file.as_uri())
    return tab


async def bars(tab: Tab) -> list[Bar]:
    return [Bar(**each) for each in await tab.value(BARS)]


async def test_each_request_has_a_bar_that_is_seen(shown: Tab) -> None:
    found = await bars(shown)
    assert len(found) > 10
    for bar in found:
        assert bar.parts, bar.name
        for part in bar.parts:
            assert part["right"] - part["left"] >= 1, bar.name
            assert part["bottom"] - part["top"] > 5, bar.name
            # Within its line and the space for times, but for rounding.
            assert bar.time["left"] - 1 <= part["left"], bar.name
            assert part["right"] <= bar.time["right"] + 2, bar.name
            assert bar.place["top"] <= part["top"] < part["bottom"] <= bar.place["bottom"], bar.name


async def test_bars_stand_in_the_order_of_time(shown: Tab) -> None:
    clients = [bar for bar in await bars(shown) if not bar.own]
    begun = [bar.parts[0]["left"] for bar in clients]
    assert begun == sorted(begun)
    for bar in clients:
        for one, next_one in itertools.pairwise(bar.parts):
            assert next_one["left"] >= one["right"] - 1.5, bar.name


async def test_what_was_sent_stands_beneath_who_asked(shown: Tab) -> None:
    found = await bars(shown)
    assert not found[0].own
    (first, *_) = [i for i, bar in enumerate(found) if "alpine:latest → library/alpine" in bar.name]
    assert not found[first].own
    beneath = list(itertools.takewhile(lambda bar: bar.own, found[first + 1 :]))
    assert [bar for bar in beneath if bar.name.startswith("manifest")]


async def test_no_name_runs_or_breaks_the_page(shown: Tab) -> None:
    assert await shown.value("document.scripts.length") == 0
    assert HOSTILE in await shown.text()
    # Nothing is wider than the page, and no text lies over the bars.
    width: Any = await shown.value("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
    for bar in await bars(shown):
        assert bar.label["right"] <= bar.time["left"] + 1, bar.name


async def test_a_page_that_would_run_something_is_seen_to(
    browser: Chromium, tmp_path: Path
) -> None:
    """So that the test above could fail."""
    path = tmp_path / "page.html"
    path.write_text("<script>throw new Error('runs')</script><script src='none.js'></script>")
    tab = await browser.tab()
    await tab.open(path.as_uri())
    await asyncio.sleep(0)
    assert any("runs" in error for error in tab.errors)
