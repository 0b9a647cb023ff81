"""Columns stand under each other."""

from __future__ import annotations

from addon.views.table import MAX_ROWS, align, bounded, section


def test_columns_are_aligned() -> None:
    rows = [["platform", "size", "note"], ["linux", "5 B", "a"], ["windows/amd64", "12.3 MB", ""]]
    assert align(rows, right={1}) == [
        "platform          size  note",
        "linux              5 B  a",
        "windows/amd64  12.3 MB",
    ]


def test_a_column_without_cells_is_left_out() -> None:
    assert align([["a", "", "b"], ["c", "", "d"]]) == ["a  b", "c  d"]


def test_rows_may_be_shorter() -> None:
    assert align([["a"], ["bb", "c"]]) == ["a", "bb  c"]


def test_no_rows_are_no_lines() -> None:
    assert align([]) == []
    assert section("Title", []) == []


def test_a_section_has_a_title() -> None:
    assert section("Title", [["a", "b"]]) == ["", "Title", "  a  b"]


def test_rows_are_bounded() -> None:
    rows = bounded([["a", "b"]] * (MAX_ROWS + 1234))
    assert len(rows) == MAX_ROWS + 1
    assert rows[-1] == ["… and 1,234 more"]
    assert bounded([["a"]] * MAX_ROWS) == [["a"]] * MAX_ROWS
