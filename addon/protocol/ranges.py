"""Byte ranges: what a client asks for, what an upstream says it sent (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# RFC 9110, section 14.1: a unit's name may be written in any case.
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})?", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.IGNORECASE)


# Bytes that are asked for at a time where a blob comes in pieces: large ones cost few requests.
LARGEST_PIECE = 2048 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """A range from a byte on, `last` included; None: to the end."""

    first: int = 0
    last: int | None = None

    @property
    def field(self) -> tuple[str, str]:
        """The request's field."""
        last = "" if self.last is None else self.last
        return ("Range", f"bytes={self.first}-{last}")


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a part lies in the whole; `last` is included, `total` the whole's length."""

    first: int
    last: int
    total: int

    @property
    def value(self) -> str:
        """The value of `Content-Range`."""
        return f"bytes {self.first}-{self.last}/{self.total}"


def parse_wanted(value: str) -> Wanted | None:
    """A `Range` that names one range from a byte on; None for every other (suffix, several)."""
    found = _RANGE.fullmatch(value.strip())
    if not found:
        return None
    last = int(found[2]) if found[2] else None
    wanted = Wanted(int(found[1]), last)
    return None if last is not None and last < wanted.first else wanted


def parse_sent(value: str) -> Sent:
    """A `Content-Range` of bytes.

    Raises:
        ValueError: it is none, names no length, or contradicts itself.
    """
    found = _CONTENT_RANGE.fullmatch(value.strip())
    if not found:
        raise ValueError(f"{value!r} is not a range of bytes with a length")
    sent = Sent(int(found[1]), int(found[2]), int(found[3]))
    if not sent.first <= sent.last < sent.total:
        raise ValueError(f"{value!r} is not a range of its own length")
    return sent
