"""One large blob, read by a process that keeps nothing of it."""

from __future__ import annotations

import json
from dataclasses import replace

from yarl import URL

from addon.inspection.steps import PullFailed

from .children import running
from .engine import Pull, new_session
from .measures import Process, count_kinds
from .runs import begin, end
from .site import Site
from .table import Row
from .ways import Way


async def token_for(site: Site, way: Way, image: str) -> str:
    """A token that the client got from where it pulls."""
    async with new_session(site.client_tls()) as session:
        return await Pull(session, URL(way.url), f"library/{image}").token()


async def read_layer(site: Site, way: Way, image: str, name: str) -> Row:
    """The image's only layer, whole and right.

    Raises:
        PullFailed: it is not.
    """
    ((digest, size),) = await site.add(image)
    token = await token_for(site, way, image)
    await site.log()
    process = Process(way.process) if way.process else None
    cpu = begin(process)
    url = f"{way.url}/v2/library/{image}/blobs/{digest}"
    async with running("reader", url, str(site.ca), token) as child:
        said = json.loads(await child.line())
    if (said["bytes"], said["digest"]) != (size, digest):
        raise PullFailed(f"{image}, {name}: {said}, expected {size} bytes")
    row = Row(image, name, said["seconds"], site.round_trip, size)
    return end(replace(row, upstream=count_kinds(await site.log())), process, cpu)
