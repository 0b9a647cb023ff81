from __future__ import annotations

import pytest

from addon.protocol.platforms import PLATFORMS, Platform, own_platform, parse_platform


@pytest.mark.parametrize("text", [*PLATFORMS, "linux/arm64/v8"])
def test_it_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_platform(text)) == text


@pytest.mark.parametrize("text", ["", "linux", "linux/", "linux//v7", "a/b/c/d", "linux/amd64\n"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a platform such as linux/amd64"):
        parse_platform(text)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        pytest.param("vax", "linux/amd64", id="unknown"),
    ],
)
def test_a_machines_own(machine: str, expected: str) -> None:
    assert str(own_platform(machine)) == expected
    assert str(own_platform()) in PLATFORMS


@pytest.mark.parametrize(
    ("wanted", "named", "fits"),
    [
        ("linux/amd64", {"os": "linux", "architecture": "amd64"}, True),
        ("linux/amd64", {"os": "windows", "architecture": "amd64"}, False),
        ("linux/amd64", {"os": "unknown", "architecture": "unknown"}, False),
        ("linux/amd64", {}, False),
        ("linux/arm64", {"os": "linux", "architecture": "arm64", "variant": "v8"}, True),
        ("linux/arm64/v8", {"os": "linux", "architecture": "arm64"}, True),
        ("linux/arm/v7", {"os": "linux", "architecture": "arm", "variant": "v6"}, False),
        ("linux/arm/v7", {"os": "linux", "architecture": "arm", "variant": 7}, False),
    ],
)
def test_which_of_an_index_it_is(wanted: str, named: dict[str, object], fits: bool) -> None:
    assert parse_platform(wanted).fits(named) is fits


def test_any_variant_is_one_that_is_not_said() -> None:
    assert Platform("linux", "arm64") == parse_platform("linux/arm64")
