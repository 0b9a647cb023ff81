"""Manifests and indexes as tables."""

from __future__ import annotations

import json

import pytest

from addon.memory.manifests import MAX_MANIFEST
from addon.views.manifest import MEDIA_TYPES, show_manifest
from addon.views.table import MAX_ROWS
from tests.views.bodies import (
    BLOB,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    HOSTILE,
    JSON,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    digest,
    encode,
    image,
    index,
    is_harmless,
    named,
)

AMD64 = {"os": "linux", "architecture": "amd64"}
ARM = {"os": "linux", "architecture": "arm", "variant": "v7"}
WINDOWS = {"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.2700"}
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


def attestation(of: str, kind: object = "attestation-manifest") -> dict[str, object]:
    return {"vnd.docker.reference.type": kind, "vnd.docker.reference.digest": of}


def shown(body: bytes, content_type: str = OCI_INDEX) -> str:
    text = show_manifest(content_type, body)
    assert text is not None
    assert is_harmless(text)
    return text


def row(body: bytes, start: str) -> str:
    """The line of a table that begins so."""
    return next(line for line in shown(body).splitlines() if line.startswith(start))


def test_an_index_is_a_table_of_platforms() -> None:
    body = index(
        named(1, 1022, OCI_MANIFEST, platform=AMD64),
        named(2, 1025, OCI_MANIFEST, platform=ARM),
        named(3, 2051, OCI_MANIFEST, platform=WINDOWS),
        named(4, 566, OCI_MANIFEST, platform=UNKNOWN, annotations=attestation(digest(2))),
    )
    zeros = "0" * 63
    assert shown(body).splitlines() == [
        f"Index: {OCI_INDEX}",
        "",
        f"platform                         size  digest{' ' * 67}media type",
        f"linux/amd64                    1.0 kB  sha256:{zeros}1  {OCI_MANIFEST}",
        f"linux/arm/v7                   1.0 kB  sha256:{zeros}2  {OCI_MANIFEST}",
        f"windows/amd64 10.0.20348.2700  2.1 kB  sha256:{zeros}3  {OCI_MANIFEST}",
        f"attestation for linux/arm/v7    566 B  sha256:{zeros}4  {OCI_MANIFEST}",
        "total                          4.7 kB  4 listed",
    ]


