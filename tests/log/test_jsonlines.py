from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any

import pytest

from addon.log.jsonlines import FACTS, JsonLines, to_time

SECRET = "d29uZGVybGFuZA=="
HEADER = f"Authorization: Basic {SECRET}"


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("a", logging.WARNING, "a.py", 1, message, args, None)
    made.__dict__.update(more)
    return made


def shown(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines().format(made)
    assert "\n" not in line
    loaded = json.loads(line)
    assert isinstance(loaded, dict)
    return loaded


def test_a_line_has_time_level_and_message_alone() -> None:
    made = record("%s of %d", "one", 2)
    made.created = 0.125
    assert shown(made) == {
        "time": "1970-01-01T00:00:00.125Z",
        "level": "warning",
        "message": "one of 2",
    }


def test_the_time_is_one_that_others_read() -> None:
    read = datetime.fromisoformat(to_time(1_795_836_125.5))
    assert read.timestamp() == 1_795_836_125.5


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("two\nlines", id="a line's end"),
        pytest.param('a "quote" and a \\', id="quotes"),
        pytest.param("\x1b[31m\0\u2028\ud800", id="what no terminal should see"),
        pytest.param("한국어", id="no ASCII"),
    ],
)
def test_any_message_is_one_line_of_ascii(message: str) -> None:
    made = record(message)
    assert JsonLines().format(made).isascii()
    assert shown(made)["message"] == message


def test_a_traceback_is_part_of_the_message() -> None:
    made = record("it failed")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    made.stack_info = "Stack (most recent call last):"
    message = shown(made)["message"]
    assert message.startswith("it failed\nTraceback")
    assert "ValueError: why\nStack" in message


def test_mitmproxys_client_stands_before_its_line() -> None:
    assert shown(record("left", client=("192.0.2.1", 5)))["message"] == "192.0.2.1: left"


def test_facts_stand_beside_the_message() -> None:
    line = shown(record("a", **{FACTS: {"status": None, "ms": 1.5, "bytes": 7, "from": "memory"}}))
    assert line == {**line, "status": None, "ms": 1.5, "bytes": 7, "from": "memory"}


def test_no_text_holds_a_secret_unless_it_is_to_be_shown() -> None:
    made = record(HEADER, **{FACTS: {"error": HEADER}})
    assert SECRET not in JsonLines().format(made)
    lines = JsonLines()
    lines.shows_secrets = True
    assert json.loads(lines.format(made)).items() >= {"message": HEADER, "error": HEADER}.items()
