"""A blob comes whole and right whatever happens to its transfer on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.client import ask, bearer
from tests.hub import ExpiredRedirect, HangUp, Hub, Status
from tests.hub.faults import Delivery
from tests.hub.images import Blob
from tests.running import Mirror, running_mirror, settings_arguments

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = 12_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mirror(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    """One that takes a blob as one stream: on a busy machine even loopback is a long line."""
    confdir = tmp_path_factory.mktemp("confdir")
    settings = settings_arguments({"docxy_remember": "false", "docxy_pieces": "1"})
    async with running_mirror(shared_hub, confdir, *settings) as mirror:
        yield mirror


@pytest.fixture
def layer(hub: Hub) -> Blob:
    return hub.add_image("library/large", layers=(SIZE,)).manifest.layers[0]


async def fetched(mirror: Mirror, layer: Blob) -> bytes:
    token = await bearer(mirror, "large")
    answer = await ask(mirror, f"/v2/large/blobs/{layer.digest}", headers=token)
    assert (answer.status, answer.ended) == (200, "length")
    return answer.body


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("after", [0, 1, 65_536, 1_000_000, SIZE - 1000])
async def test_a_transfer_that_breaks_off_goes_on(
    hub: Hub, mirror: Mirror, layer: Blob, after: int, end: str
) -> None:
    hub.cdn.faults.add(Delivery(after=after, end=end), times=1)  # type: ignore[arg-type]
    assert await fetched(mirror, layer) == layer.content.read(0, layer.size)
    assert len(hub.requests.of("cdn")) == 2
    assert hub.requests.of("cdn")[1].asked.headers["Range"].startswith(f"bytes={after}-")


async def test_one_that_breaks_off_again_and_again_goes_on(
    hub: Hub, mirror: Mirror, layer: Blob
) -> None:
    hub.cdn.faults.add(Delivery(after=1_000_000, end="rst"))
    assert await fetched(mirror, layer) == layer.content.read(0, layer.size)
    assert len(hub.requests.of("cdn")) >= 12


async def test_one_that_stalls_goes_on(hub: Hub, tmp_path: Path, layer: Blob) -> None:
    hub.cdn.faults.add(Delivery(after=1_000_000, end="stall"), times=1)
    async with running_mirror(hub, tmp_path, "--set", "docxy_stall_timeout=1") as mirror:
        assert await fetched(mirror, layer) == layer.content.read(0, layer.size)


@pytest.mark.parametrize("role", ["registry", "cdn"])
@pytest.mark.parametrize("fault", [Status(502), Status(503), Status(504), HangUp("rst")])
async def test_a_start_that_fails_is_tried_again(
    hub: Hub, mirror: Mirror, layer: Blob, role: str, fault: Status | HangUp
) -> None:
    getattr(hub, role).faults.add(fault, times=2)
    assert await fetched(mirror, layer) == layer.content.read(0, layer.size)


async def test_an_address_that_has_expired_is_asked_for_anew(
    hub: Hub, mirror: Mirror, layer: Blob
) -> None:
    hub.registry.faults.add(ExpiredRedirect(), times=1)
    assert await fetched(mirror, layer) == layer.content.read(0, layer.size)


async def test_what_cannot_be_had_in_the_end_is_a_broken_transfer(
    hub: Hub, mirror: Mirror, layer: Blob
) -> None:
    hub.cdn.faults.add(Delivery(after=1000, end="rst"), times=1)
    hub.cdn.faults.add(HangUp("rst"), skip=1)
    token = await bearer(mirror, "large")
    answer = await ask(mirror, f"/v2/large/blobs/{layer.digest}", headers=token)
    assert (answer.ended, len(answer.body)) == ("broken", 1000)
