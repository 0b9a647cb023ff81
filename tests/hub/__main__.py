"""`python -m tests.hub`: a Hub with sample images on the loopback, for trying by hand."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from .hub import USERS, Hub

_MIB = 1024 * 1024


def _fill(hub: Hub) -> None:
    alpine = hub.add_image("library/alpine", "latest", [100_000, 2 * _MIB])
    hub.add_image(
        "library/multi", platforms=["linux/amd64", "linux/arm64/v8", "linux/arm/v7"], form="docker"
    )
    hub.add_image("library/zstd", layers=[3 * _MIB, 5000], compression="zstd")
    hub.add_image("library/large", layers=[200 * _MIB], compression=None)
    hub.add_image("demo/private", "1", private=True)
    hub.add_artifact("demo/artifact", "1")
    hub.add_artifact("library/alpine", subject=alpine)


def _describe(hub: Hub) -> str:
    user, password = next(iter(USERS.items()))
    names = [f"{name}:{tag}" for name, held in hub.state.repositories.items() for tag in held.tags]
    return f"""\
registry  {hub.registry_url}
tokens    {hub.token_url}
CDN       {hub.cdn_url}
CA        {hub.ca_file}
images    {", ".join(names)}
login     {user} / {password}, for demo/private

mitmdump -s addon/mirror.py --mode reverse:{hub.registry_url} \\
  --set ssl_verify_upstream_trusted_ca={hub.ca_file} \\
  --set docxy_token_service={hub.token_url} --set docxy_service={hub.service} \\
  --set docxy_redirect_private=127.0.0.0/8

Ctrl-C ends it. Requests:
"""


async def _main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Hub() as hub:
        _fill(hub)
        print(_describe(hub), flush=True)
        printed = 0
        while not stop.is_set():
            done = [seen for seen in hub.requests[printed:] if seen.status is not None]
            for seen in done:
                print(seen.line, flush=True)
            printed += len(done)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.2)


asyncio.run(_main())
