from __future__ import annotations

import pytest

from addon.answering.manifestrequest import ManifestRequest
from addon.answering.manifestsource import ManifestSource
from addon.memory.manifests import MAX_MANIFEST
from addon.memory.sharing import EVERYONE, Reader
from addon.outbound.received import Answer
from addon.protocol.asked import Asked
from addon.protocol.errors import UpstreamFailure
from addon.protocol.routes import Manifest
from tests.outbounds import answer
from tests.upstreams import Site, digest_of

OTHER = "sha256:" + "0" * 64


@pytest.fixture
def site() -> Site:
    site = Site()
    site.push("1", b"config", b"layer")
    return site


def request(reference: str = "1", reader: Reader | None = None) -> ManifestRequest:
    asked = Asked("GET", [], "realm")
    return ManifestRequest.of(
        Manifest("a", reference), asked, reader or Reader(EVERYONE), "library/a"
    )


async def test_the_registrys_yes_and_no_are_noted(site: Site) -> None:
    reader = Reader(EVERYONE, (await site.token())[1])
    source = ManifestSource(site.upstream)
    (await source.ask(request(reader=reader), "HEAD")).body.close()
    assert site.upstream.access.holds(EVERYONE, "library/a")
    site.hub.private = True
    (await source.ask(request(reader=reader), "HEAD")).body.close()
    assert not site.upstream.access.holds(EVERYONE, "library/a")


async def test_a_manifest_is_read_and_may_be_remembered(site: Site) -> None:
    content = site.hub.tags["1"]
    got, kept = await ManifestSource(site.upstream).read(answer(200, content=content), request())
    assert got.content == content
    assert kept is not None
    assert (kept.digest, len(kept.blobs)) == (digest_of(content), 2)


async def test_what_is_no_manifest_is_read_all_the_same(site: Site) -> None:
    got, kept = await ManifestSource(site.upstream).read(answer(404, content=b"no"), request())
    assert (got.status, got.content, kept) == (404, b"no", None)


@pytest.mark.parametrize(
    ("given", "reference", "reason"),
    [
        pytest.param(answer(200, content=b"{}"), OTHER, "what came is not", id="other content"),
        pytest.param(
            answer(200, ("Docker-Content-Digest", OTHER), content=b"{", closes_to_end=True),
            "1",
            "a manifest broke off",
            id="without framing, and not what it says",
        ),
        pytest.param(
            answer(200, content=bytes(MAX_MANIFEST + 1)), "1", "larger than", id="too large"
        ),
    ],
)
async def test_what_is_broken_is_a_failure(
    site: Site, given: Answer, reference: str, reason: str
) -> None:
    with pytest.raises(UpstreamFailure, match=reason):
        await ManifestSource(site.upstream).read(given, request(reference))


async def test_a_digest_that_nobody_here_can_check_is_the_clients_to_check(site: Site) -> None:
    reference = "blake3:" + "0" * 64
    given = answer(200, content=b"{}")
    got, kept = await ManifestSource(site.upstream).read(given, request(reference))
    assert (got.content, kept) == (b"{}", None)
