from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from addon.settings.option import Option, check_numbers, declare

PORT = Option("docxy_x", int, 5, "Seconds.", least=1)
NAME = Option("docxy_y", str, "", "Name.")


def test_an_option_cannot_change() -> None:
    assert dataclasses.astuple(PORT) == ("docxy_x", int, 5, "Seconds.", 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        PORT.name = "docxy_y"  # type: ignore[misc]


def test_mitmproxy_is_told_of_each_one() -> None:
    told: list[tuple[Any, ...]] = []

    class Loader:
        def add_option(self, *option: Any) -> None:
            told.append(option)

    declare(Loader(), [PORT, NAME])
    assert told == [("docxy_x", int, 5, "Seconds."), ("docxy_y", str, "", "Name.")]


@pytest.mark.parametrize("number", [1, 2, 10**12])
def test_a_number_that_is_enough_is_taken(number: int) -> None:
    check_numbers([PORT, NAME], {"docxy_x": number, "docxy_y": ""})


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_that_is_too_low_is_refused_by_name(number: int) -> None:
    with pytest.raises(ValueError, match=rf"^docxy_x: {number} is less than 1$"):
        check_numbers([NAME, PORT], {"docxy_x": number, "docxy_y": ""})
