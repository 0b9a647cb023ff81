"""What is pulled, whatever the client: an image on the Hub, and how its user names it."""

from __future__ import annotations

import itertools
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.clients.site import BIG, Site
from tests.hub import Image, Seen
from tests.hub.content import Compression
from tests.hub.images import Manifest
from tests.hub.media_types import Format

# The mirror as a registry of its own, or as a mirror that stands in for Docker Hub.
Shape = Literal["registry", "docker.io"]
SHAPES: tuple[Shape, ...] = ("registry", "docker.io")

_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
OWN = f"linux/{_ARCHITECTURE}"
OTHER = "linux/arm64" if OWN == "linux/amd64" else "linux/amd64"


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    repository: str = "team/{}"
    by: Literal["tag", "digest", "nothing"] = "tag"
    short: bool = False
    """Named without `library/`."""
    platforms: Sequence[str] | str = OWN
    wanted: str = OWN
    """The platform that the client shall pull."""
    form: Format = "oci"
    compression: Compression | None = "gzip"
    sizes: tuple[int, ...] = (2000, 3000)
    big: bool = False
    shapes: tuple[Shape, ...] = ("registry",)

    def add(self, site: Site) -> Image:
        """Put the image on the Hub, under a name that no other test uses."""
        if self.big:
            return site.big
        return site.hub.add_image(
            self.repository.format(unused_name()),
            "latest" if self.by == "nothing" else "1",
            self.sizes,
            platforms=self.platforms,
            form=self.form,
            compression=self.compression,
        )

    @property
    def platform(self) -> str:
        """What the user says about the platform: nothing where it is the machine's own."""
        return "" if self.wanted == OWN else self.wanted

    def reference(self, image: Image) -> str:
        """What the user writes after the host."""
        name = image.repository.removeprefix("library/") if self.short else image.repository
        match self.by:
            case "tag":
                return f"{name}:{image.tag}"
            case "digest":
                return f"{name}@{image.digest}"
            case "nothing":
                return name

    def manifest(self, image: Image) -> Manifest:
        """The one that the client shall end up with."""
        return next(each for each in image.manifests if each.platform == self.wanted)


_names = itertools.count(1)


def unused_name() -> str:
    """A name whose images nobody, neither a client nor the mirror, has seen before."""
    return f"image{next(_names)}"


def host(shape: Shape, site: Site) -> str:
    return site.mirror.authority if shape == "registry" else shape


def assert_came_from_hub(seen: Iterable[Seen], image: Image, manifest: Manifest) -> None:
    """The requests of one pull: of this repository only, each layer from the CDN, once.

    None, where another client has pulled the same just before: the mirror remembers.
    """
    asked = [each for each in seen if each.role == "registry" and each.asked.path != "/v2/"]
    assert {each.asked.path.rpartition("/")[0].rpartition("/")[0] for each in asked} <= {
        f"/v2/{image.repository}"
    }
    sent: Counter[str] = Counter()
    for each in seen:
        if each.role == "cdn":
            digest = each.asked.path.split("/")[-2]
            sent[f"sha256:{digest}"] += each.sent
    for layer in manifest.layers:
        assert sent[layer.digest] == layer.size


BOTH = (OTHER, OWN)

# How an image is named may differ with the shape.
NAMES = (
    Case("by_tag", shapes=SHAPES),
    Case("by_digest", by="digest", shapes=SHAPES),
    Case("official_in_full", "library/{}", shapes=SHAPES),
    Case("official_without_a_tag", "library/{}", by="nothing", shapes=SHAPES),
    Case("official_short", "library/{}", short=True, shapes=SHAPES),
    Case("official_short_by_digest", "library/{}", short=True, by="digest", shapes=SHAPES),
    Case("deep_name", "team/project/part/{}", shapes=SHAPES),
    # The machine's own platform stands second in an index.
    Case("index", platforms=BOTH, shapes=SHAPES),
    Case("index_by_digest", platforms=BOTH, by="digest", shapes=SHAPES),
    Case("index_for_another_platform", platforms=BOTH, wanted=OTHER, shapes=SHAPES),
)
# What an image is made of does not.
FORMS = (
    Case("docker_list", platforms=BOTH, form="docker"),
    Case("docker_manifest", form="docker"),
    Case("uncompressed_layers", compression=None),
    Case("zstd_layers", compression="zstd"),
    Case("twenty_layers", sizes=tuple(range(1000, 21000, 1000))),
    Case("layer_of_200_MB", sizes=(BIG,), big=True),
)
ROWS = tuple((shape, case) for case in (*NAMES, *FORMS) for shape in case.shapes)
