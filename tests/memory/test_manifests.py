from __future__ import annotations

import hashlib

import pytest

from addon.memory.manifests import OVERHEAD, Kept, Manifests, accepted_types, keep
from addon.protocol.descriptors import Descriptor
from tests.clock import Clock

CONTENT = b'{"config": {"digest": "sha256:%064x", "size": 5}}' % 1
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
SHA512 = "sha512:" + hashlib.sha512(CONTENT).hexdigest()
OCI = frozenset({"application/vnd.oci.image.index.v1+json"})
DOCKER = frozenset({"application/vnd.docker.distribution.manifest.v2+json"})


def kept(name: str = "a", size: int = 0) -> Kept:
    return Kept(f"sha256:{name}", (), bytes(size))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manifests(clock: Clock) -> Manifests:
    return Manifests(1024 * 1024, 100, clock)


class TestKeep:
    @pytest.mark.parametrize("digest", [SHA256, SHA512])
    def test_content_of_its_digest(self, digest: str) -> None:
        fields = [
            ("content-type", "x"),
            ("ETag", '"y"'),
            ("Docker-Content-Digest", digest),
            ("Set-Cookie", "secret"),
            ("ratelimit-remaining", "5;w=1"),
            ("Content-Length", "3"),
        ]
        found = keep(digest, fields, CONTENT)
        assert found is not None
        assert found.fields == fields[:3]
        assert found.blobs == (Descriptor(f"sha256:{1:064x}", 5),)

    def test_says_its_digest_where_the_registry_did_not(self) -> None:
        found = keep(SHA256, [], CONTENT)
        assert found is not None
        assert found.fields == [("Docker-Content-Digest", SHA256)]

    @pytest.mark.parametrize(
        ("digest", "content"),
        [
            pytest.param(SHA256, CONTENT + b" ", id="more"),
            pytest.param(SHA256, CONTENT[:-1], id="less"),
            pytest.param(SHA256, b"X" + CONTENT[1:], id="another byte"),
            pytest.param(SHA256, b"", id="nothing"),
            pytest.param(SHA256.upper(), CONTENT, id="in upper case"),
            pytest.param("md5:" + hashlib.md5(CONTENT).hexdigest(), CONTENT, id="md5"),
            pytest.param(SHA256.partition(":")[2], CONTENT, id="no algorithm"),
            pytest.param("", CONTENT, id="no digest"),
            pytest.param("sha512:" + SHA256.partition(":")[2], CONTENT, id="another algorithm"),
        ],
    )
    def test_nothing_else(self, digest: str, content: bytes) -> None:
        assert keep(digest, [], content) is None


class TestAccepted:
    @pytest.mark.parametrize(
        "values",
        [
            ["a/x, b/y"],
            ["b/y", "a/x"],
            ["b/y;q=0.5,a/x;q=0.1"],
            [" A/X ,, B/y ; q=1 "],
            ["a/x,b/y,a/x"],
        ],
    )
    def test_types_are_a_set(self, values: list[str]) -> None:
        assert accepted_types(values) == {"a/x", "b/y"}

    @pytest.mark.parametrize("values", [[], [""], [" , ;q=1"]])
    def test_may_be_none(self, values: list[str]) -> None:
        assert accepted_types(values) == frozenset()


class TestMemory:
    def test_by_digest_is_for_one_audience_and_repository(self, manifests: Manifests) -> None:
        manifests.put("", "a", kept())
        assert manifests.get("", "a", "sha256:a") is not None
        assert manifests.get("hash", "a", "sha256:a") is None
        assert manifests.get("", "b", "sha256:a") is None

    def test_a_tag_is_kept_for_each_set_of_types(self, manifests: Manifests, clock: Clock) -> None:
        for name, accepted in (("index", OCI), ("image", DOCKER)):
            manifests.put("", "a", kept(name))
            manifests.tag("", "a", "latest", accepted, f"sha256:{name}")
        clock.forward(12)
        for name, accepted in (("index", OCI), ("image", DOCKER)):
            found = manifests.tagged("", "a", "latest", accepted)
            assert found is not None
            assert (found[0].digest, found[1]) == (f"sha256:{name}", 12)
        for other in (OCI | DOCKER, frozenset[str]()):
            assert manifests.tagged("", "a", "latest", other) is None
        assert manifests.tagged("hash", "a", "latest", OCI) is None
        assert manifests.tagged("", "a", "3", OCI) is None

    def test_a_tag_whose_manifest_is_not_kept_is_not_known(self, manifests: Manifests) -> None:
        manifests.tag("", "a", "latest", OCI, "sha256:gone")
        assert manifests.tagged("", "a", "latest", OCI) is None

    def test_a_check_is_the_newest(self, manifests: Manifests, clock: Clock) -> None:
        manifests.put("", "a", kept())
        manifests.tag("", "a", "latest", OCI, "sha256:a")
        clock.forward(100)
        manifests.tag("", "a", "latest", OCI, "sha256:a")
        found = manifests.tagged("", "a", "latest", OCI)
        assert found is not None
        assert found[1] == 0

    def test_drop_forgets_one_audiences_repository_alone(self, manifests: Manifests) -> None:
        where = [("", "a"), ("hash", "a"), ("", "b")]
        for audience, repository in where:
            manifests.put(audience, repository, kept())
            manifests.tag(audience, repository, "latest", OCI, "sha256:a")
        manifests.drop("", "a")
        found = [manifests.tagged(*each, "latest", OCI) is not None for each in where]
        assert found == [False, True, True]
        assert manifests.get("", "a", "sha256:a") is None

    def test_bytes_are_bounded(self, clock: Clock) -> None:
        manifests = Manifests(10_000, 100, clock)
        for number in range(50):
            manifests.put("", "a", kept(str(number), 2000))
        assert len(manifests) == 10_000 // (2000 + OVERHEAD)

    def test_empty_ones_are_bounded_too(self, clock: Clock) -> None:
        manifests = Manifests(10_000, 100, clock)
        for number in range(50):
            manifests.put("", f"a{number}", kept())
        assert len(manifests) == 10_000 // OVERHEAD

    @pytest.mark.parametrize("size", [1, 0])
    def test_one_too_large_is_not_kept_and_drives_nothing_out(
        self, clock: Clock, size: int
    ) -> None:
        manifests = Manifests(5000, 100, clock)
        manifests.put("", "a", kept("small", 100))
        manifests.put("", "a", kept("large", 5000 - OVERHEAD + 1))
        assert manifests.get("", "a", "sha256:large") is None
        assert manifests.get("", "a", "sha256:small") is not None
        none = Manifests(size, 100, clock)
        none.put("", "a", kept())
        assert len(none) == 0

    def test_tags_are_bounded(self, clock: Clock) -> None:
        manifests = Manifests(5000, 3, clock)
        manifests.put("", "a", kept())
        for number in range(10):
            manifests.tag("", "a", str(number), OCI, "sha256:a")
        known = [manifests.tagged("", "a", str(n), OCI) is not None for n in range(10)]
        assert known == [False] * 7 + [True] * 3
