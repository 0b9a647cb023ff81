"""What is remembered now, counted: no name, no address and no token of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from addon.memory.upstream import Upstream
from addon.outbound.hosts import Host
from addon.views.escaping import printable
from addon.views.sizes import format_size
from addon.views.table import align, section


@dataclass(frozen=True, slots=True)
class Stock:
    """One kind of what is remembered; bytes and their bound where it is bounded by bytes."""

    what: str
    count: int
    held: int | None = None
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The line to a host: its round trip in seconds (0: not known), connections open and busy."""

    host: str
    round_trip: float
    connections: int
    busy: int


def stocks(upstream: Upstream, images_ahead: int) -> list[Stock]:
    """All that is remembered of an upstream."""
    manifests, blobs = upstream.manifests, upstream.small_blobs
    redirects = upstream.blobs.ways.redirects
    return [
        Stock("manifests", len(manifests), manifests.held, manifests.budget),
        Stock("tags", manifests.tags),
        Stock("small blobs", len(blobs), blobs.held, blobs.budget),
        Stock("tokens", len(upstream.tokens), upstream.tokens.held),
        Stock("redirects", len(redirects), redirects.held),
        Stock("images looked ahead for", images_ahead),
    ]


def lines_to(hosts: Iterable[tuple[str, Host]]) -> list[Line]:
    """What is known of hosts."""
    return [Line(n, h.round_trip, h.connections, h.busy) for n, h in hosts]


def inventory_text(held: Iterable[Stock], lines: Iterable[Line]) -> str:
    """Both as tables."""
    counts = align([_stock(each) for each in held], right=(1, 2))
    head = ["host", "round trip", "open", "busy"]
    hosts = [_line(each) for each in lines]
    return "\n".join(counts + (section("hosts", [head, *hosts], (1, 2, 3)) if hosts else []))


def _stock(stock: Stock) -> list[str]:
    held = "" if stock.held is None else format_size(stock.held)
    of = "" if stock.budget is None else f"of {format_size(stock.budget)}"
    return [stock.what, f"{stock.count:,}", held, of]


def _line(line: Line) -> list[str]:
    round_trip = f"{line.round_trip * 1000:.0f} ms" if line.round_trip else "?"
    return [printable(line.host), round_trip, str(line.connections), str(line.busy)]
