"""The client far away from the mirror, challenged or not.

containerd asks for the manifest at once and is sent for a token; Docker asks `/v2/` first either
way, and fetches its token over the connection that it has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from tests.ports import free_port

from . import ways
from .engine import Style
from .relay import Route
from .runs import Options, measured, median
from .site import MIRROR_HOST, Site, far_hub, relay
from .table import Goal, Result, Row


async def rows(options: Options) -> AsyncIterator[Result]:
    """Both kinds of engine, both settings."""
    async with far_hub(0.0, options.folder, ["small"]) as site:
        styles: tuple[Style, ...] = ("containerd", "docker")
        for style in styles:
            challenged = await _pulled(site, options, style, "client")
            unchallenged = await _pulled(site, options, style, "none")
            yield challenged
            yield unchallenged
            saved = (challenged.seconds - unchallenged.seconds) / options.round_trip
            if style == "containerd":
                what = "client far away, docxy_login=none against client: saved"
                # Some ms of chance in one of the two are not the line's.
                yield Goal(what, round(saved, 1), 2, "round trips", at_least=True)


async def _pulled(site: Site, options: Options, style: Style, login: str) -> Row:
    port, far = free_port(MIRROR_HOST), free_port(MIRROR_HOST)
    settings = {"docxy_login": login, "docxy_public_url": f"https://{MIRROR_HOST}:{far}"}
    name = f"far client ({style}), login={login}"
    route = Route((MIRROR_HOST, far), (MIRROR_HOST, port))
    async with ways.mirror(site, settings, port=port) as way, relay(options.round_trip, [route]):
        near = await measured(site, way, "small", name)
        assert near
        there = replace(way, url=settings["docxy_public_url"])
        taken = [
            await measured(site, there, "small", name, style=style, round_trip=options.round_trip)
            for _ in range(options.repeat)
        ]
    return median(taken)
