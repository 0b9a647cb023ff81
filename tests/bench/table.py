"""What was measured, and whether it reaches what it must; as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .measures import MIB

_SHORT = {"manifest GET": "GET", "manifest HEAD": "HEAD", "redirect": "redir"}
_KINDS = ("token", "manifest GET", "manifest HEAD", "redirect", "cdn", "ping", "other")


@dataclass(frozen=True, slots=True)
class Row:
    """One way of pulling one thing; None: not measured, or there is none."""

    image: str
    way: str
    seconds: float
    round_trip: float = 0.0
    size: int | None = None
    """Bytes of all bodies."""
    cpu_seconds: float | None = None
    peak: int | None = None
    upstream: dict[str, int] = field(default_factory=dict)

    @property
    def round_trips(self) -> float | None:
        """The whole time in round trips, the CPU's share of it included."""
        return self.seconds / self.round_trip if self.round_trip else None

    @property
    def rate(self) -> float | None:
        """MB/s."""
        return self.size / self.seconds / 1e6 if self.size else None


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure beside the one that it must reach."""

    what: str
    reached: float
    must: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        return self.reached >= self.must if self.at_least else self.reached <= self.must


Result = Row | Goal

_HEADING = ("pull", "way", "ms", "RTT", "MB/s", "CPU s", "peak MiB", "asked upstream")


def format_rows(rows: Iterable[Row]) -> list[str]:
    """The rows under a heading."""
    return _columns([_HEADING, *map(_cells, rows)], left=(0, 1, 7))


def _cells(row: Row) -> tuple[str, ...]:
    asked = [
        f"{row.upstream[kind]} {_SHORT.get(kind, kind)}" for kind in _KINDS if kind in row.upstream
    ]
    return (
        row.image,
        row.way,
        f"{row.seconds * 1000:.0f}",
        _number(row.round_trips, 2),
        _number(row.rate, 0),
        _number(row.cpu_seconds, 2),
        _number(row.peak / MIB if row.peak else None, 0),
        ", ".join(asked) or "nothing",
    )


def format_goals(goals: Iterable[Goal]) -> list[str]:
    """`reached / must reach` for each goal."""
    cells = [("", "reached", "must reach", "")]
    for goal in goals:
        bound = f"{'>=' if goal.at_least else '<='} {goal.must:g} {goal.unit}".rstrip()
        verdict = "yes" if goal.is_reached else "NO"
        cells.append((goal.what, f"{goal.reached:.2f}", bound, verdict))
    return _columns(cells, left=(0, 2, 3))


def as_json(results: Iterable[Result]) -> dict[str, list[dict[str, Any]]]:
    """Rows and goals as plain values."""
    rows: list[dict[str, Any]] = []
    goals: list[dict[str, Any]] = []
    for each in results:
        if isinstance(each, Row):
            rows.append({**asdict(each), "round_trips": each.round_trips, "rate": each.rate})
        else:
            goals.append({**asdict(each), "is_reached": each.is_reached})
    return {"rows": rows, "goals": goals}


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _columns(lines: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
