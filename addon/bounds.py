"""How much the mirror remembers, begins ahead and has on its way: every bound is an option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from addon.blobs import BlobLimits
from addon.lookahead import AheadLimits
from addon.option import Option
from addon.upstream import Limits

MIB = 1024 * 1024

BOUNDS = (
    Option(
        "docxy_login",
        str,
        "client",
        "client: clients are asked for a token, as the registry does. none: they never are, which"
        " saves them round trips; private images are refused.",
    ),
    Option("docxy_remember", bool, True, "Remember tokens, manifests, redirects and small blobs."),
    Option(
        "docxy_remember_entries",
        int,
        4096,
        "Entries that are remembered of each kind: tokens, tags, redirects, repositories.",
    ),
    Option(
        "docxy_tag_ttl",
        int,
        30,
        "Seconds for which a tag is given from memory before it is checked again (by HEAD).",
    ),
    Option(
        "docxy_recheck_time",
        int,
        300,
        "Seconds for which what is remembered of a repository is given after the registry last"
        " let somebody read it.",
    ),
    Option(
        "docxy_stale_time",
        int,
        3600,
        "Seconds since its last check for which a remembered manifest or blob is given while the"
        " registry is down or answers 429, and since its end for which an anonymous token of the"
        " mirror's still asks for them (0: never).",
    ),
    Option("docxy_memory_manifests", int, 16 * MIB, "Bytes of manifests that are remembered."),
    Option(
        "docxy_memory_blobs",
        int,
        64 * MIB,
        "Bytes of small blobs that are remembered or on their way.",
    ),
    Option(
        "docxy_memory_blob_size",
        int,
        8 * MIB,
        "Bytes up to which a blob is a small one (0: none is remembered).",
    ),
    Option("docxy_look_ahead", bool, True, "Begin what a manifest names before it is asked for."),
    Option(
        "docxy_look_ahead_transfers",
        int,
        8,
        "Blobs of one image that are begun ahead at a time.",
    ),
    Option(
        "docxy_look_ahead_bytes",
        int,
        40 * MIB,
        "Bytes of one image that are fetched ahead at most before they are asked for.",
    ),
    Option(
        "docxy_look_ahead_time",
        int,
        10,
        "Seconds after which what was begun ahead and not asked for is closed.",
    ),
    Option("docxy_look_ahead_images", int, 32, "Images that are looked ahead for at a time."),
    Option(
        "docxy_pieces",
        int,
        24,
        "Pieces of one blob that are fetched side by side over a long line (1: one stream).",
    ),
    Option(
        "docxy_host_connections",
        int,
        28,
        "Connections for blobs to one host; what a client waits for begins beyond them.",
    ),
    Option(
        "docxy_bytes_in_flight",
        int,
        64 * MIB,
        "Bytes of all blobs together that may wait in the mirror for their clients: shared out"
        " evenly, 128 KiB to each at least.",
    ),
)

_AT_LEAST = {
    "docxy_remember_entries": 1,
    "docxy_tag_ttl": 0,
    "docxy_recheck_time": 0,
    "docxy_stale_time": 0,
    "docxy_memory_manifests": 0,
    "docxy_memory_blobs": 0,
    "docxy_memory_blob_size": 0,
    "docxy_look_ahead_transfers": 1,
    "docxy_look_ahead_bytes": 0,
    "docxy_look_ahead_time": 1,
    "docxy_look_ahead_images": 1,
    "docxy_pieces": 1,
    "docxy_host_connections": 1,
    "docxy_bytes_in_flight": 0,
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """All bounds, checked."""

    memory: Limits
    blobs: BlobLimits
    ahead: AheadLimits


def parse_bounds(values: Mapping[str, Any]) -> Bounds:
    """The bounds that the options say.

    Raises:
        ValueError: one is too low, or docxy_login is neither of its words.
    """
    for name, least in _AT_LEAST.items():
        if values[name] < least:
            raise ValueError(f"{name}: {values[name]} is less than {least}")
    if values["docxy_login"] not in ("client", "none"):
        raise ValueError(f"docxy_login: {values['docxy_login']!r} is neither client nor none")
    return Bounds(
        memory=Limits(
            remember=values["docxy_remember"],
            challenges_clients=values["docxy_login"] == "client",
            entries=values["docxy_remember_entries"],
            tag_ttl=values["docxy_tag_ttl"],
            recheck_time=values["docxy_recheck_time"],
            stale_time=values["docxy_stale_time"],
            manifest_bytes=values["docxy_memory_manifests"],
            blob_bytes=values["docxy_memory_blobs"],
            largest_blob=values["docxy_memory_blob_size"],
        ),
        blobs=BlobLimits(
            pieces=values["docxy_pieces"],
            host_connections=values["docxy_host_connections"],
            bytes_in_flight=values["docxy_bytes_in_flight"],
        ),
        ahead=AheadLimits(
            transfers=values["docxy_look_ahead_transfers"],
            bytes=values["docxy_look_ahead_bytes"],
            unclaimed_seconds=values["docxy_look_ahead_time"],
            images=values["docxy_look_ahead_images"] if values["docxy_look_ahead"] else 0,
        ),
    )
