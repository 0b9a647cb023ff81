"""The story of each flow in mitmweb's list, where a person looks first.

mitmweb shows a flow's comment only in a tab of its own, or in a column for whoever knows of
`web_columns`; and that column is 150 pixels wide, which no option changes.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final, Protocol

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

COLUMNS: Final = ("tls", "icon", "path", "method", "status", "size", "time", "comment")

# The comment gets what the address leaves, and is read from its beginning; beside a flow that is
# chosen, the columns go that the flow itself shows. Lines of the log are read whole.
_STYLE: Final = (
    b"<style>"
    b".flow-table .col-path{width:28%}"
    b".flow-table .col-comment{width:auto}"
    b".flow-table td.col-comment{text-align:left;font-size:13px}"
    b".main-view:has(.flow-detail) :is(.col-method,.col-size,.col-time){display:none}"
    b".eventlog pre{white-space:pre-wrap}"
    b"</style>"
)
_END_OF_HEAD: Final = b"</head>"


class Request(Protocol):
    """What is used of tornado's."""

    path: str


class WideComments:
    """Puts the style into the page; all else that mitmweb serves stays as it is.

    It has the shape of tornado's OutputTransform, which mitmdump need not load for it.
    """

    def __init__(self, request: Request) -> None:
        self._is_page = request.path == "/"

    def transform_first_chunk(
        self, status_code: int, headers: MutableMapping[str, str], chunk: bytes, finishing: bool
    ) -> tuple[int, MutableMapping[str, str], bytes]:
        """Take the page, which comes whole."""
        if self._is_page and finishing and _END_OF_HEAD in chunk:
            chunk = with_style(chunk)
            headers["Content-Length"] = str(len(chunk))
        return status_code, headers, chunk

    def transform_chunk(self, chunk: bytes, finishing: bool) -> bytes:
        """Leave what comes later as it is."""
        return chunk


def with_style(page: bytes) -> bytes:
    """A page whose last word on style is ours."""
    return page.replace(_END_OF_HEAD, _STYLE + _END_OF_HEAD, 1)


class WebPage:
    """Shows the comments, if there is a page."""

    def load(self, _loader: Loader) -> None:
        """Set the columns, unless somebody has chosen some, and their widths."""
        if "web_columns" not in ctx.options:
            return
        if not ctx.options.has_changed("web_columns"):  # type: ignore[no-untyped-call]
            ctx.options.web_columns = list(COLUMNS)
        # An internal of mitmweb; tests/inspection/test_webpage.py says in words when it changes.
        # First, as what comes after it compresses.
        transforms: list[Any] = getattr(getattr(ctx.master, "app", None), "transforms", [])
        if WideComments not in transforms:
            transforms.insert(0, WideComments)
