"""A manifest or an index as a table: what it names, with digests, media types and sizes.

image-spec, "Image Index" and "Image Manifest"; Docker's own are the same but for the media types.
Schema 1 has neither sizes nor descriptors and is left to mitmproxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from addon.memory.manifests import MAX_MANIFEST
from addon.views.escaping import UNKNOWN, any_value, cell, pairs
from addon.views.reading import read_object
from addon.views.sizes import format_size, parse_size
from addon.views.table import align, bounded, section

MEDIA_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        # What image-spec 1.1 had before its release; some registries still hold a few.
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
# A body may still be a manifest, if it says so in `mediaType`.
_UNSAID = frozenset({"", "application/json", "application/octet-stream"})

# Docker's buildx, "Attestation storage": these stand in an index beside the platforms.
_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE_DIGEST = "vnd.docker.reference.digest"
_ATTESTATION = "attestation-manifest"

# Annotations that say what a blob is: a file of an artifact's, what an attestation states.
_NAMING = ("org.opencontainers.image.title", "in-toto.io/predicate-type")

_SIZE = 1  # the column with numbers

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """One descriptor (image-spec, "Descriptors"); `size` in bytes, None where it is none."""

    what: str
    size: int | None
    digest: str
    media_type: str
    note: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a manifest names, and what its rows are."""

    title: str
    heading: str
    rows: Sequence[Row]


def show_manifest(content_type: str, body: bytes) -> str | None:
    """A manifest's table, None for what is none; `content_type` in lower case, "" for none."""
    if content_type not in MEDIA_TYPES | _UNSAID:
        return None
    content = read_object(body, MAX_MANIFEST)
    listing = _list(content) if content else None
    if content is None or listing is None:
        return None
    if content_type in MEDIA_TYPES:
        return "\n".join(_lines(content_type, content, listing))
    if cell(content.get("mediaType")) in MEDIA_TYPES:
        return "\n".join(_lines("", content, listing))
    return None


def _list(content: Json) -> Listing | None:
    match content:
        # Both an index and an image: clients disagree on what it is (CVE-2021-41190).
        case {"manifests": _, "layers": _} | {"manifests": _, "config": _}:
            return None
        case {"manifests": list(manifests)}:
            return Listing("Index", "platform", _index_rows(manifests))
        case {"layers": list(layers), "config": config}:
            config_row = _row("config", config)
            return Listing("Image manifest", "blob", [config_row, *_numbered("layer", layers)])
        case {"blobs": list(blobs), "artifactType": str()}:
            return Listing("Artifact manifest", "blob", _numbered("blob", blobs))
    return None


def _lines(content_type: str, content: Json, listing: Listing) -> list[str]:
    rows = listing.rows
    cells = [[r.what, _size(r.size), r.digest, r.media_type, r.note] for r in rows]
    note = "note" if any(row.note for row in rows) else ""
    head = [listing.heading, "size", "digest", "media type", note]
    total = ["total", format_size(_total(rows)), _counted(rows)]
    return [
        f"{listing.title}: {_media_type(content_type, content.get('mediaType'))}",
        *_about(content),
        "",
        *align([head, *bounded(cells), total], right={_SIZE}),
        *section("Annotations", pairs(content.get("annotations"))),
    ]


def _media_type(content_type: str, stated: object) -> str:
    # image-spec, "Image Manifest": `mediaType` must be that of the answer, and may be missing.
    if not content_type:
        return cell(stated)
    if stated is None or stated == content_type:
        return content_type
    return f"{content_type} (it calls itself {any_value(stated)})"


def _about(content: Json) -> list[str]:
    rows: list[list[str]] = []
    if "artifactType" in content:
        rows.append(["artifact type", cell(content["artifactType"])])
    if "subject" in content:
        subject = _row("subject", content["subject"])
        rows.append([subject.what, f"{subject.digest}  {subject.media_type}"])
    return align(rows)


def _index_rows(manifests: Sequence[object]) -> list[Row]:
    platforms = {
        cell(entry.get("digest")): _platform(entry)
        for entry in manifests
        if isinstance(entry, dict)
    }
    return [_row(_described(entry, platforms), entry) for entry in manifests]


def _described(entry: object, platforms: Mapping[str, str]) -> str:
    """A platform, or what refers to one."""
    if not isinstance(entry, dict):
        return UNKNOWN
    annotations = entry.get("annotations")
    if not isinstance(annotations, dict) or _REFERENCE_TYPE not in annotations:
        return _platform(entry)
    kind = annotations[_REFERENCE_TYPE]
    digest = cell(annotations.get(_REFERENCE_DIGEST))
    about = platforms.get(digest, digest)
    return f"{'attestation' if kind == _ATTESTATION else cell(kind)} for {about}"


def _platform(entry: Json) -> str:
    """`os/architecture/variant` and the system's version (image-spec, "Image Index")."""
    platform = entry.get("platform")
    if platform is None:
        return "-"
    if not isinstance(platform, dict):
        return UNKNOWN
    parts = [cell(platform.get("os")), cell(platform.get("architecture"))]
    if platform.get("variant"):
        parts.append(cell(platform["variant"]))
    version = platform.get("os.version")
    return f"{'/'.join(parts)} {cell(version)}" if version else "/".join(parts)


def _numbered(name: str, entries: Sequence[object]) -> list[Row]:
    return [_row(f"{name} {number}", entry) for number, entry in enumerate(entries, 1)]


def _row(what: str, entry: object) -> Row:
    descriptor: Json = entry if isinstance(entry, dict) else {}
    return Row(
        what,
        parse_size(descriptor.get("size")),
        cell(descriptor.get("digest")),
        cell(descriptor.get("mediaType")),
        _note(descriptor),
    )


def _note(descriptor: Json) -> str:
    notes: list[str] = []
    if descriptor.get("artifactType"):
        notes.append(any_value(descriptor["artifactType"]))
    annotations = descriptor.get("annotations")
    if isinstance(annotations, dict):
        notes += [any_value(annotations[name]) for name in _NAMING if name in annotations]
    if descriptor.get("urls"):
        notes.append(f"elsewhere: {any_value(descriptor['urls'])}")
    return ", ".join(notes)


def _size(size: int | None) -> str:
    return UNKNOWN if size is None else format_size(size)


def _total(rows: Sequence[Row]) -> int:
    """The bytes of all, where what stands twice counts once, as it is fetched once."""
    return sum({row.digest: row.size or 0 for row in rows}.values())


def _counted(rows: Sequence[Row]) -> str:
    different = len({row.digest for row in rows})
    counted = f"{len(rows)} listed"
    if different < len(rows):
        counted += f", {different} different"
    unsized = sum(row.size is None for row in rows)
    return f"{counted}, {unsized} without a size" if unsized else counted
