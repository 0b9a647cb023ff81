from __future__ import annotations

import pytest

from addon.protocol.fields import first_of, values_of

FIELDS = [("Accept", "a"), ("Host", "h"), ("ACCEPT", "b"), ("accept", "")]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("accept", ["a", "b", ""], id="in their order, whatever the case"),
        pytest.param("HOST", ["h"], id="asked for in capitals"),
        pytest.param("hos", [], id="a part of a name"),
        pytest.param("", [], id="no name"),
    ],
)
def test_values_are_found_by_name(name: str, values: list[str]) -> None:
    assert values_of(FIELDS, name) == values
    assert first_of(FIELDS, name) == (values[0] if values else None)
