"""What a recording holds is asked again: by `-C`, and by `r` on mitmweb's page."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader

from addon.flows.exchange import ASKED, STORY
from addon.flows.replaying import AS_NOBODY, REPLAYED
from addon.flows.replays import NOT_REPLAYED
from addon.inspection.ownflows import SENT
from tests.e2e.client import ask, bearer
from tests.e2e.webpage import WebPage, web_mirror
from tests.hub import Hub
from tests.hub.hub import SERVICE
from tests.hub.media_types import OCI_MANIFEST
from tests.running import Mirror, running_mirror, settings_arguments

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASIC = {"Authorization": "Basic " + b64encode(b"alice:wonderland").decode()}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
QUERY = urlencode({"service": SERVICE, "scope": "repository:alpine:pull"})
PASSWORD = {"grant_type": "password", "username": "alice", "password": "wonderland"}
LOGIN = urlencode({**PASSWORD, "service": SERVICE, "scope": "repository:alpine:pull"})


async def asked(mirror: Mirror, hub: Hub, private: bool) -> None:
    """One request of each kind."""
    await ask(mirror, "/v2/")
    await ask(mirror, f"/auth/token?{QUERY}", headers=BASIC)
    posted = await ask(mirror, "/auth/token", "POST", FORM, LOGIN.encode())
    token = {"Authorization": f"Bearer {posted.json['token']}"}
    if not private:
        token = await bearer(mirror, "alpine")
    manifest = await ask(
        mirror, "/v2/alpine/manifests/latest", headers={"Accept": OCI_MANIFEST, **token}
    )
    assert manifest.status == 200
    for blob in (manifest.json["config"], *manifest.json["layers"]):
        await ask(mirror, f"/v2/alpine/blobs/{blob['digest']}", headers=token)
    await ask(mirror, "/v2/alpine/tags/list", headers=token)


def read(file: Path) -> list[http.HTTPFlow]:
    with file.open("rb") as saved:
        return [flow for flow in FlowReader(saved).stream() if isinstance(flow, http.HTTPFlow)]


async def replayed(hub: Hub, folder: Path, file: Path) -> list[http.HTTPFlow]:
    """The flows of a recording as they are once they have been asked again."""
    saved = folder / "again"
    hub.requests.clear()
    words = ["-C", str(file), "-w", str(saved), *settings_arguments({"docxy_remember": "false"})]
    async with running_mirror(hub, folder, *words) as mirror:
        async with asyncio.timeout(30):
            assert await mirror.process.wait() == 0
    assert "Traceback" not in mirror.text, mirror.text
    assert "Addon error" not in mirror.text, mirror.text
    # mitmproxy's own lines name connections that lead nowhere.
    assert "[replay]" not in mirror.text
    assert ".inner.invalid" not in mirror.text
    return read(saved)


async def recorded(hub: Hub, folder: Path, *, private: bool, shown: bool) -> Path:
    hub.add_image("library/alpine", layers=[2000, 300_000], private=private)
    file = folder / "flows"
    settings = {"docxy_show_secrets": str(shown).lower(), "docxy_remember": "false"}
    async with running_mirror(
        hub, folder, "-w", str(file), *settings_arguments(settings)
    ) as mirror:
        await asked(mirror, hub, private)
    return file


async def test_a_redacted_recording_is_asked_again_anonymously(hub: Hub, tmp_path: Path) -> None:
    file = await recorded(hub, tmp_path, private=False, shown=False)
    before = read(file)
    flows = await replayed(hub, tmp_path, file)
    assert [flow.metadata[ASKED].partition("?")[0] for flow in flows] == [
        flow.metadata[ASKED].partition("?")[0] for flow in before
    ]
    assert [flow.response.status_code for flow in flows if flow.response] == [
        flow.response.status_code for flow in before if flow.response
    ]
    for flow in flows:
        has_login = flow.metadata[ASKED].startswith(("/auth/token", "/v2/alpine"))
        anybody = flow.metadata[ASKED] == f"/auth/token?{QUERY}" and not flow.request.headers.get(
            "authorization"
        )
        how = (
            AS_NOBODY if has_login and not (anybody and flow.request.method == "GET") else REPLAYED
        )
        assert flow.comment.startswith(f"{how} · "), flow.comment
        assert flow.metadata[STORY]["replayed"] == how
        assert flow.marked == ""
    tokens = hub.requests.of("token")
    assert tokens
    assert {s.method for s in tokens} == {"GET"}
    assert all("Authorization" not in s.asked.headers for s in tokens)
    assert all("alice" not in s.target for s in tokens)


async def test_a_recording_that_holds_credentials_shows_them(hub: Hub, tmp_path: Path) -> None:
    file = await recorded(hub, tmp_path, private=True, shown=True)
    flows = await replayed(hub, tmp_path, file)
    assert all(flow.comment.startswith(f"{REPLAYED} · ") for flow in flows)
    assert [f.response.status_code for f in flows if f.response] == [401, *([200] * 7)]
    methods = [seen.method for seen in hub.requests.of("token", status=200)]
    assert methods == ["GET", "POST"]
    assert hub.requests.of("registry", text="/v2/library/alpine/tags/list", status=200)


async def test_without_them_a_private_image_is_refused(hub: Hub, tmp_path: Path) -> None:
    file = await recorded(hub, tmp_path, private=True, shown=False)
    flows = await replayed(hub, tmp_path, file)
    (manifest,) = [flow for flow in flows if "/manifests/" in flow.request.path]
    assert manifest.response
    assert manifest.response.status_code == 401
    assert AS_NOBODY in manifest.comment


async def commented(page: WebPage, flow: Any, beginning: str) -> Any:
    """A flow once its comment begins like this."""
    for _ in range(400):
        (found,) = [each for each in await page.get("/flows") if each["id"] == flow["id"]]
        if found["comment"].startswith(beginning):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {beginning!r}, but {found['comment']!r}")


async def test_on_the_page(hub: Hub, tmp_path: Path) -> None:
    hub.add_image("library/alpine", layers=[2000])
    words = settings_arguments({"docxy_own_flows": "true"})
    async with web_mirror(hub, tmp_path, *words) as (mirror, page):
        await bearer(mirror, "alpine")
        (token,) = await page.flows()
        (own,) = await page.own_flows()
        hub.requests.clear()
        await page.post(f"/flows/{token['id']}/replay")
        again = await commented(page, token, f"{REPLAYED} · token for alpine → library/alpine")
        assert again["response"]["status_code"] == 200
        await page.post(f"/flows/{own['id']}/replay")
        await mirror.log_line(NOT_REPLAYED)
        refused = await commented(page, own, f"failed: {NOT_REPLAYED}")
        assert refused["response"]["status_code"] == 403
        assert not hub.requests, "the token was remembered, and nothing else was asked"
        assert "Traceback" not in mirror.text


async def test_the_mirrors_own_requests_of_a_file_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.add_image("library/alpine", layers=[2000])
    file = tmp_path / "flows"
    words = settings_arguments({"docxy_own_flows": "true"})
    async with running_mirror(hub, tmp_path, "-w", str(file), *words) as mirror:
        await bearer(mirror, "alpine")
    flows = await replayed(hub, tmp_path, file)
    own = [flow for flow in flows if SENT in flow.metadata]
    assert [flow.comment for flow in own if flow.is_replay] == [f"failed: {NOT_REPLAYED}"]
    assert len(hub.requests) == 1, "the client's alone"
