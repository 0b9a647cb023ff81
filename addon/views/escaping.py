r"""What a body says, made harmless: it may come from anybody, and a terminal obeys what it prints.

A backslash stays one, so that commands can be read: `\x1b` may be an escaped character or four.
"""

from __future__ import annotations

import json

# Characters of one value; what is longer ends in "…".
MAX_SHOWN = 1024
# Characters of a value in a column that others follow: a sha512 digest has 135.
MAX_CELL = 136

# What stands for a value that is missing or of a wrong type.
UNKNOWN = "?"


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    """A text on one line: control characters and what turns the writing round are escaped."""
    shown = "".join(c if c.isprintable() else _escaped(c) for c in text[:limit])
    return shown if len(text) <= limit else f"{shown}…"


def cell(value: object) -> str:
    """A text whose grammar is ASCII (a digest, a media type), each character one column wide."""
    if not isinstance(value, str) or not value:
        return UNKNOWN
    shown = "".join(c if " " <= c <= "~" else _escaped(c) for c in value[:MAX_CELL])
    return shown if len(value) <= MAX_CELL else f"{shown}…"


def one_line(text: str) -> str:
    """A text in which tabs and line breaks say nothing: a command of a Dockerfile's."""
    return printable(" ".join(text.split()))


def any_value(value: object) -> str:
    """Any JSON value on one line: a text as it is, all else as JSON."""
    return printable(value if isinstance(value, str) else to_json(value))


def pairs(value: object) -> list[list[str]]:
    """Names and values of an object, such as annotations; nothing for what is none."""
    if not isinstance(value, dict):
        return []
    return [[cell(name), any_value(each)] for name, each in value.items()]


def to_json(value: object) -> str:
    """A value as it came, as far as anybody may nest it."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
