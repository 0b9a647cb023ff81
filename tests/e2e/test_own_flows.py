"""A recording tells all: what clients got and why, and each request that the mirror has sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader

from addon.flows.exchange import STORY
from addon.inspection.contentviews import kinds
from addon.inspection.ownflows import FAILED_MARK, OWN_MARK, SENT
from addon.redaction.redaction import redact_own_url
from tests.e2e.client import Answer, ask, bearer
from tests.e2e.conftest import ONE_STREAM
from tests.hub import Hub, Image, Status
from tests.hub.faults import Delay, Delivery
from tests.hub.images import Blob
from tests.hub.media_types import OCI_MANIFEST
from tests.running import Mirror, running_mirror, settings_arguments

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAYER = 3_000_000


@dataclass
class Recording:
    """A mirror that records, and the flows once it has ended."""

    mirror: Mirror
    flows: list[http.HTTPFlow] = field(default_factory=list)

    @property
    def clients(self) -> list[http.HTTPFlow]:
        return [flow for flow in self.flows if SENT not in flow.metadata]

    @property
    def own(self) -> list[http.HTTPFlow]:
        return [flow for flow in self.flows if SENT in flow.metadata]

    def of(self, part: str) -> list[http.HTTPFlow]:
        """Clients' requests for something, in the order in which they came."""
        found = [flow for flow in self.clients if part in flow.request.path]
        return sorted(found, key=lambda flow: flow.request.timestamp_start)

    def sent_for(self, flow: http.HTTPFlow) -> list[str]:
        """What the mirror sent because of a client's request."""
        story = flow.metadata[STORY]["id"]
        return [each.metadata[SENT]["purpose"] for each in self.own if is_for(each, story)]


def is_for(own: http.HTTPFlow, story: str) -> bool:
    return bool(own.metadata[SENT]["cause"] == story)


@asynccontextmanager
async def recorded(hub: Hub, folder: Path, *words: str) -> AsyncIterator[Recording]:
    """A mirror that records what happens within the block."""
    file = folder / "flows"
    settings = settings_arguments({"docxy_own_flows": "true", **ONE_STREAM})
    async with running_mirror(hub, folder, "-w", str(file), *settings, *words) as mirror:
        recording = Recording(mirror)
        yield recording
    assert "Traceback" not in mirror.text, mirror.text
    with file.open("rb") as saved:
        recording.flows = [f for f in FlowReader(saved).stream() if isinstance(f, http.HTTPFlow)]
    check_nothing_went_unseen(recording, hub)
    check_nothing_is_secret(recording, hub, file)


def check_nothing_went_unseen(recording: Recording, hub: Hub) -> None:
    """Each request that the Hub has seen is one flow, with its cause."""
    roles = {hub.registry.url: "registry", hub.token.url: "token", hub.cdn.url: "cdn"}
    arrived = Counter((s.role, s.method, redact_own_url(s.target)) for s in hub.requests)
    flows = Counter(
        (
            roles[f"{flow.request.scheme}://{flow.request.host}:{flow.request.port}"],
            flow.request.method,
            flow.request.path,
        )
        for flow in recording.own
        if flow.response
    )
    assert flows == arrived
    stories = {flow.metadata[STORY]["id"] for flow in recording.clients}
    for flow in recording.own:
        assert flow.metadata[SENT]["cause"] in stories, flow.comment
        assert flow.metadata[SENT]["purpose"] != "request", "nobody has said what it is for"
    assert len({flow.id for flow in recording.flows}) == len(recording.flows)


def check_nothing_is_secret(recording: Recording, hub: Hub, file: Path) -> None:
    targets = [seen.target for seen in hub.requests.of("cdn")]
    signatures = {t.partition("Signature=")[2].partition("&")[0] for t in targets}
    for flow in recording.own:
        text = repr(flow.get_state())
        assert "Bearer ey" not in text
        assert not [s for s in signatures if s and s in text]
        assert "authorization" not in flow.request.headers
        assert flow.request.raw_content == b""
        assert flow.response is None or flow.response.raw_content is None


async def manifest(
    mirror: Mirror, token: Mapping[str, str], name: str = "alpine", tag: str = "latest"
) -> Answer:
    headers = {"Accept": OCI_MANIFEST, **token}
    return await ask(mirror, f"/v2/{name}/manifests/{tag}", headers=headers)


async def blob(mirror: Mirror, token: Mapping[str, str], wanted: Blob) -> None:
    answer = await ask(mirror, f"/v2/alpine/blobs/{wanted.digest}", headers=token)
    assert answer.body == wanted.content.read(0, wanted.size)


