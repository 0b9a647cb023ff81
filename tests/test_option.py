from __future__ import annotations

import dataclasses

import pytest

from addon.option import Option


def test_an_option_is_what_mitmproxy_is_told_and_cannot_change() -> None:
    option = Option("docxy_x", int, 5, "Seconds.")
    assert dataclasses.astuple(option) == ("docxy_x", int, 5, "Seconds.")
    with pytest.raises(dataclasses.FrozenInstanceError):
        option.name = "docxy_y"  # type: ignore[misc]
