"""`docxy.pull` under mitmweb: an image comes through the mirror's port, and each request shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from addon.inspection.pulls import AGENT
from tests.e2e.webpage import WebPage, web_mirror
from tests.hub import Hub, Status
from tests.hub.faults import Delay
from tests.running import Mirror, settings_arguments

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAYERS = (2000, 3_000_000, 500, 600)
DONE = re.compile(r"all digests right|failed, ")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inspected(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Mirror, WebPage]]:
    shared_hub.add_image(
        "library/alpine", layers=LAYERS, platforms=["linux/amd64", "linux/arm64/v8"]
    )
    folder = tmp_path_factory.mktemp("confdir")
    words = settings_arguments({"docxy_own_flows": "true"})
    async with web_mirror(shared_hub, folder, *words) as found:
        yield found


async def pulled(page: WebPage, *words: str) -> str:
    """The table of a pull, once it has ended."""
    said = await page.run("docxy.pull", *words)
    assert said.startswith("Pulling "), said
    return await last(page)


async def last(page: WebPage) -> str:
    async with asyncio.timeout(60):
        while True:
            newest = str(await page.run("docxy.pulls")).split("\n\n")[0]
            if DONE.search(newest.partition("\n")[0]):
                return newest
            await asyncio.sleep(0.05)


def column(table: str, start: int, end: int | None = None) -> list[str]:
    """A column of the table's rows, by its words."""
    return [" ".join(row.split()[start:end]) for row in table.splitlines()[2:-1]]


async def test_an_image_is_pulled_and_each_request_is_a_row(
    hub: Hub, inspected: tuple[Mirror, WebPage]
) -> None:
    mirror, page = inspected
    first = await pulled(page, "alpine", "linux/amd64")
    assert re.match(r"alpine:latest for linux/amd64: 9 requests, 3\.\d MB in [\d,]+ ms, all", first)
    assert column(first, 0, 1) == ["ping", "token", "index", "manifest", "config"] + ["layer"] * 4
    assert column(first, 2, 3) == ["401", *(["200"] * 8)]
    assert first.splitlines()[-1].strip().startswith("9")
    assert "pulls left in 6 h" in first
    sources = column(first, 7)
    assert sources[0] == "mirror"
    assert set(sources[2:4]) == {"network"}
    assert all(sources)
    asked = len(hub.requests)
    again = await pulled(page, "library/alpine:latest", "linux/amd64")
    assert set(column(again, 7)) >= {"mirror", "memory"}
    assert len(hub.requests.of("cdn")) < 2 * 6
    assert len(hub.requests) < 2 * asked
    assert "docxy.pull layer /v2/library/alpine/blobs/sha256:" in mirror.text
    assert await mirror.log_line("docxy.pull library/alpine:latest for linux/amd64: 9 requests")
    assert "Traceback" not in mirror.text


async def test_its_requests_are_flows_as_any_clients(
    hub: Hub, inspected: tuple[Mirror, WebPage]
) -> None:
    _, page = inspected
    await page.post("/clear")
    hub.requests.clear()
    await pulled(page, "alpine", "linux/arm64")
    flows = await page.flows()
    assert len(flows) == 9
    agents = [dict(flow["request"]["headers"]).get("User-Agent") for flow in flows]
    assert set(agents) == {AGENT}
    assert all(flow["comment"] for flow in flows)
    index = await page.flow("/manifests/latest")
    assert index["comment"].startswith("alpine:latest → library/alpine · ")
    told = await page.run("docxy.explain", "~u /manifests/sha256")
    assert "upstream" in told
    assert await page.own_flows()


async def test_no_layer_is_kept_and_the_config_and_the_token_are_shown(
    hub: Hub, inspected: tuple[Mirror, WebPage]
) -> None:
    _, page = inspected
    await page.post("/clear")
    await pulled(page, "alpine", "linux/amd64")
    blobs = [flow for flow in await page.flows() if "/blobs/" in flow["request"]["path"]]
    config, *layers = sorted(blobs, key=lambda flow: -(flow["response"]["contentLength"] or 0))
    assert not any(flow["response"]["contentLength"] for flow in layers)
    shown = await page.shown(config)
    assert shown.startswith("Image config for linux/amd64, made 2024-05-01")
    for part in ("PATH=/bin", "/bin/true", "layer 0", "History (4 steps, 4 layers)"):
        assert part in shown
    token = await page.shown(await page.flow("/token"))
    assert re.match(r"Token answer: good for \d+ s yet", token)
    for part in ("Header of token", "Claims of token", "repository  library/alpine  pull"):
        assert part in token


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["alpine:3.99"], "GET /v2/alpine/manifests/3.99: status 404; MANIFEST_UNKNOWN: "),
        (["alpine", "linux/s390x"], "the index names no manifest for linux/s390x"),
        (["me/secret"], "GET /v2/me/secret/manifests/latest: status 401; UNAUTHORIZED: "),
    ],
)
async def test_what_cannot_be_pulled_says_at_which_request_and_why(
    hub: Hub, inspected: tuple[Mirror, WebPage], words: list[str], why: str
) -> None:
    mirror, page = inspected
    hub.add_image("me/secret", private=True)
    table = await pulled(page, *words)
    assert f": failed, {why}" in table.partition("\n")[0]
    await mirror.log_line(f"failed, {why}")


