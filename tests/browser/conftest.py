"""One Hub, one mirror that is looked into and one browser for each module.

The page is opened where it asks for a token, which that of mitmproxy 11.0.2 does not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from addon.inspector import page_asks_for_token
from tests.browser.chromium import Chromium, Tab, find_chromium, running_chromium
from tests.e2e.conftest import hub, shared_hub

__all__ = ["browser", "hub", "shared_hub", "tab"]

collect_ignore_glob = [] if page_asks_for_token() else ["test_*.py"]

SIZE = (1200, 1600)
# mitmweb 12.3's page names this file of its own sources, which its package leaves out.
LEFT_OUT = "/src/css/vendor.less"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Chromium]:
    program = find_chromium()
    if not program:
        pytest.skip("there is no chromium")
    async with running_chromium(program) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Chromium) -> AsyncIterator[Tab]:
    """A page in which nothing goes wrong."""
    tab = await browser.tab()
    await tab.has_size(*SIZE)
    yield tab
    assert [error for error in tab.errors if not error.endswith(LEFT_OUT)] == []
