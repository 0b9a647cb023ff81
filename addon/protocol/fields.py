"""Named values in their order (header fields, a challenge's parameters), looked up by name.

Names are case-insensitive (RFC 9110, sections 5.1 and 11.2).
"""

from __future__ import annotations

from collections.abc import Iterable


def values_of(fields: Iterable[tuple[str, str]], name: str) -> list[str]:
    """All values of a name."""
    wanted = name.lower()
    return [value for each, value in fields if each.lower() == wanted]


def first_of(fields: Iterable[tuple[str, str]], name: str) -> str | None:
    """A name's first value, None where there is none."""
    return next(iter(values_of(fields, name)), None)