async def test_a_hub_that_fails_says_so(hub: Hub, inspected: tuple[Mirror, WebPage]) -> None:
    _, page = inspected
    hub.add_image("library/broken", layers=[3000], platforms="linux/amd64")
    hub.cdn.faults.add(Status(418))
    table = await pulled(page, "broken", "linux/amd64")
    assert re.search(r"failed, GET /v2/broken/blobs/sha256:\w+: ", table.partition("\n")[0])


async def test_a_wrong_name_is_an_error_of_one_line(inspected: tuple[Mirror, WebPage]) -> None:
    _, page = inspected
    said = await page.attempt("docxy.pull", "Alpine")
    assert said["error"].startswith("'Alpine' is not a repository name")
    said = await page.attempt("docxy.pull", "ghcr.io/me/app")
    assert "not 'ghcr.io'" in said["error"]


async def test_the_mirrors_own_name_may_stand_before_it(
    hub: Hub, inspected: tuple[Mirror, WebPage]
) -> None:
    mirror, page = inspected
    table = await pulled(page, f"{mirror.authority}/alpine", "linux/amd64")
    assert table.startswith("alpine:latest for linux/amd64: 9 requests")


async def test_two_side_by_side(hub: Hub, inspected: tuple[Mirror, WebPage]) -> None:
    _, page = inspected
    for name in ("one", "two"):
        hub.add_image(f"me/{name}", layers=LAYERS, platforms="linux/amd64")
    for name in ("one", "two"):
        await page.run("docxy.pull", f"me/{name}", "linux/amd64")
    said = ""
    for _ in range(1200):
        said = await page.run("docxy.pulls")
        if "under way" not in said:
            break
        await asyncio.sleep(0.05)
    newest = said.split("\n\n")[:2]
    assert [table.partition(":")[0] for table in newest] == ["me/two", "me/one"]
    assert all("all digests right" in table for table in newest)


async def test_a_mirror_that_ends_ends_its_pulls(hub: Hub, tmp_path: Path) -> None:
    hub.add_image("library/alpine", layers=LAYERS)
    hub.cdn.faults.add(Delay(30))
    async with web_mirror(hub, tmp_path) as (mirror, page):
        await page.run("docxy.pull", "alpine", "linux/amd64")
        await hub.until(lambda: bool(hub.requests.of("registry", text="/blobs/")))
        assert await mirror.stop() == 0
        assert "Traceback" not in mirror.text
        assert "Error" not in mirror.text


NAME = "mirror.example.com"


async def test_tls_with_a_name_that_is_not_the_loopbacks(hub: Hub, tmp_path: Path) -> None:
    hub.add_image("library/alpine", layers=LAYERS, platforms="linux/amd64")
    pair = hub.issue_certificate(tmp_path, NAME)
    more = {"certificate": pair, "ca_file": hub.ca_file}
    async with web_mirror(hub, tmp_path / "confdir", **more) as (mirror, page):
        table = await pulled(page, f"{NAME}/alpine", "linux/amd64")
        assert "all digests right" in table, mirror.text
        (ping,) = [f for f in await page.flows() if f["request"]["path"] == "/v2/"]
        realm = f'realm="https://{NAME}:{mirror.port}/auth/token"'
        assert realm in str(ping["response"]["headers"])


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        pytest.param(
            {"docxy_behind_proxy": "192.0.2.1", "docxy_public_url": f"https://{NAME}"},
            ["ping", "token", "manifest"],
            id="behind a proxy",
        ),
        pytest.param({"docxy_login": "none"}, ["ping", "manifest", "config"], id="no login"),
        pytest.param({"docxy_remember": "false"}, ["ping", "token", "manifest"], id="no memory"),
    ],
)
async def test_whatever_the_mirror_is_set_to(
    hub: Hub, tmp_path: Path, settings: dict[str, str], kinds: list[str]
) -> None:
    hub.add_image("library/alpine", layers=LAYERS, platforms="linux/amd64")
    words = settings_arguments(settings)
    async with web_mirror(hub, tmp_path, *words) as (mirror, page):
        table = await pulled(page, "alpine", "linux/amd64")
        assert "all digests right" in table, mirror.text
        assert column(table, 0, 1)[:3] == kinds
        assert all(column(table, 7)), "each says where it came from"


async def test_where_no_mirror_runs_that_is_said(hub: Hub, tmp_path: Path) -> None:
    async with web_mirror(hub, tmp_path) as (_, page):
        await page.post("/options", {"server": False}, method="PUT")
        said = {}
        for _ in range(200):
            said = await page.attempt("docxy.pull", "alpine")
            if "error" in said:
                break
            await asyncio.sleep(0.1)
        assert said["error"] == "no mirror runs here"
