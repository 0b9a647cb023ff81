"""The oldest flows go, where somebody looks at flows: mitmweb and the console keep every one.

mitmdump forgets a flow once it has ended, and has nothing of this in its chain but an option.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.flow import Flow

from addon.inspection.ownflows import FAILED_MARK, OWN_MARK
from addon.mitm.sockets import listens
from addon.settings.option import Option, check_numbers, declare

logger = logging.getLogger(__name__)

OPTION = Option(
    "docxy_inspect_flows",
    int,
    2000,
    "Flows that the page or the terminal program keeps; the oldest go first.",
    least=1,
)

# Bytes that the flows hold together: a flow keeps a body of 1 MiB at most, and a head of 64 KiB in
# several forms; thousands of such are not what anybody means by a list of requests.
MAX_HELD = 64 * 1024 * 1024
# What a field takes beside its bytes, about.
FIELD_COST = 128

# Flows that are looked at when one has ended. More than one, so that what could not go while it was
# on its way is made up for; few, so that no flow costs more for all that are there.
_LOOKS = 4
# No mark at all, and those that the mirror sets.
OWN_MARKS = frozenset({"", OWN_MARK, FAILED_MARK})


class View(Protocol):
    """What is used of mitmproxy's list of flows."""

    sig_store_remove: Any
    sig_store_refresh: Any

    def store_count(self) -> int:
        """How many there are, shown or not."""

    def get_by_id(self, flow_id: str) -> Flow | None:
        """One of them."""

    def resolve(self, flow_spec: str) -> Sequence[Flow]:
        """Those that are meant."""

    def remove(self, flows: Sequence[Flow]) -> None:
        """Take some out; one that is on its way is killed."""


class InspectedFlows:
    """Bounds the list of flows, if there is one."""

    def __init__(self) -> None:
        self.addons: list[object] = []

    def load(self, loader: Loader) -> None:
        """Declare the option, and look for a list."""
        declare(loader, [OPTION])
        view = ctx.master.addons.get("view")  # type: ignore[no-untyped-call]
        if view is not None:
            self.addons.append(Oldest(view))

    def configure(self, updated: set[str]) -> None:
        """Refuse a list without a flow."""
        if OPTION.name not in updated:
            return
        try:
            check_numbers([OPTION], {OPTION.name: ctx.options.docxy_inspect_flows})
        except ValueError as e:
            if listens():
                raise exceptions.OptionsError(str(e)) from e  # type: ignore[no-untyped-call]
            logger.error("%s", e)  # it ends the start; raised, it would have a traceback


class Oldest:
    """Takes the oldest flows out of the list once there are too many.

    One that is on its way stays until it has ended: taking it out would break somebody's pull. One
    that somebody has marked stays: whoever looks has said so. Both count.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        # The bytes that each one holds, oldest first. Ids alone, or what somebody has taken out of
        # the list would be kept here.
        self._held: OrderedDict[str, int] = OrderedDict()
        self._total = 0
        view.sig_store_remove.connect(self._removed)
        view.sig_store_refresh.connect(self._refreshed)

    def __len__(self) -> int:
        return len(self._held)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Note that one comes."""
        self._note(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        """One has ended, so another may go."""
        self._note(flow)
        self._trim()

    def error(self, flow: http.HTTPFlow) -> None:
        """One has failed, so another may go."""
        self._note(flow)
        self._trim()

    def _note(self, flow: Flow) -> None:
        self._total -= self._held.get(flow.id, 0)
        self._held[flow.id] = bytes_held(flow)
        self._total += self._held[flow.id]

    def _trim(self) -> None:
        if self._view.store_count() > len(self._held):
            # Somebody has duplicated or loaded some, of which no addon hears.
            self._refreshed()
        for _ in range(_LOOKS):
            if self._is_too_much():
                self._look_at_oldest()

    def _is_too_much(self) -> bool:
        count = self._view.store_count()
        return count > ctx.options.docxy_inspect_flows or (self._total > MAX_HELD and count > 1)

    def _look_at_oldest(self) -> None:
        flow_id = next(iter(self._held), "")
        found = self._view.get_by_id(flow_id)
        if found is None:
            self._forget(flow_id)
        elif found.live or found.marked not in OWN_MARKS:
            self._held.move_to_end(flow_id)
        else:
            self._view.remove([found])

    def _forget(self, flow_id: str) -> None:
        self._total -= self._held.pop(flow_id, 0)

    def _removed(self, flow: Flow) -> None:
        self._forget(flow.id)

    def _refreshed(self) -> None:
        """Learn anew what there is."""
        self._held.clear()
        self._total = 0
        for each in self._view.resolve("@all"):
            self._note(each)


def bytes_held(flow: Flow) -> int:
    """How many bytes a flow holds, about: bodies, heads, and what is told of it."""
    if not isinstance(flow, http.HTTPFlow):
        return 0
    messages = [each for each in (flow.request, flow.response) if each]
    bodies = sum(len(each.raw_content or b"") for each in messages)
    fields = [field for each in messages for field in each.headers.fields]
    heads = sum(len(name) + len(value) + FIELD_COST for name, value in fields)
    told = [each for each in flow.metadata.values() if isinstance(each, dict)]
    texts = [flow.request.path, flow.comment, *flow.metadata.values()]
    texts += [each for facts in told for each in facts.values()]
    return bodies + heads + sum(len(each) for each in texts if isinstance(each, str))
