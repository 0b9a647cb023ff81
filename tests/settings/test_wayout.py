from __future__ import annotations

from typing import Any

import pytest

from addon.settings.wayout import WAY_OUT, OutboundSettings, expand, parse_way_out

DEFAULTS: dict[str, Any] = {
    **{option.name: option.default for option in WAY_OUT},
    "ssl_insecure": False,
    "ssl_verify_upstream_trusted_ca": None,
    "ssl_verify_upstream_trusted_confdir": None,
}
NUMBERS = [option for option in WAY_OUT if option.type is int]


def test_the_defaults_hold() -> None:
    assert parse_way_out(DEFAULTS) == OutboundSettings()


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
def test_a_number_has_a_unit_in_its_help_and_reaches_where_it_is_used(option: Any) -> None:
    assert option.help.startswith(("Seconds", "Connections", "Tries", "Redirects"))
    changed = parse_way_out({**DEFAULTS, option.name: option.default + 1})
    assert changed != OutboundSettings()


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
def test_a_number_below_what_makes_sense_is_refused_by_name(option: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{option.name}: -1 is less than"):
        parse_way_out({**DEFAULTS, option.name: -1})


def test_networks_that_are_none_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^docxy_redirect_private: "):
        parse_way_out({**DEFAULTS, "docxy_redirect_private": "cdn.example"})


def test_mitmproxys_own_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    own = {"ssl_insecure": True, "ssl_verify_upstream_trusted_ca": "~/ca.pem"}
    settings = parse_way_out({**DEFAULTS, **own})
    assert (settings.insecure, settings.trusted_ca) == (True, "/home/me/ca.pem")


@pytest.mark.parametrize(("path", "expanded"), [(None, ""), ("", ""), ("/a/~", "/a/~")])
def test_other_paths_stay(path: str | None, expanded: str) -> None:
    assert expand(path) == expanded
