"""mitmweb in a real browser: what a person sees of what passes through the mirror."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from mitmproxy import http
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from addon.views.sizes import format_size
from tests.browser.chromium import Tab
from tests.browser.mitmweb import Mitmweb
from tests.e2e.client import ask, bearer
from tests.hub import Hub, Image
from tests.hub.faults import Status
from tests.hub.media_types import OCI_INDEX, OCI_MANIFEST
from tests.inspecting import Page, inspecting
from tests.views import bodies

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "seen"
HOSTILE = "<img src=x onerror=alert(1)>"
# Bodies of a recording: those that a live flow does not keep, or no registry sends.
RECORDED = {
    "config": (
        bodies.BLOB,
        bodies.config(
            [{"created_by": f"RUN echo {HOSTILE}"}],
            config={"Env": ["PATH=/bin", "LANG=C.UTF-8"], "Cmd": ["/bin/sh", "-c", "true"]},
        ),
    ),
    "token": (
        bodies.JSON,
        bodies.encode(
            {
                "token": bodies.jwt({**bodies.CLAIMS, "exp": int(time.time()) + 250}),
                "expires_in": 300,
            }
        ),
    ),
    "wrong": (OCI_MANIFEST, b'{"layers": '),
}
untyped_tflow: Any = tflow
untyped_writer: Any = FlowWriter


def write_recording(file: Path) -> None:
    with file.open("wb") as saved:
        writer = untyped_writer(saved)
        for name, (content_type, body) in RECORDED.items():
            flow: http.HTTPFlow = untyped_tflow.tflow(resp=True)
            flow.request.path = f"/recorded/{name}"
            assert flow.response
            flow.response.headers = http.Headers(content_type=content_type)
            flow.response.content = body
            writer.add(flow)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(shared_hub: Hub) -> Image:
    return shared_hub.add_image(
        f"library/{NAME}", layers=[1000, 300_000], platforms=["linux/amd64", "linux/arm64/v8"]
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(
    shared_hub: Hub, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Page]:
    """A mirror through which an image was pulled; three requests failed."""
    folder = tmp_path_factory.mktemp("page")
    write_recording(folder / "recorded")
    async with inspecting(shared_hub, folder, "-r", str(folder / "recorded")) as page:
        await pull(page, shared_hub, image)
        yield page


async def pull(page: Page, hub: Hub, image: Image) -> None:
    mirror = page.mirror
    await ask(mirror, "/v2/")
    token = await bearer(mirror, NAME)
    base, accept = f"/v2/{NAME}", {**token, "Accept": f"{OCI_INDEX}, {OCI_MANIFEST}"}
    manifest = image.manifest.manifests[0]
    for target in (f"{base}/manifests/latest", f"{base}/manifests/{manifest.digest}"):
        assert (await ask(mirror, target, headers=accept)).status == 200
    for blob in manifest.blobs:
        assert (await ask(mirror, f"{base}/blobs/{blob.digest}", headers=token)).status == 200
    assert (await ask(mirror, f"{base}/manifests/none", headers=accept)).status == 404
    assert (await ask(mirror, f"/v2/{HOSTILE.replace(' ', '%20')}/manifests/1")).status == 400
    hub.registry.faults.add(Status(503), path="/tags/list")
    assert (await ask(mirror, f"{base}/tags/list", headers=token)).status >= 500
    hub.registry.faults.clear()


@pytest.fixture
def mitmweb(tab: Tab, page: Page) -> Mitmweb:
    return Mitmweb(tab, page)


async def test_the_list_tells_what_happened(mitmweb: Mitmweb, image: Image) -> None:
    await mitmweb.open()
    rows = await mitmweb.all_rows()
    (index,) = [row for row in rows if row.comment.startswith(f"{NAME}:latest → library/{NAME} ·")]
    assert (index.method, index.status, index.mark) == ("GET", "200", "")
    assert index.path.endswith(f"/v2/library/{NAME}/manifests/latest")
    assert " · network · waited " in index.comment
    assert " · pull limit 99 of 100" in index.comment
    told = {row.comment.partition(" · ")[0] for row in rows if not row.mark.startswith("⚙")}
    assert {"ping", f"token for {NAME} → library/{NAME}"} <= told
    layer = image.manifest.manifests[0].layers[1]
    shown = f"{NAME}@{layer.digest[:19]}… → library/{NAME} "
    assert [each for each in told if each.startswith(shown)]


async def test_what_the_mirror_sends_is_marked_as_its_own(mitmweb: Mitmweb) -> None:
    await mitmweb.open()
    own = [row for row in await mitmweb.all_rows() if row.mark.startswith("⚙")]
    told = {row.comment.partition(" · ")[0] for row in own}
    assert {"token", "manifest", "redirect", "blob"} <= told
    assert [row for row in own if f"for {NAME}:latest → library/{NAME}" in row.comment]


async def test_a_failed_one_is_marked_with_its_cause(mitmweb: Mitmweb) -> None:
    await mitmweb.open()
    rows = await mitmweb.all_rows()
    failed = [row for row in rows if row.mark == "🔴" and " · " in row.comment]
    assert all(row.comment.startswith("failed: ") for row in failed)
    told = "\n".join(row.comment for row in failed)
    assert "answered 404: MANIFEST_UNKNOWN, the repository has no manifest of this tag" in told
    assert "503" in told
    assert {row.status[0] for row in failed} <= {"4", "5"}
    ended_well = [row for row in rows if row.status == "200"]
    assert ended_well
    assert not [row for row in ended_well if row.mark == "🔴"]


async def test_the_comment_is_wide_enough_to_be_read(mitmweb: Mitmweb) -> None:
    await mitmweb.open()
    await mitmweb.rows()
    width = "document.querySelector('td.{}').getBoundingClientRect().width"
    assert await mitmweb.tab.value(width.format("col-comment")) > 450
    assert await mitmweb.tab.value(width.format("col-path")) > 300


async def test_nothing_that_a_client_sends_is_run(mitmweb: Mitmweb) -> None:
    await mitmweb.open()
    await mitmweb.all_rows()
    assert await mitmweb.tab.value("document.querySelectorAll('img[src=x]').length") == 0


async def test_an_index_is_a_table(mitmweb: Mitmweb, image: Image) -> None:
    flow = await mitmweb.page.flow("/manifests/latest")
    await mitmweb.open(flow["id"])
    shown = await mitmweb.body("linux/arm64/v8", "linux/amd64")
    for manifest in image.manifest.manifests:
        (line,) = [each for each in shown.splitlines() if manifest.digest in each]
        assert manifest.platform in line
        assert format_size(len(manifest.raw)) in line
    assert "view: auto" in shown.lower() or "image manifest" in shown.lower()


async def test_a_manifest_is_a_table(mitmweb: Mitmweb, image: Image) -> None:
    manifest = image.manifest.manifests[0]
    flow = await mitmweb.page.flow(f"/manifests/{manifest.digest}")
    await mitmweb.open(flow["id"])
    shown = await mitmweb.body("config", "layer 1", "layer 2")
    for blob in manifest.blobs:
        (line,) = [each for each in shown.splitlines() if blob.digest in each]
        assert blob.media_type in line
        assert format_size(blob.size) in line


async def test_an_error_is_a_sentence(mitmweb: Mitmweb) -> None:
    flow = await mitmweb.page.flow("/manifests/none")
    await mitmweb.open(flow["id"])
    await mitmweb.body("MANIFEST_UNKNOWN: the repository has no manifest of this tag or digest.")


async def test_a_config_is_what_it_runs(mitmweb: Mitmweb) -> None:
    flow = await mitmweb.page.flow("/recorded/config")
    await mitmweb.open(flow["id"])
    shown = await mitmweb.body("Image config for linux/amd64", "Environment", "LANG=C.UTF-8")
    assert f"RUN echo {HOSTILE}" in shown
    assert '["/bin/sh", "-c", "true"]' in shown


async def test_a_token_is_what_it_opens(mitmweb: Mitmweb) -> None:
    flow = await mitmweb.page.flow("/recorded/token")
    await mitmweb.open(flow["id"])
    shown = await mitmweb.body("Token answer: good for", "Scopes of token", "library/alpine")
    assert "ES256" in shown
    assert "eyJ" not in shown
    assert "SignatureSignature" not in shown


async def test_a_live_token_is_shown_without_its_signature(mitmweb: Mitmweb) -> None:
    flow = await mitmweb.page.flow("/token?")
    await mitmweb.open(flow["id"])
    shown = await mitmweb.body("Token answer: good for", f"library/{NAME}", "pull")
    assert "eyJ" not in shown


async def test_a_wrong_body_is_shown_as_it_came(mitmweb: Mitmweb) -> None:
    flow = await mitmweb.page.flow("/recorded/wrong")
    await mitmweb.open(flow["id"])
    await mitmweb.body('{"layers":')


async def test_the_log_is_on_the_page(mitmweb: Mitmweb) -> None:
    await mitmweb.open(events=True)
    await mitmweb.events(f"GET /v2/{NAME}/manifests/latest: 200, ")


async def test_a_flow_that_comes_is_shown_at_once(mitmweb: Mitmweb) -> None:
    await mitmweb.open()
    before = len(await mitmweb.rows())
    await ask(mitmweb.page.mirror, "/health?new")
    rows = await mitmweb.rows(count=before + 1)
    await asyncio.sleep(0)
    assert [row for row in rows if row.path.endswith("/health?new")]
