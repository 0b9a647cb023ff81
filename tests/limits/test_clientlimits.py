from __future__ import annotations

from typing import Any

import pytest

from addon.limits.clientlimits import CLIENT_LIMITS, ClientLimits, parse_client_limits
from addon.limits.crowd import CrowdLimits
from addon.limits.ratelimit import Rate
from addon.settings.wayout import WAY_OUT

DEFAULTS: dict[str, Any] = {option.name: option.default for option in CLIENT_LIMITS}


def test_each_limit_is_an_option() -> None:
    assert parse_client_limits(
        {
            "docxy_client_connections": 1,
            "docxy_address_connections": 2,
            "docxy_address_requests": 3,
            "docxy_address_burst": 4,
            "docxy_head_timeout": 5,
            "docxy_client_idle_time": 6,
            "docxy_client_timeout": 7,
        }
    ) == ClientLimits(CrowdLimits(1, 2, 5.0, 6.0, 7.0), Rate(3, 4))


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_a_limit_below_nothing_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        parse_client_limits({**DEFAULTS, name: -1})


def test_one_address_cannot_take_all_connections_to_upstreams() -> None:
    upstream = {option.name: option.default for option in WAY_OUT}
    assert 2 * DEFAULTS["docxy_address_connections"] <= upstream["docxy_connections"]


def test_ninety_engines_behind_one_address_may_pull_a_hundred_layers_at_once() -> None:
    # Index, manifest, config, layers; a ping and a token; three connections and one for the token.
    pull = 103 + 2 + 4
    assert 90 * pull <= DEFAULTS["docxy_address_burst"]


def test_a_client_is_first_to_close_what_is_idle() -> None:
    # Go's http.DefaultTransport, and so the engines, keeps a connection for 90 seconds.
    assert DEFAULTS["docxy_client_idle_time"] > 90
