"""How much the mirror remembers, begins ahead and has on its way: every bound is an option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from addon.ahead.lookahead import AheadLimits
from addon.blob.blobs import BlobLimits
from addon.blob.transfer import TransferLimits
from addon.memory.upstream import Limits
from addon.settings.option import Option, check_numbers

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
        "Entries that are remembered of each kind: tokens (and four times as many that were"
        " given to clients), tags, redirects, repositories, sizes of blobs, clients.",
        least=1,
    ),
    Option(
        "docxy_tag_ttl",
        int,
        30,
        "Seconds for which a tag is given from memory before it is checked again (by HEAD).",
        least=0,
    ),
    Option(
        "docxy_recheck_time",
        int,
        300,
        "Seconds for which what is remembered of a repository is given after the registry last"
        " let somebody read it.",
        least=0,
    ),
    Option(
        "docxy_stale_time",
        int,
        3600,
        "Seconds since its last check for which a remembered manifest or blob is given while the"
        " registry is down or answers 429, and since its end for which an anonymous token of the"
        " mirror's still asks for them (0: never).",
        least=0,
    ),
    Option(
        "docxy_remember_time",
        int,
        86400,
        "Seconds for which an anonymous token or a redirect is used at most, whatever it says of"
        " its end.",
        least=1,
    ),
    Option(
        "docxy_redirect_time",
        int,
        60,
        "Seconds for which a redirect is used that says nothing of its end.",
        least=0,
    ),
    Option(
        "docxy_token_use_time",
        int,
        120,
        "Seconds since a client last used an anonymous token for which a new one is asked for"
        " before it ends (0: only when a client needs it).",
        least=0,
    ),
    Option(
        "docxy_memory_manifests",
        int,
        16 * MIB,
        "Bytes of manifests that are remembered.",
        least=0,
    ),
    Option(
        "docxy_memory_blobs",
        int,
        64 * MIB,
        "Bytes of small blobs that are remembered or on their way.",
        least=0,
    ),
    Option(
        "docxy_memory_blob_size",
        int,
        8 * MIB,
        "Bytes up to which a blob is a small one (0: none is remembered).",
        least=0,
    ),
    Option("docxy_look_ahead", bool, True, "Begin what a manifest names before it is asked for."),
    Option(
        "docxy_look_ahead_transfers",
        int,
        8,
        "Blobs of one image that are begun ahead at a time.",
        least=1,
    ),
    Option(
        "docxy_look_ahead_bytes",
        int,
        40 * MIB,
        "Bytes of one image that are fetched ahead at most before they are asked for.",
        least=0,
    ),
    Option(
        "docxy_look_ahead_time",
        int,
        10,
        "Seconds after which what was begun ahead and not asked for is closed.",
        least=1,
    ),
    Option(
        "docxy_look_ahead_images",
        int,
        32,
        "Images that are looked ahead for at a time.",
        least=1,
    ),
    Option(
        "docxy_look_ahead_unclaimed",
        int,
        3,
        "Images of which a client may ask for the manifests alone, and for no blob, until nothing"
        " more is begun ahead for it.",
        least=1,
    ),
    Option(
        "docxy_pieces",
        int,
        24,
        "Pieces of one blob that are fetched side by side over a long line (1: one stream).",
        least=1,
    ),
    Option(
        "docxy_host_connections",
        int,
        28,
        "Connections for blobs to one host; what a client waits for begins beyond them.",
        least=1,
    ),
    Option(
        "docxy_bytes_in_flight",
        int,
        64 * MIB,
        "Bytes of all blobs in pieces together that are asked for and not yet given on: each blob"
        " has two thirds of what the others leave (all of it in place of pieces that broke off),"
        " what is begun ahead of three quarters of it. Beyond them each blob may have one piece of"
        " 128 KiB, and each connection its buffer.",
        least=0,
    ),
    Option(
        "docxy_blob_bytes_in_flight",
        int,
        32 * MIB,
        "Bytes of one blob in pieces that are asked for and not yet given on at most, and 2 MiB"
        " more for each piece that has broken off.",
        least=0,
    ),
    Option(
        "docxy_lag_timeout",
        int,
        3,
        "Seconds without a byte of a piece after which it is asked for over another connection;"
        " twice as long each time that it was in vain, up to docxy_stall_timeout.",
        least=1,
    ),
    Option(
        "docxy_resume_tries",
        int,
        6,
        "Tries in a row to go on with a broken transfer that bring no byte, after which it is"
        " given up.",
        least=0,
    ),
)


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
    check_numbers(BOUNDS, values)
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
            remember_time=values["docxy_remember_time"],
            redirect_time=values["docxy_redirect_time"],
            token_use_time=values["docxy_token_use_time"],
        ),
        blobs=BlobLimits(
            pieces=values["docxy_pieces"],
            host_connections=values["docxy_host_connections"],
            bytes_in_flight=values["docxy_bytes_in_flight"],
            transfer=TransferLimits(
                window=values["docxy_blob_bytes_in_flight"],
                tries=values["docxy_resume_tries"],
                longest_pause=values["docxy_longest_pause"],
                lag_seconds=values["docxy_lag_timeout"],
                stall_seconds=values["docxy_stall_timeout"],
            ),
        ),
        ahead=AheadLimits(
            transfers=values["docxy_look_ahead_transfers"],
            bytes=values["docxy_look_ahead_bytes"],
            unclaimed_seconds=values["docxy_look_ahead_time"],
            images=values["docxy_look_ahead_images"] if values["docxy_look_ahead"] else 0,
            unclaimed_images=values["docxy_look_ahead_unclaimed"],
            clients=values["docxy_remember_entries"],
        ),
    )
