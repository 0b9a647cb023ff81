"""A flow that is asked again by somebody who looks at it: `r` in mitmproxy, or `-C`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from mitmproxy import http

from addon.answering.answering import Incoming
from addon.flows.exchange import ASKED, STORY
from addon.flows.messages import to_response, to_shown
from addon.flows.replaying import AS_NOBODY, REPLAYED, anonymous_target, held, replayed_target
from addon.inspection.ownflows import FAILED_MARK
from addon.protocol.asked import no_body
from addon.protocol.errors import MirrorError
from addon.protocol.reply import from_error
from addon.redaction.records import Hidden
from addon.redaction.redaction import REDACTED

logger = logging.getLogger(__name__)

NOT_REPLAYED = (
    "the mirror's own requests are not replayed; replay the client's request that it was sent for"
)


def is_replayed(flow: http.HTTPFlow) -> bool:
    """Whether it is not a client that asks, but somebody who looks at what a client has asked."""
    return flow.is_replay == "request"


def is_edited(flow: http.HTTPFlow) -> bool:
    """Whether a flow that is asked again shows another target than it did when it had ended."""
    return bool(told_of(flow).get("shown") != flow.request.path)


def told_of(flow: http.HTTPFlow) -> Mapping[str, object]:
    """What was told of it last; a recording may hold anything."""
    told = flow.metadata.get(STORY)
    return told if isinstance(told, dict) else {}


def true_target(flow: http.HTTPFlow, hidden: Hidden) -> str:
    """What the client asks, whatever the flow shows."""
    if not is_replayed(flow):
        return hidden.true_target(flow.request.path)
    shown = told_of(flow).get("shown")
    return replayed_target(flow.metadata.get(ASKED), shown, flow.request.path)


def to_replayed(incoming: Incoming, flow: http.HTTPFlow) -> tuple[Incoming, str]:
    """A request that is asked again, with what its flow still holds, and how it is asked."""
    fields = held(incoming.fields)
    content = flow.request.raw_content or b""
    anonymous = anonymous_target(content) if incoming.method == "POST" else ""
    again = replace(incoming, fields=fields, is_replayed=True)
    if anonymous:
        again = replace(again, method="GET", target=anonymous, form=no_body)
    lacks_secret = REDACTED in str(flow.metadata.get(ASKED)) and not is_edited(flow)
    if len(fields) == len(incoming.fields) and not anonymous and not lacks_secret:
        return again, REPLAYED
    logger.info("%s is %s", to_shown(again.target.partition("?")[0]), AS_NOBODY)
    return again, AS_NOBODY


def refuse_own(flow: http.HTTPFlow) -> None:
    """Ask nothing again that no client has asked: it lacks what it was asked with."""
    flow.response = to_response(from_error(MirrorError(403, "DENIED", NOT_REPLAYED)), "GET")
    flow.comment = f"failed: {NOT_REPLAYED}"
    flow.marked = FAILED_MARK
    logger.warning("%s", NOT_REPLAYED)
