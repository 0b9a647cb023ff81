"""No secret is anywhere in mitmweb's page, whatever a person looks at."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browser.chromium import Tab
from tests.browser.mitmweb import Mitmweb
from tests.e2e.test_secrets import PASSWORD, REPOSITORY, Pulled, fail, found, presigned, pull
from tests.hub import Hub
from tests.inspecting import inspecting

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_hub() -> AsyncIterator[Hub]:
    async with Hub(users={"alice": PASSWORD}) as hub:
        hub.add_image(REPOSITORY, layers=(2000, 300_000), platforms="linux/amd64", private=True)
        yield hub


async def everything(mitmweb: Mitmweb) -> dict[str, str]:
    """All that the page holds, in each part of each flow, and the log."""
    await mitmweb.open(events=True)
    # As much of it as fits; all of it is in the API.
    await mitmweb.events("Docxy")
    rows = await mitmweb.all_rows()
    places = {"the list": await mitmweb.markup()}
    for number, row in enumerate(rows):
        for part in await mitmweb.choose(number):
            places[f"{row.method} {row.path}, {part}"] = await mitmweb.see(part)
    return places


async def pulled_and_seen(
    tab: Tab, hub: Hub, folder: Path, **settings: str
) -> tuple[Pulled, list[str], dict[str, str]]:
    async with inspecting(hub, folder, settings={"docxy_remember": "false", **settings}) as page:
        mitmweb = Mitmweb(tab, page)
        pulled = await pull(page.mirror, hub)
        failed = await fail(page.mirror)
        places = await everything(mitmweb)
        places["the API's flows"] = json.dumps(await page.get("/flows"))
        places["the API's log"] = json.dumps(await page.get("/events"))
        # Or it would complain of the mirror's end.
        await tab.open("about:blank")
    return pulled, failed, places


async def test_none_is_in_it(tab: Tab, hub: Hub, tmp_path: Path) -> None:
    pulled, failed, places = await pulled_and_seen(tab, hub, tmp_path)
    assert len(places) > 50
    secrets = [*pulled.shown_where_asked, *failed, *presigned(hub)]
    assert len(secrets) > 12
    for name, content in places.items():
        assert (name, found(secrets, content.encode())) == (name, [])
    assert [name for name, content in places.items() if "Basic [redacted]" in content]
    assert [name for name, content in places.items() if "password=[redacted]" in content]


async def test_they_are_where_they_are_asked_for(tab: Tab, hub: Hub, tmp_path: Path) -> None:
    """So that the search above could find them."""
    pulled, _, places = await pulled_and_seen(tab, hub, tmp_path, docxy_show_secrets="true")
    seen = found(pulled.shown_where_asked, "\n".join(places.values()).encode())
    assert len(seen) >= 5, seen
    assert PASSWORD in seen