def test_an_image_is_a_table_of_blobs() -> None:
    assert shown(image(named(2, 3_623_844), named(3, 12)), OCI_MANIFEST).splitlines() == [
        f"Image manifest: {OCI_MANIFEST}",
        "",
        f"blob       size  digest{' ' * 67}media type",
        f"config   1.5 kB  {digest(1)}  {OCI_CONFIG}",
        f"layer 1  3.6 MB  {digest(2)}  {OCI_LAYER}",
        f"layer 2    12 B  {digest(3)}  {OCI_LAYER}",
        "total    3.6 MB  3 listed",
    ]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(OCI_INDEX, index(named(1)), id="OCI index"),
        pytest.param(OCI_MANIFEST, image(named(2)), id="OCI manifest"),
        pytest.param(DOCKER_LIST, index(named(1), mediaType=DOCKER_LIST), id="Docker list"),
        pytest.param(DOCKER_MANIFEST, image(mediaType=DOCKER_MANIFEST), id="Docker manifest"),
        pytest.param(OCI_MANIFEST, image(), id="without layers"),
        pytest.param(OCI_INDEX, index(), id="an empty index"),
        pytest.param(OCI_INDEX, encode({"manifests": []}), id="without its own media type"),
        pytest.param(
            "application/vnd.oci.artifact.manifest.v1+json",
            encode({"artifactType": "a/b", "blobs": [named(1)]}),
            id="artifact manifest",
        ),
        pytest.param(JSON, index(named(1)), id="sent as JSON, but says what it is"),
        pytest.param(BLOB, index(named(1)), id="sent as a blob, but says what it is"),
        pytest.param("", image(mediaType=OCI_MANIFEST), id="sent without a type"),
    ],
)
def test_manifests_are_known(content_type: str, body: bytes) -> None:
    assert "total" in shown(body, content_type)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(JSON, image(named(1)), id="JSON that does not say what it is"),
        pytest.param(JSON, index(mediaType="a/b"), id="JSON that says another thing"),
        pytest.param(JSON, index(mediaType=[OCI_INDEX]), id="a media type that is a list"),
        pytest.param("text/html", index(named(1)), id="HTML"),
        pytest.param(
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            encode({"schemaVersion": 1, "fsLayers": []}),
            id="schema 1",
        ),
        pytest.param(OCI_INDEX, encode({"schemaVersion": 1, "fsLayers": []}), id="schema 1 inside"),
        pytest.param(OCI_INDEX, index(layers=[]), id="an index and an image"),
        pytest.param(OCI_INDEX, index(config={}), id="an index with a config"),
        pytest.param(OCI_INDEX, b"", id="nothing"),
        pytest.param(OCI_INDEX, b"{}", id="empty"),
        pytest.param(OCI_INDEX, b"[]", id="a list"),
        pytest.param(OCI_INDEX, b"<html>", id="no JSON"),
        pytest.param(OCI_INDEX, b"\xff\xfe{}", id="no UTF-8"),
        pytest.param(OCI_INDEX, b'{"manifests": ' + b"[" * 100_000, id="too deep"),
        pytest.param(OCI_INDEX, encode({"manifests": {}}), id="manifests that are no list"),
        pytest.param(OCI_MANIFEST, encode({"layers": "a", "config": {}}), id="layers likewise"),
        pytest.param(OCI_MANIFEST, encode({"layers": []}), id="no config"),
        pytest.param(OCI_MANIFEST, b'{"config": {"size": NaN}, "layers": []}', id="not a number"),
    ],
)
def test_what_is_no_manifest_is_left_to_mitmproxy(content_type: str, body: bytes) -> None:
    assert show_manifest(content_type, body) is None


@pytest.mark.parametrize(("more", "is_shown"), [(0, True), (1, False)], ids=["at most", "above"])
def test_a_manifest_is_bounded(more: int, is_shown: bool) -> None:
    body = index(named(1)).ljust(MAX_MANIFEST + more)
    assert (show_manifest(OCI_INDEX, body) is not None) == is_shown


@pytest.mark.parametrize(
    ("platform", "start"),
    [
        pytest.param(None, "-  ", id="none"),
        pytest.param("linux", "?  ", id="no object"),
        pytest.param({}, "?/?  ", id="empty"),
        pytest.param({"os": 5, "architecture": []}, "?/?  ", id="wrong types"),
        pytest.param({**AMD64, "variant": 8}, "linux/amd64/?  ", id="a wrong variant"),
        pytest.param({**AMD64, "variant": ""}, "linux/amd64  ", id="an empty variant"),
        pytest.param({**AMD64, "os.version": ["1"]}, "linux/amd64 ?  ", id="a wrong version"),
        pytest.param({"os": "\x1b[2J", "architecture": "é"}, "\\x1b[2J/\\xe9  ", id="hostile"),
    ],
)
def test_a_platform_may_be_wrong(platform: object, start: str) -> None:
    assert row(index(named(1, platform=platform)), start).endswith(OCI_LAYER)


@pytest.mark.parametrize(
    ("annotations", "start"),
    [
        pytest.param(attestation(digest(1)), "attestation for linux/amd64  ", id="of a platform"),
        pytest.param(
            attestation(digest(9)), f"attestation for {digest(9)}  ", id="of what is not here"
        ),
        pytest.param(attestation(digest(1), "other"), "other for linux/amd64  ", id="another kind"),
        pytest.param(attestation(digest(1), [1]), "? for linux/amd64  ", id="a wrong kind"),
        pytest.param(
            {"vnd.docker.reference.type": "attestation-manifest"},
            "attestation for ?  ",
            id="of nothing",
        ),
        pytest.param({}, "unknown/unknown  ", id="no annotations"),
        pytest.param([1], "unknown/unknown  ", id="annotations that are none"),
    ],
)
def test_an_attestation_says_what_it_is_of(annotations: object, start: str) -> None:
    body = index(named(1, platform=AMD64), named(2, platform=UNKNOWN, annotations=annotations))
    assert row(body, start).endswith(f"{digest(2)}  {OCI_LAYER}")