def told(flow: http.HTTPFlow) -> dict[str, Any]:
    facts: dict[str, Any] = flow.metadata[STORY]
    return facts


@pytest.fixture
def image(hub: Hub) -> Image:
    return hub.add_image(layers=(2000, LAYER))


async def test_a_pull_through_a_mirror_that_has_just_started(
    hub: Hub, tmp_path: Path, image: Image
) -> None:
    async with recorded(hub, tmp_path) as recording:
        mirror = recording.mirror
        await ask(mirror, "/v2/")
        token = await bearer(mirror, "alpine")
        await manifest(mirror, token)
        for each in image.manifest.blobs:
            await blob(mirror, token, each)
    (ping,), (asked,), (tagged,) = (
        recording.of("/v2/")[:1],
        recording.of("/token"),
        recording.of("/manifests/"),
    )
    assert ping.comment.startswith("ping · answered by the mirror · ")
    assert ping.marked == ""
    assert asked.comment.startswith("token for alpine → library/alpine · network · waited ")
    assert recording.sent_for(asked) == ["token"]
    assert tagged.comment.startswith("alpine:latest → library/alpine · network · waited ")
    assert " · pull limit " in tagged.comment
    assert tagged.request.pretty_url.endswith("/v2/library/alpine/manifests/latest")
    assert Counter(recording.sent_for(tagged))["manifest"] == 1
    for flow in recording.of("/blobs/"):
        assert " · begun ahead" in flow.comment
        assert told(flow)["begun_by"] == told(tagged)["id"]
        ahead = [f for f in recording.own if f.metadata[SENT]["story"] == told(flow)["ahead"]]
        purposes = {f.metadata[SENT]["purpose"] for f in ahead}
        assert "blob" in purposes
        assert purposes <= {"redirect", "blob"}
        assert all(f.metadata[SENT]["ahead"] for f in ahead)
    assert {flow.marked for flow in recording.own} == {OWN_MARK}


async def test_again_from_memory_then_checked_then_stale(
    hub: Hub, tmp_path: Path, image: Image
) -> None:
    words = ("--set", "docxy_tag_ttl=1", "--set", "docxy_look_ahead=false")
    async with recorded(hub, tmp_path, *words) as recording:
        mirror = recording.mirror
        token = await bearer(mirror, "alpine")
        await manifest(mirror, token)
        await manifest(mirror, token)
        await asyncio.sleep(1.1)
        await manifest(mirror, token)
        await asyncio.sleep(1.1)
        hub.registry.faults.add(Status(429))
        assert (await manifest(mirror, token)).status == 200
    first, again, checked, stale = recording.of("/manifests/")
    assert told(first)["from"] == "network"
    assert "· from memory ·" in again.comment
    assert (recording.sent_for(again), told(again)["requests"]) == ([], 0)
    assert "· from memory, tag checked ·" in checked.comment
    assert recording.sent_for(checked) == ["tag check"]
    assert "· stale copy, " in stale.comment
    assert set(recording.sent_for(stale)) == {"tag check"}
    assert FAILED_MARK in {f.marked for f in recording.own if is_for(f, told(stale)["id"])}
    assert stale.marked == ""


@pytest.mark.parametrize("ahead", ["true", "false"])
async def test_a_transfer_that_breaks_off_and_goes_on(
    hub: Hub, tmp_path: Path, image: Image, ahead: str
) -> None:
    layer = image.manifest.layers[1]
    hub.cdn.faults.add(
        Delivery(after=100_000, end="rst"), times=1, path=layer.digest.partition(":")[2]
    )
    words = ("--set", f"docxy_look_ahead={ahead}", "--set", "docxy_memory_blob_size=0")
    async with recorded(hub, tmp_path, *words) as recording:
        token = await bearer(recording.mirror, "alpine")
        await manifest(recording.mirror, token)
        await blob(recording.mirror, token, layer)
    (flow,) = recording.of("/blobs/")
    assert "resumed once" in flow.comment
    assert (flow.marked, told(flow)["resumed"]) == ("", 1)
    failed = [f for f in recording.own if f.marked == FAILED_MARK]
    assert len(failed) == 1
    assert "broke off" in failed[0].comment


