"""Nothing that a body says reaches a terminal as an order."""

from __future__ import annotations

from typing import Any

import pytest

from addon.views.escaping import (
    MAX_CELL,
    MAX_SHOWN,
    any_value,
    cell,
    one_line,
    pairs,
    printable,
    to_json,
)
from tests.views.bodies import HOSTILE, is_harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a b", "a b", id="plain"),
        pytest.param("한글 é", "한글 é", id="other languages"),
        pytest.param("\x1b[31m", "\\x1b[31m", id="a colour"),
        pytest.param("\x9b2J", "\\x9b2J", id="a C1 sequence"),
        pytest.param("a\r\nb\tc", "a\\r\\nb\\tc", id="lines and tabs"),
        pytest.param("\u2028", "\\u2028", id="a line's end that only Unicode knows"),
        pytest.param("\u202egpj.exe", "\\u202egpj.exe", id="writing turned round"),
        pytest.param("\ud800", "\\ud800", id="half a character"),
        pytest.param("\x00\x7f", "\\x00\\x7f", id="zero and delete"),
        pytest.param("a \\ b", "a \\ b", id="a backslash stays"),
        pytest.param("x" * MAX_SHOWN, "x" * MAX_SHOWN, id="as long as may be"),
        pytest.param("x" * (MAX_SHOWN + 1), "x" * MAX_SHOWN + "…", id="too long"),
    ],
)
def test_a_text_is_shown_on_one_line(text: str, shown: str) -> None:
    assert printable(text) == any_value(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("sha256:abc", "sha256:abc", id="plain"),
        pytest.param("é한", "\\xe9\\ud55c", id="no ASCII, so that columns align"),
        pytest.param("\x1b", "\\x1b", id="control"),
        pytest.param("x" * (MAX_CELL + 1), "x" * MAX_CELL + "…", id="too long"),
        pytest.param("", "?", id="empty"),
        pytest.param(None, "?", id="missing"),
        pytest.param(5, "?", id="a number"),
        pytest.param({"a": 1}, "?", id="an object"),
    ],
)
def test_a_cell_is_ascii_or_unknown(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_a_command_is_one_line() -> None:
    assert one_line("RUN set -e; \t\tapk add \\\n  curl\x1b[0m") == (
        "RUN set -e; apk add \\ curl\\x1b[0m"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param(True, "true", id="true"),
        pytest.param(["a", 1], '["a", 1]', id="a list"),
        pytest.param({"한": "\x1b"}, '{"한": "\\u001b"}', id="an object"),
        pytest.param(float("inf"), "Infinity", id="1e999"),
    ],
)
def test_what_is_no_text_is_shown_as_json(value: object, shown: str) -> None:
    assert any_value(value) == shown


def test_what_is_too_deep_is_not_shown() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert to_json(value) == "…"


def test_an_object_is_names_and_values() -> None:
    assert pairs({"a": "b", "\x1b": 1}) == [["a", "b"], ["\\x1b", "1"]]


@pytest.mark.parametrize("value", [None, [], "a", 5])
def test_what_is_no_object_has_no_names(value: object) -> None:
    assert pairs(value) == []


@pytest.mark.parametrize("show", [printable, cell, one_line, any_value])
def test_nothing_hostile_is_left(show: Any) -> None:
    assert is_harmless(show(HOSTILE))
