"""Objects are read; all else is None, and nothing raises."""

from __future__ import annotations

import pytest

from addon.views.reading import MAX_BODY, read_object


def test_an_object_is_read() -> None:
    assert read_object(b' {"a": [1, "\xed\x95\x9c"]}\n') == {"a": [1, "한"]}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"5", id="a number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"a"', id="broken off"),
        pytest.param(b'{"a": 1} x', id="with more behind it"),
        pytest.param(b'{"a": "\xff"}', id="no UTF-8"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a": NaN}', id="not a number"),
        pytest.param(b'{"a": -Infinity}', id="infinite"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", id="a number that Python does not read"),
        pytest.param(b'{"a": ' + b"[" * 100_000, id="too deep"),
        pytest.param(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="too deep, but closed"),
        pytest.param(b"\x1f\x8b\x08" + bytes(100), id="a layer"),
    ],
)
def test_what_is_no_object_is_none(body: bytes) -> None:
    assert read_object(body) is None


@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)], ids=["at most", "above"])
def test_a_body_is_bounded(more: int, is_read: bool) -> None:
    body = b"{}".ljust(MAX_BODY + more)
    assert (read_object(body) is not None) == is_read
    assert read_object(body, limit=len(body)) == {}
