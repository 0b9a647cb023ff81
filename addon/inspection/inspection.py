"""Commands for whoever looks inside: what happened, why, and what is remembered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mitmproxy.types
from mitmproxy import command, ctx, exceptions, flow, http

from addon.answering.fetching import Fetcher
from addon.flows.exchange import ASKED, STORY
from addon.inspection.explaining import explain
from addon.inspection.ownflows import SENT
from addon.inspection.seen import MAX_SHOWN, ClientRequest, Facts, OwnRequest, Sendings, number
from addon.inspection.waterfall import pictures
from addon.inspection.waterfallpage import page
from addon.memory.inventory import inventory_text, lines_to, stocks
from addon.redaction.redaction import redact_own_url
from addon.views.escaping import printable

NO_FLOWS = "none of these flows is a client's request that the mirror has answered"
NO_MIRROR = "no mirror runs here"


class Inspection:
    """The commands; `fetcher` gives what answers now."""

    def __init__(self, fetcher: Callable[[], Fetcher | None]) -> None:
        self._fetcher = fetcher

    @command.command("docxy.timeline")  # type: ignore[untyped-decorator]
    def timeline(self, flows: Sequence[flow.Flow], path: mitmproxy.types.Path) -> None:
        """Write a page that shows the flows' requests, and what was sent for them, over time."""
        clients, own = _requests(flows)
        try:
            _write(path, page(pictures(clients, own)))
        except OSError as e:
            raise _error(f"{path}: {e.strerror or e}") from e

    @command.command("docxy.explain")  # type: ignore[untyped-decorator]
    def explain(self, flows: Sequence[flow.Flow]) -> str:
        """Say what the mirror decided for each of the flows' requests, and why."""
        return explain(*_requests(flows))

    @command.command("docxy.limits")  # type: ignore[untyped-decorator]
    def limits(self) -> str:
        """Say how many pulls are left, as the registry last said."""
        return "\n".join(self._running().upstream.pull_limits.lines())

    @command.command("docxy.memory")  # type: ignore[untyped-decorator]
    def memory(self) -> str:
        """Say what is remembered now, and which connections are open."""
        fetcher = self._running()
        upstream = fetcher.upstream
        hosts = lines_to(upstream.outbound.hosts.known())
        return inventory_text(stocks(upstream, fetcher.images_ahead), hosts)

    def _running(self) -> Fetcher:
        fetcher = self._fetcher()
        if fetcher is None:
            raise _error(NO_MIRROR)
        return fetcher


def _requests(flows: Sequence[flow.Flow]) -> tuple[list[ClientRequest], list[OwnRequest]]:
    """The clients' requests among flows, and what was sent for them, be it among these or not."""
    clients = [_to_client(each) for each in _http(flows) if _facts(each, STORY)]
    if not clients:
        raise _error(NO_FLOWS)
    chosen = {each.id for each in flows}
    # Whoever points at one request wants to see what was sent for it.
    shown = [each for each in _http([*flows, *_all_flows()]) if _facts(each, SENT)]
    own = {each.id: _to_own(each) for each in shown}
    besides = {id(each) for each in Sendings(own.values()).besides(clients)}
    return clients, [e for key, e in own.items() if key in chosen or id(e) not in besides]


def _all_flows() -> Sequence[flow.Flow]:
    """All that a person has before him; mitmdump keeps none."""
    if "view.flows.resolve" not in ctx.master.commands.commands:
        return ()
    found: Sequence[flow.Flow] = ctx.master.commands.call("view.flows.resolve", "@all")
    return found


def _http(flows: Iterable[flow.Flow]) -> list[http.HTTPFlow]:
    return [each for each in flows if isinstance(each, http.HTTPFlow)]


def _facts(made: http.HTTPFlow, key: str) -> dict[Any, Any]:
    found = made.metadata.get(key)
    return found if isinstance(found, dict) else {}


def _to_client(made: http.HTTPFlow) -> ClientRequest:
    asked = made.metadata.get(ASKED)
    peer = made.client_conn.peername
    return ClientRequest(
        Facts(_facts(made, STORY)),
        began=number(made.request.timestamp_start) or 0.0,
        method=printable(made.request.method, MAX_SHOWN),
        target=printable(redact_own_url(asked), MAX_SHOWN) if isinstance(asked, str) else "",
        client=printable(str(peer[0]), MAX_SHOWN) if peer else "",
        status=made.response.status_code if made.response else 0,
    )


def _to_own(made: http.HTTPFlow) -> OwnRequest:
    status = made.response.status_code if made.response else 0
    return OwnRequest(Facts(_facts(made, SENT)), printable(made.request.method, MAX_SHOWN), status)


def _write(path: str, text: str) -> None:
    """Write a file over what is there, as mitmproxy's own commands do; a new one is private."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)


def _error(message: str) -> exceptions.CommandError:
    return exceptions.CommandError(message)
