"""What an image is for: operating system, architecture, and perhaps a variant of that.

image-spec, "Image Index", with Go's names.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

# What images are made for; the first three are most of them.
PLATFORMS = (
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/386",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
    "windows/amd64",
)

# uname(2)'s names of machines.
_MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm/v7",
    "armv6l": "arm/v6",
    "i386": "386",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform; `variant` is empty for any."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def fits(self, named: Mapping[str, object]) -> bool:
        """Whether it is what an index names, which often says no variant."""
        is_same = (named.get("os"), named.get("architecture")) == (self.os, self.architecture)
        variant = named.get("variant") or ""
        return is_same and (not self.variant or variant in ("", self.variant))


def parse_platform(text: str) -> Platform:
    """A platform such as `linux/arm/v7`.

    Raises:
        ValueError: it is none.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(part.isalnum() for part in parts):
        raise ValueError(f"{text!r} is not a platform such as linux/amd64 or linux/arm/v7")
    return Platform(*parts)


def own_platform(machine: str = "") -> Platform:
    """What this machine runs, or linux/amd64 where that is not known; `machine` as uname says."""
    return parse_platform(f"linux/{_MACHINES.get(machine or platform.machine(), 'amd64')}")
