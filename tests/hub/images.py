"""Real images: layers that unpack, configs that fit them, manifests, indexes and artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .content import Compression, Content, InMemory, Noise, compressed, digest_of, tar_of
from .media_types import (
    CONFIG_TYPES,
    EMPTY_TYPE,
    INDEX_TYPES,
    LAYER_TYPES,
    MANIFEST_TYPES,
    OCI_MANIFEST,
    Format,
)
from .programs import true_program


@dataclass(frozen=True, slots=True)
class Blob:
    media_type: str
    content: Content
    digest: str

    @classmethod
    def of(cls, media_type: str, content: Content) -> Blob:
        return cls(media_type, content, digest_of(content))

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, with what it names."""

    media_type: str
    raw: bytes
    digest: str
    config: Blob | None = None
    layers: tuple[Blob, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    platform: str = ""
    subject: str = ""
    artifact_type: str = ""

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return (*((self.config,) if self.config else ()), *self.layers)

    @property
    def descriptor(self) -> dict[str, object]:
        descriptor: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.raw),
        }
        if self.artifact_type:
            descriptor["artifactType"] = self.artifact_type
        if self.platform:
            descriptor["platform"] = _platform(self.platform)
        return descriptor


@dataclass(frozen=True, slots=True)
class Image:
    """What a tag names: an index over several platforms, one manifest, or an artifact."""

    repository: str
    tag: str
    manifest: Manifest

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Those that hold layers: each platform's, or the only one."""
        return self.manifest.manifests or (self.manifest,)

    @property
    def layers(self) -> tuple[Blob, ...]:
        """The first platform's."""
        return self.manifests[0].layers

    @property
    def config(self) -> Blob:
        """The first platform's."""
        config = self.manifests[0].config
        assert config is not None
        return config


def _platform(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def _document(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, indent=3).encode()


def build_layers(
    layers: Sequence[int | bytes | Content], seed: str, platform: str
) -> tuple[Content, ...]:
    """One tar for each: so many bytes of noise, or these very bytes, as a file.

    The first also holds a program to run and the name of what this is.
    """
    tars = []
    for index, layer in enumerate(layers):
        files: dict[str, Content] = {}
        if index == 0:
            release = f'ID=test\nPRETTY_NAME="{seed} {platform}"\n'
            files["etc/os-release"] = InMemory(release.encode())
            files["bin/true"] = InMemory(true_program(_platform(platform)["architecture"]))
        files[f"data/{index}"] = _file(layer, f"{seed}/{platform}/{index}")
        tars.append(tar_of(files))
    return tuple(tars)


def _file(layer: int | bytes | Content, seed: str) -> Content:
    if isinstance(layer, int):
        return Noise(seed, layer)
    return InMemory(layer) if isinstance(layer, bytes) else layer


def build_manifest(
    tars: Sequence[Content],
    platform: str,
    form: Format,
    compression: Compression | None,
    folder: Path,
) -> Manifest:
    layer_type = LAYER_TYPES[form, compression]
    layers = tuple(Blob.of(layer_type, compressed(tar, compression, folder)) for tar in tars)
    config = Blob.of(CONFIG_TYPES[form], InMemory(_document(_config(tars, platform))))
    media_type = MANIFEST_TYPES[form]
    raw = _document(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.descriptor,
            "layers": [layer.descriptor for layer in layers],
        }
    )
    digest = digest_of(InMemory(raw))
    return Manifest(media_type, raw, digest, config=config, layers=layers, platform=platform)


def _config(tars: Sequence[Content], platform: str) -> dict[str, object]:
    created = "2024-05-01T12:00:00Z"
    return {
        **_platform(platform),
        "created": created,
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/true"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        "history": [{"created": created, "created_by": f"layer {n}"} for n in range(len(tars))],
    }


def build_index(manifests: Sequence[Manifest], form: Format) -> Manifest:
    media_type = INDEX_TYPES[form]
    raw = _document(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [manifest.descriptor for manifest in manifests],
        }
    )
    return Manifest(media_type, raw, digest_of(InMemory(raw)), manifests=tuple(manifests))


def build_artifact(
    artifact_type: str, contents: Mapping[str, bytes], subject: Manifest | None
) -> Manifest:
    """An artifact as in the image-spec's guidelines: an empty config, any layers."""
    config = Blob.of(EMPTY_TYPE, InMemory(b"{}"))
    layers = tuple(Blob.of(kind, InMemory(data)) for kind, data in contents.items())
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": config.descriptor,
        "layers": [layer.descriptor for layer in layers],
    }
    if subject is not None:
        document["subject"] = {k: v for k, v in subject.descriptor.items() if k != "platform"}
    raw = _document(document)
    return Manifest(
        OCI_MANIFEST,
        raw,
        digest_of(InMemory(raw)),
        config=config,
        layers=layers,
        subject=subject.digest if subject else "",
        artifact_type=artifact_type,
    )
