"""Rows under each other, their columns aligned."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import zip_longest

# Rows that are shown: a manifest of 4 MiB may name some 20,000 blobs.
MAX_ROWS = 500

_GAP = "  "


def align(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Lines in which the columns stand under each other, those of `right` at their right edge.

    A column in which all cells are empty is left out.
    """
    columns = list(zip_longest(*rows, fillvalue=""))
    aligned = [
        _align(column, number in right) for number, column in enumerate(columns) if any(column)
    ]
    return [_GAP.join(cells).rstrip() for cells in zip(*aligned, strict=True)]


def section(title: str, rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """A table under its title, with an empty line before; nothing if it has no rows."""
    return ["", title, *(f"{_GAP}{line}" for line in align(bounded(rows), right))] if rows else []


def bounded(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """As many rows as are shown, and how many are not."""
    left_out = len(rows) - MAX_ROWS
    return [*rows[:MAX_ROWS], *([[f"… and {left_out:,} more"]] if left_out > 0 else [])]


def _align(column: Sequence[str], is_right: bool) -> list[str]:
    width = max(map(len, column))
    return [each.rjust(width) if is_right else each.ljust(width) for each in column]
