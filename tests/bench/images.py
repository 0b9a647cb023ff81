"""What is pulled: bytes of the file in each layer of an image."""

from __future__ import annotations

from typing import Final

MB: Final = 1_000_000
GIB: Final = 1024**3

IMAGES: Final[dict[str, tuple[int, ...]]] = {
    "small": (100_000,),
    "one": (3_500_000,),
    "eight": (4 * MB,) * 8,
    "thirty": (30 * MB,),
    "big": (GIB,),
}
