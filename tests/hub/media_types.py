"""The media types of Docker's and OCI's images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .content import Compression

Format = Literal["oci", "docker"]

DOCKER = "application/vnd.docker"
OCI = "application/vnd.oci"
DOCKER_MANIFEST = f"{DOCKER}.distribution.manifest.v2+json"
DOCKER_LIST = f"{DOCKER}.distribution.manifest.list.v2+json"
OCI_MANIFEST = f"{OCI}.image.manifest.v1+json"
OCI_INDEX = f"{OCI}.image.index.v1+json"

MANIFEST_TYPES: Mapping[Format, str] = {"docker": DOCKER_MANIFEST, "oci": OCI_MANIFEST}
INDEX_TYPES: Mapping[Format, str] = {"docker": DOCKER_LIST, "oci": OCI_INDEX}
CONFIG_TYPES: Mapping[Format, str] = {
    "docker": f"{DOCKER}.container.image.v1+json",
    "oci": f"{OCI}.image.config.v1+json",
}
LAYER_TYPES: Mapping[tuple[Format, Compression | None], str] = {
    ("docker", None): f"{DOCKER}.image.rootfs.diff.tar",
    ("docker", "gzip"): f"{DOCKER}.image.rootfs.diff.tar.gzip",
    ("docker", "zstd"): f"{DOCKER}.image.rootfs.diff.tar.zstd",
    ("oci", None): f"{OCI}.image.layer.v1.tar",
    ("oci", "gzip"): f"{OCI}.image.layer.v1.tar+gzip",
    ("oci", "zstd"): f"{OCI}.image.layer.v1.tar+zstd",
}
EMPTY_TYPE = f"{OCI}.empty.v1+json"
