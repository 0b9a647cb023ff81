from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from mitmproxy import options
from mitmproxy.tools.web.master import WebMaster
from mitmproxy.tools.web.web_columns import AVAILABLE_WEB_COLUMNS

from addon.inspection.webpage import COLUMNS, WebPage, WideComments, with_style

PAGE = b"<html><head><title>a</title></head><body></head></body></html>"


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Any]:
    untyped: Any = WebMaster
    master = untyped(options.Options(), with_termlog=False)
    yield master
    master.shutdown()


def load(master: Any) -> Any:
    page: Any = WebPage()
    master.addons.add(page)
    return page


async def test_the_list_has_the_comments_in_it(web: Any) -> None:
    load(web)
    assert web.options.web_columns == list(COLUMNS)
    assert set(COLUMNS) <= set(AVAILABLE_WEB_COLUMNS)


async def test_columns_that_somebody_chose_stay(web: Any) -> None:
    web.options.update(web_columns=["path", "status"])
    load(web)
    assert web.options.web_columns == ["path", "status"]


async def test_mitmweb_still_has_its_transforms_where_the_style_is_put_in(web: Any) -> None:
    # If this fails, mitmweb's application is made otherwise: addon/inspection/webpage.py changes
    # its list.
    before = list(web.app.transforms)
    page: Any = load(web)
    page.load(None)  # as when the script is loaded anew
    assert web.app.transforms == [WideComments, *before]


def test_the_style_stands_last_in_the_head() -> None:
    page = with_style(PAGE)
    assert page.index(b"<title>") < page.index(b"<style>") < page.index(b"</style></head><body>")
    assert page.count(b"<style>") == 1


@pytest.mark.parametrize(
    ("path", "finishing", "chunk", "is_changed"),
    [
        pytest.param("/", True, PAGE, True, id="the page"),
        pytest.param("/", True, b"", False, id="its head alone"),
        pytest.param("/", False, PAGE, False, id="what comes in pieces"),
        pytest.param("/flows/1/response/content.data", True, PAGE, False, id="a flow's body"),
    ],
)
def test_nothing_but_the_page_is_changed(
    path: str, finishing: bool, chunk: bytes, is_changed: bool
) -> None:
    request: Any = SimpleNamespace(path=path)
    headers = {"Content-Length": str(len(chunk))}
    given = WideComments(request).transform_first_chunk(200, headers, chunk, finishing)
    assert given[0] == 200
    assert (given[2] != chunk) is is_changed
    assert given[1]["Content-Length"] == str(len(given[2]))