async def test_what_fails_is_marked_with_its_cause(hub: Hub, tmp_path: Path, image: Image) -> None:
    async with recorded(hub, tmp_path) as recording:
        token = await bearer(recording.mirror, "alpine")
        assert (await manifest(recording.mirror, token, tag="missing")).status == 404
        hub.registry.faults.add(Status(429), times=1)
        assert (await manifest(recording.mirror, token)).status == 429
        hub.registry.refuse()
        assert (await manifest(recording.mirror, token)).status == 502
        assert (await ask(recording.mirror, "/v2/a/blobs/uploads/", "POST")).status == 405
    await hub.registry.listen()
    authority = hub.registry.url.removeprefix("https://")
    missing, limited, down = recording.of("/manifests/")
    assert missing.comment.startswith(f"failed: {authority} answered 404: MANIFEST_UNKNOWN, ")
    assert " · alpine:missing" in missing.comment
    assert limited.comment.startswith(f"failed: {authority} answered 429 · ")
    assert down.comment.startswith(f"failed: upstream {authority}: ")
    (refused,) = recording.of("/uploads/")
    assert refused.comment.startswith("failed: 'POST' is not served here; this mirror only pulls")
    assert {f.marked for f in (missing, limited, down, refused)} == {FAILED_MARK}


async def test_those_who_wait_for_one_request_are_told_of_it(
    hub: Hub, tmp_path: Path, image: Image
) -> None:
    async with recorded(hub, tmp_path, "--set", "docxy_look_ahead=false") as recording:
        token = await bearer(recording.mirror, "alpine")
        hub.registry.faults.add(Delay(0.5), times=1)
        await asyncio.gather(*(manifest(recording.mirror, token) for _ in range(5)))
    asked = [told(flow) for flow in recording.of("/manifests/")]
    (sender,) = [facts["id"] for facts in asked if facts["requests"]]
    assert [facts["waited_for"] for facts in asked if facts["id"] != sender] == [[sender]] * 4
    (sent,) = [flow for flow in recording.own if is_for(flow, sender)]
    assert sent.metadata[SENT]["purpose"] == "manifest"


async def test_without_the_option_no_flow_is_made(hub: Hub, tmp_path: Path, image: Image) -> None:
    file = tmp_path / "flows"
    async with running_mirror(hub, tmp_path, "-w", str(file)) as mirror:
        token = await bearer(mirror, "alpine")
        await manifest(mirror, token)
        for each in image.manifest.blobs:
            await blob(mirror, token, each)
    with file.open("rb") as saved:
        flows = list(FlowReader(saved).stream())
    assert len(flows) == 2 + len(image.manifest.blobs)
    assert not [flow for flow in flows if SENT in flow.metadata]
    assert all(flow.comment for flow in flows)


async def test_without_the_option_memory_stays_level(
    hub: Hub, tmp_path: Path, image: Image
) -> None:
    async with running_mirror(hub, tmp_path, "--set", "docxy_tag_ttl=0") as mirror:
        token = await bearer(mirror, "alpine")

        async def rounds(count: int) -> int:
            for _ in range(count):
                await manifest(mirror, token)
            return mirror.memory()

        before = await rounds(300)
        assert await rounds(600) - before < 2 * 1024 * 1024


def as_shown(flow: http.HTTPFlow) -> str | None:
    """An answer in the view that mitmproxy chooses for it, if it is one of ours."""
    assert flow.response
    kind = flow.response.headers.get("content-type", "")
    texts = (each.text(kind, flow.response.content or b"") for each in kinds())
    return next((text for text in texts if text is not None), None)


async def test_what_a_person_reads_is_in_it_and_no_layer(hub: Hub, tmp_path: Path) -> None:
    image = hub.add_image(layers=(2000, LAYER))
    config = image.manifest.blobs[0]
    async with recorded(hub, tmp_path) as recording:
        token = await bearer(recording.mirror, "alpine")
        await manifest(recording.mirror, token)
        for _ in range(2):  # from memory as well
            for each in image.manifest.blobs:
                await blob(recording.mirror, token, each)
    for flow in recording.of(config.digest):
        assert flow.response
        assert flow.response.content == config.content.read(0, config.size)
        assert "PATH=/bin" in str(as_shown(flow))
    for layer in image.manifest.blobs[1:]:
        flows = recording.of(layer.digest)
        assert [flow.response.raw_content for flow in flows if flow.response] == [None, None]
    (asked,) = recording.of("/token")
    shown = str(as_shown(asked))
    assert shown.startswith("Token answer: good for ")
    for part in ("Header of token", "Claims of token", "repository  library/alpine  pull"):
        assert part in shown
    assert token["Authorization"].rpartition(".")[2] not in repr(asked.get_state())
