"""Sizes of blobs, read and written."""

from __future__ import annotations

# image-spec, "Descriptors": `size` is an int64.
MAX_SIZE = 2**63 - 1


def parse_size(value: object) -> int | None:
    """A descriptor's size in bytes, None for what is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_SIZE else None


def format_size(size: int) -> str:
    """Bytes as Docker writes them: 999 B, 1.2 kB, 12.3 MB."""
    if size < 1000:
        return f"{size} B"
    value = size / 1000
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        if value < 999.95:  # rounded to 1000.0 otherwise
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} EB"
