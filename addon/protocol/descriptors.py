"""What a manifest names: config and layers (image-spec, "Image Manifest")."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from addon.protocol.names import parse_digest

# More layers than any engine takes; what is beyond is not looked at.
MAX_BLOBS = 512

CONFIG_TYPES = frozenset(
    {
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.oci.image.config.v1+json",
    }
)


# Of one image, as an index is of many.
IMAGE_TYPES = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
    }
)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as a manifest names it; `size` in bytes."""

    digest: str
    size: int
    is_config: bool = field(default=False, compare=False)
    """Whether it is an image's config, which a CDN gives without a type of its own."""


def parse_blobs(manifest: bytes) -> tuple[Descriptor, ...]:
    """Config and layers in the order in which a client asks for them.

    Empty for an index, and for whatever else is no image manifest: nothing is expected of it.
    """
    try:
        content = json.loads(manifest)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(content, dict):
        return ()
    layers = content.get("layers")
    named = [content.get("config"), *(layers if isinstance(layers, list) else ())]
    found = [_parse(entry) for entry in named[:MAX_BLOBS]]
    # A layer that stands twice is fetched once.
    return tuple(dict.fromkeys(descriptor for descriptor in found if descriptor))


def _parse(entry: object) -> Descriptor | None:
    match entry:
        # A foreign layer names `urls` and is not in the registry.
        case {"urls": [_, *_]}:
            return None
        case {"digest": str(digest), "size": int(size), **rest} if size >= 0:
            kind = rest.get("mediaType")
            is_config = isinstance(kind, str) and kind in CONFIG_TYPES
            try:
                return Descriptor(parse_digest(digest), size, is_config)
            except ValueError:
                return None
    return None
