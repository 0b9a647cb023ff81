"""Comments above what mitmdump prints, with mitmproxy's own Dumper."""

from __future__ import annotations

import io
from typing import Any

import pytest
from mitmproxy import flow, http
from mitmproxy.addons import dumper
from mitmproxy.test import taddons, tflow

from addon.inspection.comments import Comments

untyped_dumper: Any = dumper
untyped_taddons: Any = taddons
untyped_tflow: Any = tflow


def printed(flow: http.HTTPFlow, hook: str = "response", **options: Any) -> list[str]:
    """The lines that are printed of a flow."""
    out = io.StringIO()
    printer, comments = untyped_dumper.Dumper(out), Comments()
    with untyped_taddons.context(printer, comments) as context:
        context.configure(printer, **options)
        getattr(comments, hook)(flow)
        getattr(printer, hook)(flow)
    return out.getvalue().splitlines()


def told(comment: str = "alpine:latest · from memory · 2 ms") -> http.HTTPFlow:
    made: http.HTTPFlow = untyped_tflow.tflow(resp=True)
    made.comment = comment
    return made


def test_stand_above_their_flow() -> None:
    lines = printed(told(), flow_detail=1)
    assert lines[0] == "alpine:latest · from memory · 2 ms"
    assert "GET" in lines[1]


def test_stand_above_a_flow_that_broke_off() -> None:
    broken = told("failed: it broke off")
    broken.error = flow.Error("it broke off")
    assert printed(broken, "error", flow_detail=1)[0] == "failed: it broke off"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"flow_detail": 0}, id="no flow is printed"),
        pytest.param({"flow_detail": 1, "dumper_filter": "~m POST"}, id="this one is not"),
    ],
)
def test_are_not_printed_where_their_flow_is_not(options: dict[str, Any]) -> None:
    assert printed(told(), **options) == []


def test_of_a_recording_from_anybody_obey_no_terminal() -> None:
    assert "\x1b" not in printed(told("\x1b[2J"), flow_detail=1)[0]


def test_without_one_the_flow_alone_is_printed() -> None:
    assert "GET" in printed(told(""), flow_detail=1)[0]


def test_are_left_to_the_page_where_there_is_no_dumper() -> None:
    comments = Comments()
    with untyped_taddons.context(comments):
        comments.response(told())
