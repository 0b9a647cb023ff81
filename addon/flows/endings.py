"""The end of a flow: what became of it, told in the flow itself and to whoever listens."""

from __future__ import annotations

import time

from mitmproxy import http

from addon.flows.account import Account
from addon.flows.exchange import ASKED, STORY, Exchange
from addon.flows.messages import to_refused, to_shown
from addon.flows.replays import told_of
from addon.flows.telling import cause_of, story_facts, story_line
from addon.inspection.ownflows import FAILED_MARK


def account_of(flow: http.HTTPFlow, exchange: Exchange, *, is_told: bool) -> Account:
    """What became of a flow that has ended; if `is_told`, what it says is in the flow as well."""
    ended = time.monotonic()
    refused = to_refused(flow)
    broken = flow.error.msg if flow.error else ""
    failure = to_shown(cause_of(exchange.story, refused, exchange.url, broken))
    if is_told:
        tell_in(flow, exchange, ended, failure, refused.realm)
    asked = str(flow.metadata.get(ASKED, flow.request.path)).partition("?")[0]
    response = flow.response
    at_once = 0 if exchange.is_inner or not response else len(response.raw_content or b"")
    return Account(
        client=exchange.client,
        method=to_shown(flow.request.method),
        path=to_shown(asked),
        status=response.status_code if response else 0,
        size=exchange.story.given_bytes or at_once,
        started=exchange.started,
        ended=ended,
        url=exchange.url.partition("?")[0],
        broken=broken,
        failure=failure,
        story=exchange.story,
    )


def tell_refused(flow: http.HTTPFlow) -> None:
    """Say in the flow why mitmproxy itself has ended it, before it was known what is asked."""
    if flow.error and not flow.comment:
        flow.comment = f"failed: {to_shown(flow.error.msg)}"
        flow.marked = flow.marked or FAILED_MARK


def tell_in(
    flow: http.HTTPFlow, exchange: Exchange, ended: float, failure: str, realm: str
) -> None:
    """Say in the flow what became of it, and why it failed if it did.

    What a person has written there stays.
    """
    length = flow.response.headers.get("content-length", "") if flow.response else ""
    size = int(length) if length.isdigit() else None
    when = {"started": exchange.started, "ended": ended}
    story, url = exchange.story, exchange.url
    facts = story_facts(story, url=url, size=size, error=failure, realm=realm, **when)
    line = story_line(story, size=size, error=failure, realm=realm, **when)
    # What was told of it before it was asked again is no person's.
    if flow.comment in ("", told_of(flow).get("line")):
        flow.comment = line
    if flow.marked in ("", FAILED_MARK):
        flow.marked = FAILED_MARK if failure else ""
    flow.metadata[STORY] = {**facts, "line": line, "shown": flow.request.path}
