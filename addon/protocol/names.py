"""Repository names, references and digests, and where `library/` belongs.

Grammar: distribution-spec, "Pulling manifests"; digests: image-spec, "Digests".
"""

from __future__ import annotations

import re

# path-component: lower case letters and digits, joined by '.', '_', '__' or any number of '-'.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")

# A name may be longer by the specification, but clients and registries limit it to this.
MAX_NAME_LENGTH = 255


def parse_repository(name: str) -> str:
    """A repository's name as it came.

    Raises:
        ValueError: it is not one by the grammar.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"a repository name has at most {MAX_NAME_LENGTH} characters")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a repository name: lower case letters and digits,"
            " joined by '.', '_', '__' or '-', in parts separated by '/'"
        )
    return name


def parse_tag(tag: str) -> str:
    """A tag as it came.

    Raises:
        ValueError: it is not one by the grammar.
    """
    if not _TAG.fullmatch(tag):
        shown = tag[:MAX_NAME_LENGTH]
        raise ValueError(f"{shown!r} is not a tag: at most 128 of A-Z a-z 0-9 _ . -")
    return tag


def parse_digest(digest: str) -> str:
    """A digest as it came, `algorithm:encoded`; the length is checked for sha256 and sha512.

    Raises:
        ValueError: it is not one by the grammar, or has the wrong length.
    """
    if len(digest) > MAX_NAME_LENGTH or not _DIGEST.fullmatch(digest):
        shown = digest[:MAX_NAME_LENGTH]
        raise ValueError(f"{shown!r} is not a digest such as sha256:<64 hex digits>")
    algorithm, _, encoded = digest.partition(":")
    length = _HEX_LENGTH.get(algorithm)
    if length and not (len(encoded) == length and _HEX.fullmatch(encoded)):
        raise ValueError(f"a {algorithm} digest has {length} lower case hex digits")
    return digest


def is_digest(reference: str) -> bool:
    """Whether a reference means a digest (right or wrong): only digests have a colon."""
    return ":" in reference


def with_official(name: str, official: str) -> str:
    """The upstream's name of a repository: `alpine` → `library/alpine` on Docker Hub.

    Only names of one part are official images; an empty `official` leaves all as they are.
    """
    if not official or "/" in name:
        return name
    return f"{official}/{name}"
