"""The guide's pictures: they can be taken, and each shows the cause of its failure."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from tests.browser.chromium import Tab
from tests.browser.failures import FAILURES
from tests.browser.pictures import FOLDER, WIDTH, take
from tests.running import PROJECT

NAMES = sorted(failure.name for failure in FAILURES)


def width(picture: Path) -> int:
    """Of a PNG, which its first chunk says (PNG specification, 11.2.2)."""
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int(struct.unpack(">I", head[16:20])[0])


@pytest.mark.asyncio(loop_scope="module")
async def test_each_failure_shows_its_cause(tab: Tab, tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "pictures"
    state.mkdir()
    folder.mkdir()
    # `take` looks for what each must show.
    taken = await take(tab, folder, state)
    assert sorted(file.stem for file in taken) == NAMES
    assert [width(file) for file in taken] == [WIDTH] * len(NAMES)


def test_the_guide_has_each_picture_and_no_other() -> None:
    guide = (PROJECT / "docs" / "failures.md").read_text()
    shown = re.findall(r"!\[[^]]+\]\(pictures/([\w-]+)\.png\)", guide)
    assert sorted(shown) == NAMES
    assert sorted(file.stem for file in FOLDER.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_in_the_guide_is_small(name: str) -> None:
    picture = FOLDER / f"{name}.png"
    assert width(picture) == WIDTH
    assert picture.stat().st_size < 120_000
