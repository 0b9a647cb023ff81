from __future__ import annotations

from typing import Any

import pytest

from addon.blob.transfer import TransferLimits
from addon.settings.bounds import BOUNDS, parse_bounds

# A transfer waits and pauses as long as any request to an upstream.
SHARED = {"docxy_stall_timeout": 30, "docxy_longest_pause": 5}
DEFAULTS: dict[str, Any] = {option.name: option.default for option in BOUNDS} | SHARED
NUMBERS = [option for option in BOUNDS if option.type is int]


def test_the_defaults_hold() -> None:
    bounds = parse_bounds(DEFAULTS)
    assert bounds.memory.remember
    assert bounds.memory.challenges_clients
    assert (bounds.memory.tag_ttl, bounds.memory.recheck_time) == (30, 300)
    assert bounds.memory.largest_blob == 8 * 1024 * 1024
    assert bounds.blobs.pieces == 24
    assert bounds.blobs.transfer == TransferLimits()
    assert bounds.ahead.images > 0


@pytest.mark.parametrize("name", SHARED)
def test_what_holds_for_all_requests_holds_for_transfers(name: str) -> None:
    changed = parse_bounds({**DEFAULTS, name: 77}).blobs.transfer
    assert 77 in (changed.stall_seconds, changed.longest_pause)


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
def test_a_number_has_a_unit_in_its_help_and_reaches_where_it_is_used(option: Any) -> None:
    units = ("Seconds", "Bytes", "Entries", "Blobs", "Images", "Pieces", "Connections", "Tries")
    assert option.help.startswith(units)
    changed = parse_bounds({**DEFAULTS, option.name: option.default + 1})
    assert changed != parse_bounds(DEFAULTS)


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
def test_a_number_below_what_makes_sense_is_refused_by_name(option: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{option.name}: -1 is less than"):
        parse_bounds({**DEFAULTS, option.name: -1})


@pytest.mark.parametrize("login", ["", "None", "all", "client "])
def test_a_login_is_one_of_its_words(login: str) -> None:
    with pytest.raises(ValueError, match=r"^docxy_login: "):
        parse_bounds({**DEFAULTS, "docxy_login": login})


def test_login_none_challenges_nobody() -> None:
    assert not parse_bounds({**DEFAULTS, "docxy_login": "none"}).memory.challenges_clients


def test_memory_and_looking_ahead_can_be_turned_off() -> None:
    off = parse_bounds({**DEFAULTS, "docxy_remember": False, "docxy_look_ahead": False})
    assert not off.memory.remember
    assert off.ahead.images == 0