@pytest.mark.parametrize("size", ["5", -1, 5.5, True, None, 2**63, 10**4000, [], {}])
def test_a_wrong_size_is_unknown_and_not_in_the_total(size: object) -> None:
    body = index(named(1, 7), named(2, size))
    lines = shown(body).splitlines()
    assert lines[4].split()[:2] == ["-", "?"]
    assert lines[5].split() == ["total", "7", "B", "2", "listed,", "1", "without", "a", "size"]


def test_what_is_listed_twice_is_fetched_once() -> None:
    text = shown(image(named(2, 100), named(2, 100)), OCI_MANIFEST)
    assert text.splitlines()[-1].split(maxsplit=3) == [
        "total",
        "1.6",
        "kB",
        "3 listed, 2 different",
    ]


@pytest.mark.parametrize(
    ("more", "note"),
    [
        pytest.param(
            {"annotations": {"org.opencontainers.image.title": "a.txt"}}, "a.txt", id="a file"
        ),
        pytest.param(
            {"annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}},
            "https://slsa.dev/provenance/v1",
            id="an attestation",
        ),
        pytest.param({"artifactType": "a/b"}, "a/b", id="a referrer"),
        pytest.param({"urls": ["https://x"]}, 'elsewhere: ["https://x"]', id="a foreign layer"),
    ],
)
def test_a_descriptor_may_say_more(more: dict[str, object], note: str) -> None:
    text = shown(image(named(2, **more)), OCI_MANIFEST)
    assert text.splitlines()[2].endswith("media type                                   note")
    assert text.splitlines()[4].endswith(f"{OCI_LAYER}  {note}")


def test_a_manifest_may_say_more() -> None:
    text = shown(
        image(artifactType="a/b", subject=named(9), annotations={"한": HOSTILE, "n": 5}),
        OCI_MANIFEST,
    )
    assert f"\nartifact type  a/b\nsubject        {digest(9)}  {OCI_LAYER}\n" in text
    assert "\nAnnotations\n  \\ud55c  \\x1b[31m" in text
    assert text.endswith("\n  n       5")


@pytest.mark.parametrize("subject", ["a", None, 5, [], {"digest": 5}])
def test_a_wrong_subject_is_unknown(subject: object) -> None:
    assert "\nsubject  ?  ?\n" in shown(image(subject=subject), OCI_MANIFEST)


def test_two_media_types_are_both_said() -> None:
    text = shown(image(mediaType=DOCKER_MANIFEST), OCI_MANIFEST)
    assert text.startswith(f"Image manifest: {OCI_MANIFEST} (it calls itself {DOCKER_MANIFEST})\n")


@pytest.mark.parametrize("entry", [None, 5, "a", [], [{}], {}, {"digest": HOSTILE, "size": {}}])
def test_an_entry_may_be_no_descriptor(entry: object) -> None:
    assert len(shown(index(entry, named(1))).splitlines()) == 6
    assert len(shown(image(entry, config=entry), OCI_MANIFEST).splitlines()) == 6


def test_rows_are_bounded_and_all_are_counted() -> None:
    lines = shown(index(*(named(number, 1000) for number in range(MAX_ROWS + 100)))).splitlines()
    assert lines[-2] == "… and 100 more"
    assert lines[-1].split(maxsplit=3) == ["total", "600.0", "kB", "600 listed"]


def test_every_media_type_is_lower_case() -> None:
    # They are compared with a type in lower case.
    assert {media_type.lower() for media_type in MEDIA_TYPES} == MEDIA_TYPES
    assert json.loads(index())["mediaType"] in MEDIA_TYPES
