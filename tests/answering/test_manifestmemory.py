from __future__ import annotations

import pytest

from addon.answering.manifestmemory import RememberedManifests
from addon.answering.manifestrequest import ManifestRequest
from addon.flows.story import Source
from addon.memory.manifests import Kept
from addon.memory.sharing import EVERYONE, BlobKey, Reader
from addon.memory.upstream import Limits
from addon.protocol.asked import Asked
from addon.protocol.descriptors import Descriptor
from addon.protocol.errors import UpstreamFailure, failure
from addon.protocol.routes import Manifest
from tests.upstreams import Site

DIGEST = "sha256:" + "0" * 64
LAYER = Descriptor("sha256:" + "1" * 64, 7)
KEPT = Kept(DIGEST, (), b"{}", (LAYER,))
DOWN = failure("r.example", "refused")
USER = Reader("hash")


@pytest.fixture
def site() -> Site:
    return Site(Limits(tag_ttl=30.0, recheck_time=300.0, stale_time=3600.0))


def request(reference: str = "latest", reader: Reader | None = None) -> ManifestRequest:
    asked = Asked("GET", [("Accept", "a/b")], "realm")
    route = Manifest("a", reference)
    return ManifestRequest.of(route, asked, reader or Reader(EVERYONE), "library/a")


def remembering(site: Site, reader: Reader | None = None) -> RememberedManifests:
    memory = RememberedManifests(site.upstream)
    pull = request(reader=reader)
    site.upstream.access.grant(pull.reader.audience, pull.name)
    memory.put(pull, KEPT)
    return memory


@pytest.mark.parametrize(
    ("seconds", "by_tag", "by_digest"),
    [
        pytest.param(29, KEPT, KEPT, id="a tag within its time"),
        pytest.param(30, None, KEPT, id="a digest while access holds"),
        pytest.param(300, None, None, id="nothing afterwards"),
    ],
)
def test_what_may_be_given_without_asking(
    site: Site, seconds: int, by_tag: Kept | None, by_digest: Kept | None
) -> None:
    memory = remembering(site)
    site.clock.forward(seconds)
    assert memory.known(request()) == by_tag
    assert memory.known(request(DIGEST)) == by_digest


def test_a_check_is_as_good_as_having_it_anew(site: Site) -> None:
    memory = remembering(site)
    site.clock.forward(100)
    assert memory.last(request()) == (KEPT, 100)
    memory.checked(request(), DIGEST)
    assert memory.known(request()) == KEPT


def test_the_sizes_of_what_it_names_are_known(site: Site) -> None:
    remembering(site)
    assert site.upstream.sizes[BlobKey(EVERYONE, "library/a", LAYER.digest)] == LAYER.size


def test_nothing_crosses_to_another_audience(site: Site) -> None:
    memory = remembering(site, USER)
    assert memory.known(request(DIGEST, USER)) == KEPT
    for reference in ("latest", DIGEST):
        assert memory.known(request(reference)) is None
        assert memory.last(request(reference)) is None


class TestStale:
    def test_is_given_with_a_warning_and_its_age(self, site: Site) -> None:
        memory = remembering(site)
        site.clock.forward(1000)
        found = memory.stale(KEPT, 1000.0, request(), DOWN)
        assert (found.source, found.age) == (Source.STALE, 1000.0)
        fields = dict(found.fields)
        assert fields["Warning"].startswith("299 - ")
        assert fields["Age"] == "1000"

    @pytest.mark.parametrize(
        ("reader", "seconds", "is_dropped"),
        [
            pytest.param(None, 3600, False, id="too old"),
            pytest.param(USER, 1000, False, id="not for everyone"),
            pytest.param(None, 1000, True, id="dropped"),
        ],
    )
    def test_is_not_given(
        self, site: Site, reader: Reader | None, seconds: int, is_dropped: bool
    ) -> None:
        memory = remembering(site, reader)
        site.clock.forward(seconds)
        if is_dropped:
            site.upstream.manifests.drop(EVERYONE, "library/a")
        with pytest.raises(UpstreamFailure, match="refused"):
            memory.stale(KEPT, float(seconds), request(reader=reader), DOWN)
