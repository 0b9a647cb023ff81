"""All of Hub down, or its token service alone, when the clients' tokens have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.client import Answer, ask, bearer
from tests.e2e.mirrors import mirror_with
from tests.hub import HangUp, Hub, Image, Status
from tests.hub.faults import Fault
from tests.hub.media_types import OCI_INDEX, OCI_MANIFEST
from tests.running import Mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCEPT = {"Accept": f"{OCI_INDEX}, {OCI_MANIFEST}"}
# Long enough for a small pull on a busy machine.
TOKEN_SECONDS = 3
# Whatever is asked for is checked, so nothing comes that only time lets through. Who is down is
# asked as often as by default, but at once: each request of a pull would wait for seconds.
OPTIONS = {
    "docxy_longest_pause": "0",
    "docxy_remember": "true",
    "docxy_tag_ttl": "0",
    "docxy_recheck_time": "0",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mirror(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    folder: Path = tmp_path_factory.mktemp("confdir")
    async with mirror_with(shared_hub, folder, OPTIONS) as running:
        yield running


@pytest.fixture(autouse=True)
def short_lived(hub: Hub) -> Iterator[None]:
    """Tokens of seconds, as a slow line makes of Hub's minutes."""
    before, hub.settings.token_seconds = hub.settings.token_seconds, TOKEN_SECONDS
    yield
    hub.settings.token_seconds = before


async def manifest(
    mirror: Mirror, token: dict[str, str], image: Image, reference: str = "latest"
) -> Answer:
    target = f"/v2/{image.repository}/manifests/{reference}"
    return await ask(mirror, target, headers={**ACCEPT, **token})


async def pull(mirror: Mirror, token: dict[str, str], image: Image) -> Answer:
    """The answer to the tag, after all that it names has come whole."""
    tagged = await manifest(mirror, token, image)
    by_digest = await manifest(mirror, token, image, image.digest)
    assert tagged.body == by_digest.body == image.manifest.raw
    for blob in image.manifest.blobs:
        answer = await ask(mirror, f"/v2/{image.repository}/blobs/{blob.digest}", headers=token)
        assert answer.body == blob.content.read(0, blob.size)
    return tagged


async def ended_token(mirror: Mirror, image: Image) -> dict[str, str]:
    """A client's token, with which it has pulled, and which has ended since."""
    token = await bearer(mirror, image.repository)
    assert "Warning" not in (await pull(mirror, token, image)).headers
    await asyncio.sleep(TOKEN_SECONDS + 0.1)
    return token


def assert_secret(mirror: Mirror, *tokens: dict[str, str]) -> None:
    for token in tokens:
        assert token["Authorization"].split()[1] not in mirror.text


async def test_a_pull_goes_on_after_its_token_has_ended(hub: Hub, mirror: Mirror) -> None:
    image = hub.add_image("me/slow", layers=(2000, 3000))
    token = await ended_token(mirror, image)
    hub.requests.clear()
    assert "Warning" not in (await pull(mirror, token, image)).headers
    # Nothing but new tokens arrived, and nothing was taken for a no.
    shown = [seen.asked.header("Authorization") for seen in hub.requests.of("registry")]
    assert shown
    assert token["Authorization"] not in shown
    assert hub.manifest_gets == 0
    tags = await ask(mirror, f"/v2/{image.repository}/tags/list", headers=token)
    assert tags.json["tags"] == ["latest"]


async def test_what_is_remembered_comes_whole_while_all_of_the_hub_is_down(
    hub: Hub, mirror: Mirror
) -> None:
    image = hub.add_image("me/remembered", layers=(2000, 3000))
    ended = await ended_token(mirror, image)
    servers = (hub.registry, hub.token, hub.cdn)
    for server in servers:
        server.refuse()
    try:
        given = await ask(
            mirror,
            f"/auth/token?service={hub.service}&scope=repository:{image.repository}:pull",
        )
        assert (given.status, given.json["expires_in"]) == (200, 60)
        new_client = {"Authorization": f"Bearer {given.json['token']}"}
        for answer in await asyncio.gather(
            *(pull(mirror, token, image) for token in (ended, new_client))
        ):
            assert answer.headers["Warning"].startswith("299 - ")
            assert int(answer.headers["Age"]) >= TOKEN_SECONDS
        unknown = await manifest(mirror, ended, image, "unknown")
        assert unknown.error == (502, "UNAVAILABLE")
    finally:
        for server in servers:
            await server.listen()
    await mirror.log_line("The last token is given on")
    assert_secret(mirror, ended, new_client)
    assert "Warning" not in (await pull(mirror, ended, image)).headers


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(HangUp(), (502, "UNAVAILABLE"), id="hangs up"),
        pytest.param(Status(503, retry_after="60"), (502, "UNAVAILABLE"), id="503"),
        pytest.param(Status(429, retry_after="60"), (429, "TOOMANYREQUESTS"), id="429"),
    ],
)
async def test_what_is_not_remembered_fails_while_the_token_service_is_down(
    hub: Hub, mirror: Mirror, fault: Fault, error: tuple[int, str]
) -> None:
    image = hub.add_image(f"me/{type(fault).__name__.lower()}{error[0]}", layers=(2000,))
    hub.tag(image, "never-pulled")
    ended = await ended_token(mirror, image)
    hub.requests.clear()
    hub.token.faults.add(fault)
    assert (await pull(mirror, ended, image)).headers["Warning"].startswith("299 - ")
    for target in ("manifests/never-pulled", f"blobs/sha256:{'a' * 64}", "tags/list"):
        answer = await ask(mirror, f"/v2/{image.repository}/{target}", headers=ended)
        assert answer.error == error
        assert answer.headers.getall("WWW-Authenticate", []) == []
    # The token that has ended was shown to nobody.
    assert not hub.requests.of("registry")


async def test_what_was_made_private_stays_so(hub: Hub, mirror: Mirror) -> None:
    image = hub.add_image("me/closed", layers=(2000,))
    layer = f"blobs/{image.manifest.layers[0].digest}"
    ended = await ended_token(mirror, image)
    targets = ("manifests/latest", f"manifests/{image.digest}", layer)

    async def assert_challenged() -> None:
        for target in targets:
            answer = await ask(
                mirror, f"/v2/{image.repository}/{target}", headers={**ACCEPT, **ended}
            )
            assert answer.status == 401
            assert f'realm="{mirror.url}/auth/token"' in answer.headers["WWW-Authenticate"]

    denial = hub.token.faults.add(Status(403))
    await assert_challenged()
    denial.off()
    # As Hub does: a token is given, which opens nothing.
    hub.set_private(image.repository)
    await assert_challenged()
    for role in (hub.registry, hub.token):
        role.faults.add(Status(503, retry_after="60"))
    for target in targets:
        answer = await ask(mirror, f"/v2/{image.repository}/{target}", headers={**ACCEPT, **ended})
        assert answer.error == (502, "UNAVAILABLE")
