"""`python -m tests.browser.pictures [FOLDER]`: the guide's pictures, taken anew.

Each failure is made on the test Hub, and mitmweb is shown by a real Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.bench.children import run_to_end
from tests.browser.chromium import Tab, find_chromium, running_chromium
from tests.browser.failures import FAILURES, PUBLIC_URL, Failure
from tests.browser.mitmweb import Mitmweb
from tests.hub import Hub
from tests.inspecting import Page, inspecting
from tests.running import PROJECT

FOLDER: Final = PROJECT / "docs" / "pictures"
# Pixels; the list alone needs fewer.
WIDTH, HEIGHT, LIST_HEIGHT = 1200, 440, 300


@asynccontextmanager
async def failing(folder: Path) -> AsyncIterator[tuple[Hub, Page]]:
    """A mirror with a certificate that nobody knows, and a public address that nobody reaches."""
    async with Hub() as hub:
        certificate, key = hub.issue_certificate(folder, "127.0.0.1", "mirror.example.com")
        settings = {
            "docxy_public_url": PUBLIC_URL,
            "docxy_cert_path": str(certificate),
            "docxy_key_path": str(key),
            "docxy_http_port": "0",
            # So that each failure is one flow, and not what was looked ahead for.
            "docxy_look_ahead": "false",
        }
        async with inspecting(hub, folder, ca_file=hub.ca_file, settings=settings) as page:
            yield hub, page


async def show(failure: Failure, hub: Hub, mitmweb: Mitmweb) -> str:
    """Make a failure and show it; what is on the page then."""
    page = mitmweb.page
    await page.post("/clear")
    await failure.make(page.mirror, hub)
    if failure.in_log:
        await mitmweb.open(events=True)
        return await mitmweb.events(*failure.shown)
    chosen = await page.flow(failure.path) if failure.path else None
    await mitmweb.open(chosen["id"] if chosen else "", "comment", search=failure.search)
    await mitmweb.rows()
    return await mitmweb.tab.text()


async def take(tab: Tab, folder: Path, state: Path) -> list[Path]:
    """All pictures, with a mirror whose files lie in `state`."""
    async with failing(state) as (hub, page):
        taken = [await picture(each, hub, Mitmweb(tab, page), folder) for each in FAILURES]
        # Or it would complain of the mirror's end.
        await tab.open("about:blank")
        return taken


async def picture(failure: Failure, hub: Hub, mitmweb: Mitmweb, folder: Path) -> Path:
    """One picture.

    Raises:
        AssertionError: the cause is not to be seen in it.
    """
    await mitmweb.tab.has_size(WIDTH, HEIGHT if failure.path else LIST_HEIGHT)
    shown = await show(failure, hub, mitmweb)
    missing = [text for text in failure.shown if text not in shown]
    assert not missing, f"{failure.name}: no {missing} in\n{shown}"
    file = folder / f"{failure.name}.png"
    file.write_bytes(await mitmweb.tab.picture())
    return file


async def _main(folder: Path) -> int:
    program = find_chromium()
    if not program:
        print("there is no chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="docxy-pictures-") as state:
        async with running_chromium(program) as browser:
            for file in await take(await browser.tab(), folder, Path(state)):
                print(f"{file} ({file.stat().st_size} bytes)")
    return 0


def main(words: Sequence[str]) -> int:
    """Take them into the folder that is named, or the guide's."""
    folder = Path(words[0]) if words else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return run_to_end(_main(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
