"""Sizes as descriptors have them, and as people read them."""

from __future__ import annotations

import pytest

from addon.views.sizes import MAX_SIZE, format_size, parse_size


@pytest.mark.parametrize("size", [0, 1, 3_623_844, MAX_SIZE])
def test_a_size_is_bytes(size: int) -> None:
    assert parse_size(size) == size


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(-1, id="negative"),
        pytest.param(MAX_SIZE + 1, id="more than an int64"),
        pytest.param(10**4000, id="huge"),
        pytest.param(5.0, id="with a point"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param(float("inf"), id="infinite"),
        pytest.param(True, id="true"),
        pytest.param("5", id="a text"),
        pytest.param(None, id="missing"),
        pytest.param([5], id="a list"),
    ],
)
def test_what_is_no_size_is_none(value: object) -> None:
    assert parse_size(value) is None


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (5_000_000_000, "5.0 GB"),
        (MAX_SIZE, "9.2 EB"),
        (MAX_SIZE * 1000, "9223.4 EB"),
    ],
)
def test_a_size_is_shown_as_docker_does(size: int, shown: str) -> None:
    assert format_size(size) == shown
