"""What the stand-in serves are images that a client can unpack."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.hub.content import (
    CHUNK,
    Compression,
    Content,
    Flipped,
    InMemory,
    Joined,
    Noise,
    OnDisk,
    Slice,
    chunks,
    compressed,
    digest_of,
    tar_of,
)
from tests.hub.images import build_artifact, build_index, build_layers, build_manifest
from tests.hub.media_types import Format
from tests.hub.programs import true_program


def whole(content: Content) -> bytes:
    return b"".join(chunks(content))


def unpacked(data: bytes, compression: Compression | None) -> bytes:
    if compression == "gzip":
        return gzip.decompress(data)
    if compression == "zstd":
        return zstandard.ZstdDecompressor().decompress(data)
    return data


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(InMemory(bytes(range(256)) * 3000), id="in memory"),
        pytest.param(Noise("seed", 3 * CHUNK + 17), id="noise"),
        pytest.param(Slice(Noise("seed", 3 * CHUNK), 5, 2 * CHUNK), id="slice"),
        pytest.param(Joined((InMemory(b"abc"), InMemory(b""), Noise("x", CHUNK))), id="joined"),
        pytest.param(tar_of({"a": InMemory(b"1"), "b": Noise("y", 2000)}), id="tar"),
    ],
)
def test_content_reads_the_same_from_anywhere(content: Content) -> None:
    data = whole(content)
    assert len(data) == content.size
    for start, stop in ((0, 1), (3, 4), (1, CHUNK + 1), (CHUNK - 1, CHUNK + 1), (0, 10**9)):
        assert content.read(start, stop) == data[start:stop]


def test_flip_changes_one_byte_wherever_it_is_read() -> None:
    flipped = Flipped(InMemory(b"abcdef"), 3)
    assert flipped.read(0, 6) == b"abc\x9bef"
    assert flipped.read(2, 4) == b"c\x9b"
    assert flipped.read(4, 6) == b"ef"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_noise_does_not_shrink(compression: Compression, tmp_path: Path) -> None:
    # Larger than what is kept in memory: this is the way of a 200 MB layer.
    noise = Noise("seed", 6 * 1024 * 1024)
    packed = compressed(noise, compression, tmp_path)
    assert isinstance(packed, OnDisk)
    assert packed.size >= noise.size
    assert unpacked(whole(packed), compression) == whole(noise)


@pytest.mark.parametrize("form", ["oci", "docker"])
@pytest.mark.parametrize("compression", ["gzip", "zstd", None])
def test_layers_are_tars_that_the_config_names(
    form: Format, compression: Compression | None, tmp_path: Path
) -> None:
    tars = build_layers([1000, b"hello"], "seed", "linux/arm64/v8")
    manifest = build_manifest(tars, "linux/arm64/v8", form, compression, tmp_path)
    assert manifest.config is not None
    config = json.loads(whole(manifest.config.content))
    assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm64", "v8")
    plain = [unpacked(whole(layer.content), compression) for layer in manifest.layers]
    assert config["rootfs"]["diff_ids"] == [digest_of(InMemory(tar)) for tar in plain]
    with tarfile.open(fileobj=io.BytesIO(plain[0])) as first:
        assert first.getnames() == ["etc/os-release", "bin/true", "data/0"]
        assert first.getmember("data/0").size == 1000
    with tarfile.open(fileobj=io.BytesIO(plain[1])) as second:
        file = second.extractfile("data/1")
        assert file is not None
        assert file.read() == b"hello"


def test_manifest_describes_what_it_names(tmp_path: Path) -> None:
    manifest = build_manifest(
        build_layers([10], "seed", "linux/amd64"), "linux/amd64", "oci", "gzip", tmp_path
    )
    index = json.loads(build_index([manifest], "oci").raw)
    described = index["manifests"][0]
    assert described["size"] == len(manifest.raw)
    assert described["digest"] == f"sha256:{hashlib.sha256(manifest.raw).hexdigest()}"
    assert described["platform"] == {"os": "linux", "architecture": "amd64"}
    for blob, entry in zip(manifest.layers, json.loads(manifest.raw)["layers"], strict=True):
        assert (entry["digest"], entry["size"]) == (digest_of(blob.content), blob.size)


def test_the_same_image_has_the_same_digest_and_another_has_another(tmp_path: Path) -> None:
    digests = [
        build_manifest(
            build_layers([5000], seed, "linux/amd64"), "linux/amd64", "oci", "gzip", tmp_path
        ).digest
        for seed in ("a", "a", "b")
    ]
    assert digests[0] == digests[1] != digests[2]


def test_artifact_has_the_empty_config_and_its_subject(tmp_path: Path) -> None:
    subject = build_index([], "oci")
    artifact = build_artifact("application/x.test", {"text/plain": b"x"}, subject)
    document = json.loads(artifact.raw)
    assert document["artifactType"] == "application/x.test"
    assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert document["subject"]["digest"] == subject.digest


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="a program for x86-64"
)
def test_the_program_in_an_image_runs(tmp_path: Path) -> None:
    program = tmp_path / "true"
    program.write_bytes(true_program("amd64"))
    os.chmod(program, 0o755)
    assert subprocess.run([program], check=False).returncode == 0
