from __future__ import annotations

import pytest

from addon.memory.manifests import Kept
from addon.memory.sharing import EVERYONE, BlobKey, Reader
from addon.memory.tokens import CLOCKS_APART
from addon.memory.upstream import DENIED, Limits, Upstream
from tests.upstreams import Site

KEY = BlobKey("", "a", "sha256:x")
ANYONE = Reader(EVERYONE)


def remembering(*keys: BlobKey) -> Upstream:
    upstream = Site().upstream
    for key in keys:
        audience, repository, digest = key
        upstream.access.grant(audience, repository)
        upstream.manifests.put(audience, repository, Kept(digest, (), b"{}"))
        upstream.sizes[key] = 5
        for method in ("GET", "HEAD"):
            upstream.blobs.ways.redirects.keep(key, method, "https://cdn.example/x")
    return upstream


def knows(upstream: Upstream, audience: str, repository: str, digest: str) -> list[bool]:
    key = BlobKey(audience, repository, digest)
    return [
        upstream.access.holds(audience, repository),
        upstream.manifests.get(audience, repository, digest) is not None,
        (audience, repository, digest) in upstream.sizes,
        *(upstream.blobs.ways.redirects.get(key, method) is not None for method in ("GET", "HEAD")),
    ]


@pytest.mark.parametrize("status", sorted(DENIED))
def test_a_no_drops_everything_of_one_audiences_repository(status: int) -> None:
    others = [BlobKey("", "b", "sha256:x"), BlobKey("hash", "a", "sha256:x")]
    upstream = remembering(KEY, *others)
    told = list[tuple[str, str]]()
    upstream.revoked.append(lambda audience, repository: told.append((audience, repository)))
    upstream.hear(ANYONE, "a", status)
    assert knows(upstream, *KEY) == [False] * 5
    for other in others:
        assert knows(upstream, *other) == [True] * 5
    assert told == [("", "a")]


@pytest.mark.parametrize(
    ("seconds", "status", "is_kept"),
    [
        pytest.param(0, 401, False, id="a fresh token"),
        pytest.param(299 - CLOCKS_APART, 401, False, id="one that surely holds"),
        pytest.param(300 - CLOCKS_APART, 401, True, id="ended by the registry's clock"),
        pytest.param(301, 401, True, id="ended"),
        pytest.param(301, 403, False, id="no for another reason"),
        pytest.param(301, 404, False, id="not there"),
    ],
)
async def test_a_no_to_a_token_that_has_ended_is_none_to_everyone(
    seconds: float, status: int, is_kept: bool
) -> None:
    site = Site()
    token = (await site.token("a"))[1]
    site.clock.forward(seconds)
    upstream = site.upstream
    upstream.access.grant(*KEY[:2])
    upstream.hear(Reader(EVERYONE, token), "a", status)
    assert upstream.access.holds(*KEY[:2]) is is_kept


async def test_a_no_to_any_other_token_is_one() -> None:
    upstream = Site().upstream
    for text in ("Bearer unknown", "Basic eDp5", "Bearer", ""):
        upstream.access.grant("hash", "a")
        upstream.hear(Reader("hash", text), "a", 401)
        assert not upstream.access.holds("hash", "a")


@pytest.mark.parametrize("status", [200, 206, 304, 307])
def test_a_yes_grants(status: int) -> None:
    upstream = Site().upstream
    upstream.hear(ANYONE, "a", status)
    assert upstream.access.holds("", "a")


@pytest.mark.parametrize("status", [400, 405, 416, 429, 500, 503])
def test_what_is_neither_changes_nothing(status: int) -> None:
    upstream = remembering(KEY)
    upstream.hear(ANYONE, "a", status)
    assert knows(upstream, *KEY) == [True] * 5
    upstream.hear(ANYONE, "b", status)
    assert not upstream.access.holds("", "b")


def test_forgetting_an_audience_forgets_all_its_repositories() -> None:
    mine = [BlobKey("hash", "a", "sha256:x"), BlobKey("hash", "b", "sha256:y")]
    upstream = remembering(KEY, *mine)
    upstream.forget("hash")
    for key in mine:
        assert knows(upstream, *key) == [False] * 5
    assert knows(upstream, *KEY) == [True] * 5


async def test_the_upkeep_drops_what_single_tokens_left_and_refreshes_our_own() -> None:
    site = Site()
    upstream = site.upstream
    await site.token()
    upstream.access.grant("hash", "a")
    upstream.manifests.put("hash", "a", Kept("sha256:x", (), b"{}"))
    site.clock.forward(200)
    upstream.access.grant("", "a")
    await site.token()
    await upstream.keep_up()
    assert len(upstream.manifests) == 1
    assert site.hub.count("token") == 2
    site.clock.forward(100)
    await upstream.keep_up()
    assert len(upstream.manifests) == 0
    assert upstream.access.holds("", "a")


async def test_a_token_service_is_asked_for_exactly_what_is_needed() -> None:
    site = Site()
    await site.token("library/a")
    (asked,) = site.hub.asked
    assert asked.path == "/token?service=registry.docker.io&scope=repository:library/a:pull"
    assert asked.fields == [("Accept-Encoding", "identity")]


def test_without_a_memory_nothing_is_granted_or_kept() -> None:
    upstream = Site(Limits(remember=False)).upstream
    upstream.hear(ANYONE, "a", 200)
    upstream.manifests.put("", "a", Kept("sha256:x", (), b"{}"))
    assert not upstream.access.holds("", "a")
    assert len(upstream.manifests) == 0
    assert not upstream.small_blobs.takes("sha256:" + "a" * 64, 5)
