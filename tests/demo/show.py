"""The demo itself: a Hub, a mirror in front of it, a pull, and what came of each request."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from addon.inspection.steps import PullFailed
from addon.start import listeners, plan
from addon.views.sizes import format_size
from tests.hub import Hub
from tests.running import START_SECONDS, Mirror, running_mirror

from .asked import Asked, Attribution
from .lines import client_row, format_seconds, heading, hub_row, hub_rows
from .pull import client_of, pull, wait
from .witnessed import SCRIPT, witnessed

HOST = "127.0.0.1"
# What the user has set for a real mirror must not reach this one.
ENVIRON = {"CERT_PATH": "", "KEY_PATH": "", "DOMAIN": "", "NO_PROXY": "*", "no_proxy": "*"}
LAYERS = (3_400_000, 12_000_000)
LAST_LINES = 5
POLL_SECONDS = 0.1


class Failure(Exception):
    """The demo cannot go on; the message is for the user."""


async def show(stay: bool) -> None:
    """Print a whole pull.

    Args:
        stay: serve on after it, until cancelled.

    Raises:
        Failure: something did not work.
    """
    async with Hub() as hub:
        fill(hub)
        say(describe(hub))
        async with running(hub) as mirror:
            attribution = Attribution(hub.requests)
            await show_pull(mirror, attribution)
            say(invitation(mirror, stay))
            if stay:
                with contextlib.suppress(asyncio.CancelledError):
                    await follow(mirror, attribution)
    if stay:
        say("\nStopped; nothing is left running.")


def say(line: str) -> None:
    # At once also where this is a pipe.
    print(line, flush=True)


def fill(hub: Hub) -> None:
    hub.add_image("library/alpine", layers=LAYERS, platforms=["linux/amd64", "linux/arm64/v8"])


def describe(hub: Hub) -> str:
    roles = (hub.registry, hub.token, hub.cdn)
    where = ", ".join(f"{role.role} {role.url.partition('://')[2]}" for role in roles)
    return f"test Hub  {where} (private CA)"


@contextlib.asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[Mirror]:
    """A mirror in front of the Hub, on the usual port if that can be had."""
    async with contextlib.AsyncExitStack() as stack:
        port = usual_port()
        try:
            mirror = await stack.enter_async_context(running_on(port, hub))
        except Failure:
            if port is None or usual_port():
                raise
            # Somebody took it in the second that a start takes.
            mirror = await stack.enter_async_context(running_on(None, hub))
        yield mirror


@contextlib.asynccontextmanager
async def running_on(port: int | None, hub: Hub) -> AsyncIterator[Mirror]:
    """A mirror on this port, or on a free one.

    Raises:
        Failure: it does not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="docxy-demo-"))
        mirror = running_mirror(
            hub, Path(folder), "-s", str(SCRIPT), host=HOST, port=port, environ=ENVIRON
        )
        try:
            started = await stack.enter_async_context(mirror)
            await said_where(started)
        except AssertionError as e:
            log = str(e).splitlines()[1:]
            raise Failure(with_last_lines("the mirror does not start", log)) from e
        yield started


async def said_where(mirror: Mirror) -> None:
    """Until the mirror says where it is; what listens on its port may be another program."""
    for _ in range(int(START_SECONDS / POLL_SECONDS)):
        if "Docxy " in mirror.text:
            return
        if mirror.process.returncode is not None:
            break
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError(f"the mirror does not say where it is:\n{mirror.text}")


def usual_port() -> int | None:
    """The port that `./run.sh` takes, or None if that is taken."""
    port = int(plan.PLAIN_PORT)
    try:
        listeners.bind_once(listeners.Listener(HOST, port))
    except OSError:
        return None
    return port


async def show_pull(mirror: Mirror, attribution: Attribution) -> None:
    """Pull through the mirror by the short name."""
    try:
        async with client_of(mirror.host, mirror.port) as client:
            await wait(client)
            say(f"Docxy     {mirror.url} (mitmdump with addon/mirror.py)\n\n{heading()}")
            began = time.monotonic()
            done: list[Asked] = []

            def told(asked: Asked) -> None:
                say_request(asked, attribution)
                done.append(asked)

            await pull(client, told)
            say(summary(done, time.monotonic() - began, attribution))
    except PullFailed as e:
        if await ended(mirror):
            raise Failure(with_last_lines(f"the mirror ended; {e}", mirror.log)) from e
        raise Failure(str(e)) from e


async def ended(mirror: Mirror) -> bool:
    """Whether the mirror ends; its connections do so a little before it."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(mirror.process.wait(), 1)
    return mirror.process.returncode is not None


def say_request(asked: Asked, attribution: Attribution) -> None:
    say("\n".join([client_row(asked), *hub_rows(asked, attribution.take(asked))]))


def summary(done: list[Asked], seconds: float, attribution: Attribution) -> str:
    unasked = [hub_row(seen) for seen in attribution.rest()]
    size = format_size(sum(asked.size or 0 for asked in done))
    upstream = len(attribution.log)
    total = (
        f"{len(done)} requests, {upstream} to the Hub, {size} in {format_seconds(seconds)};"
        " all digests right."
    )
    return "\n".join([*(["Not asked for by the client:", *unasked] if unasked else []), "", total])


def invitation(mirror: Mirror, stay: bool) -> str:
    image = f"{mirror.authority}/alpine"
    when = "Another client can do the same while ./run.sh demo --stay serves:"
    end = ""
    if stay:
        when, end = "Serving until Ctrl-C. Try it in another terminal:", "\n"
    return f"""\
{when}
  docker pull {image}
  skopeo copy --src-tls-verify=false docker://{image} dir:alpine{end}"""


async def follow(mirror: Mirror, attribution: Attribution) -> None:
    """Print what other clients ask."""
    read = 0
    while mirror.process.returncode is None:
        await asyncio.sleep(POLL_SECONDS)
        fresh, read = mirror.log[read:], len(mirror.log)
        for asked in witnessed(fresh):
            say_request(asked, attribution)
    raise Failure(with_last_lines("the mirror ended", mirror.log))


def with_last_lines(message: str, log: list[str]) -> str:
    """The message, and under it what the mirror said last."""
    last = [f"  {line}" for line in log if line.strip()][-LAST_LINES:]
    return "\n".join([f"{message}; the last it said:", *last] if last else [message])
