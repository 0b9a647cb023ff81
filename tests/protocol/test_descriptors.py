from __future__ import annotations

import json
from typing import Any

import pytest

from addon.protocol.descriptors import MAX_BLOBS, Descriptor, parse_blobs


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def named(number: int, size: Any = 5, **more: object) -> dict[str, Any]:
    return {"mediaType": "x", "digest": digest(number), "size": size, **more}


def manifest(config: object, *layers: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()


def test_config_and_layers_come_in_the_order_of_the_manifest() -> None:
    found = parse_blobs(manifest(named(1), named(3, 30), named(2, 20)))
    assert found == (
        Descriptor(digest(1), 5),
        Descriptor(digest(3), 30),
        Descriptor(digest(2), 20),
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/vnd.oci.image.config.v1+json", True),
        ("application/vnd.docker.container.image.v1+json", True),
        ("application/vnd.oci.empty.v1+json", False),
        (["application/vnd.oci.image.config.v1+json"], False),
        (None, False),
    ],
)
def test_an_images_config_is_known_by_its_type(kind: object, expected: bool) -> None:
    (found,) = parse_blobs(manifest({**named(1), "mediaType": kind}))
    assert found.is_config is expected


def test_a_layer_that_stands_twice_comes_once() -> None:
    found = parse_blobs(manifest(named(1), named(2), named(3), named(2)))
    assert [blob.digest for blob in found] == [digest(1), digest(2), digest(3)]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(None, id="null"),
        pytest.param("sha256:abc", id="text"),
        pytest.param({}, id="empty"),
        pytest.param(named(2, urls=["https://elsewhere.example/x"]), id="a foreign layer"),
        pytest.param(named(2, -1), id="a negative size"),
        pytest.param(named(2, "5"), id="a size that is text"),
        pytest.param(named(2, 5.5), id="half a byte"),
        pytest.param(named(2, None), id="no size"),
        pytest.param({"size": 5}, id="no digest"),
        pytest.param({"digest": "sha256:../../x", "size": 5}, id="a digest that is a path"),
        pytest.param({"digest": "sha256:abc", "size": 5}, id="a short digest"),
        pytest.param({"digest": 5, "size": 5}, id="a digest that is a number"),
    ],
)
def test_what_is_no_descriptor_of_ours_is_left_out(entry: object) -> None:
    assert parse_blobs(manifest(named(1), entry, named(3))) == (
        Descriptor(digest(1), 5),
        Descriptor(digest(3), 5),
    )


def test_an_empty_list_of_urls_is_no_foreign_layer() -> None:
    assert len(parse_blobs(manifest(named(1, urls=[])))) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"5", id="a number"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"layers": 5}', id="layers that are none"),
        pytest.param(b'{"layers": {"digest": "x"}}', id="layers that are no list"),
        pytest.param(json.dumps({"manifests": [named(1)]}).encode(), id="an index"),
        pytest.param(b"[" * 100_000, id="a depth that no parser takes"),
        pytest.param(b'{"config": ' + b"[" * 100_000, id="a deep config"),
    ],
)
def test_of_what_is_no_image_nothing_is_expected(content: bytes) -> None:
    assert parse_blobs(content) == ()


def test_blobs_are_bounded_in_number() -> None:
    many = [named(number) for number in range(10 * MAX_BLOBS)]
    assert len(parse_blobs(manifest(*many))) == MAX_BLOBS
