from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addon.limits.clientlimits import ClientLimits, parse_client_limits
from addon.limits.ratelimit import Rate
from addon.outbound.networks import parse_networks
from addon.protocol.registry import HUB, Registry, parse_registry
from addon.settings.bounds import parse_bounds
from addon.settings.options import OPTIONS, Settings, parse_settings, registry_of_mode
from addon.settings.wayout import OutboundSettings

DEFAULTS: dict[str, Any] = {
    **{option.name: option.default for option in OPTIONS},
    "mode": [f"reverse:{HUB}"],
    "server": True,
    "ssl_insecure": False,
    "ssl_verify_upstream_trusted_ca": None,
    "ssl_verify_upstream_trusted_confdir": None,
}


def settings(**values: object) -> Settings:
    return parse_settings({**DEFAULTS, **values})


def test_without_options_docker_hub_is_mirrored() -> None:
    assert settings() == Settings(
        registry=parse_registry(HUB, official="library"),
        outbound=OutboundSettings(),
        bounds=parse_bounds(DEFAULTS),
        warming=settings().warming,
        client_limits=parse_client_limits(DEFAULTS),
    )


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_is_one_of_mitmproxys_kind(option: Any) -> None:
    assert option.name.startswith("docxy_")
    # style.md: mitmproxy cannot set others.
    assert option.type in (str, int, bool)
    assert type(option.default) is option.type
    assert option.help.endswith((".", ")."))


def test_no_option_is_declared_twice() -> None:
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)


def test_everything_that_the_owner_says_is_parsed(tmp_path: Path) -> None:
    assert settings(
        docxy_registry="https://r.example:5000/",
        docxy_token_service="https://auth.example/token",
        docxy_service="s",
        docxy_official="",
        docxy_public_url="https://M.example/",
        docxy_behind_proxy="10.0.0.0/8",
        docxy_allow="203.0.113.0/24",
        docxy_address_connections=7,
        docxy_redirect_private="198.18.0.0/15, 127.0.0.1",
        docxy_acme_webroot=str(tmp_path),
        docxy_connect_timeout=1,
        docxy_stall_timeout=2,
        docxy_show_secrets=True,
        ssl_insecure=True,
        ssl_verify_upstream_trusted_ca="/ca.pem",
        ssl_verify_upstream_trusted_confdir="/cas",
    ) == Settings(
        registry=Registry("https://r.example:5000", "https://auth.example/token", "s", ""),
        outbound=OutboundSettings(
            trusted_ca="/ca.pem",
            trusted_confdir="/cas",
            insecure=True,
            redirect_private=parse_networks("198.18.0.0/15,127.0.0.1"),
            connect_timeout=1.0,
            stall_timeout=2.0,
        ),
        bounds=parse_bounds({**DEFAULTS, "docxy_stall_timeout": 2}),
        public_url="https://m.example",
        behind_proxy=parse_networks("10.0.0.0/8"),
        acme_webroot=tmp_path,
        show_secrets=True,
        allowed=parse_networks("203.0.113.0/24"),
        client_limits=ClientLimits(
            replace(parse_client_limits(DEFAULTS).crowd, of_address=7),
            Rate(200, 10000),
        ),
    )


def test_a_home_is_known_by_its_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    parsed = settings(docxy_acme_webroot="~", ssl_verify_upstream_trusted_ca="~/ca.pem")
    assert parsed.acme_webroot == tmp_path
    assert parsed.outbound.trusted_ca == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("docxy_registry", "r.example", id="a registry without a scheme"),
        pytest.param("docxy_registry", "https://[::1", id="a registry with half a bracket"),
        pytest.param("docxy_token_service", "auth.example", id="a token service without a scheme"),
        pytest.param("docxy_official", "Library", id="a namespace in upper case"),
        pytest.param("docxy_official", "library/", id="a namespace with a slash"),
        pytest.param("docxy_public_url", "m.example", id="a public address without a scheme"),
        pytest.param("docxy_public_url", "https://[::1", id="a public address with half a bracket"),
        pytest.param("docxy_behind_proxy", "proxy.example", id="a proxy by name"),
        pytest.param("docxy_behind_proxy", "10.0.0.1/8", id="bits behind the prefix"),
        pytest.param("docxy_allow", "10.0.0.1/8", id="clients, bits behind the prefix"),
        pytest.param("docxy_allow", ",", id="clients, none between the commas"),
        pytest.param("docxy_redirect_private", "10.0.0.0/40", id="too long a prefix"),
        pytest.param("docxy_acme_webroot", "/nowhere/at/all", id="a folder that is not there"),
        pytest.param("docxy_acme_webroot", "/etc/passwd", id="a file for a folder"),
        pytest.param("docxy_acme_webroot", "~nobody-here/x", id="a home that is not there"),
        pytest.param("docxy_acme_webroot", "a\0b", id="NUL in a folder's name"),
        pytest.param("docxy_connect_timeout", 0, id="no time to connect"),
        pytest.param("docxy_stall_timeout", -1, id="less than no time to answer"),
    ],
)
def test_a_wrong_value_is_refused_under_its_options_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b") as refused:
        settings(**{name: value})
    assert "\n" not in str(refused.value)


def test_without_a_port_no_mode_need_be_said() -> None:
    """`mitmdump -nr FILE -s addon/mirror.py`; one that is said is that of whoever replays."""
    assert settings(server=False, mode=["regular"]).registry.url == HUB
    mode = ["reverse:https://r.example"]
    assert settings(server=False, mode=mode).registry.url == "https://r.example"
    with pytest.raises(ValueError, match=r"^mode\b"):
        settings(server=False, mode=["socks5"])


def test_a_proxy_in_front_needs_a_public_address() -> None:
    with pytest.raises(ValueError, match=r"^docxy_behind_proxy needs docxy_public_url"):
        settings(docxy_behind_proxy="10.0.0.0/8")


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        pytest.param(["reverse:https://r.example"], "https://r.example", id="https"),
        pytest.param(["reverse:https://r.example:8443"], "https://r.example:8443", id="a port"),
        pytest.param(["reverse:http://r.lan:5000"], "http://r.lan:5000", id="http"),
        pytest.param(["reverse:r.example"], "https://r.example", id="no scheme"),
        # mitmproxy's http mode listens on TCP alone.
        pytest.param(["reverse:http://r.example:443"], "https://r.example", id="http on 443"),
        pytest.param(["reverse:https://r.example@8080"], "https://r.example", id="own port"),
        pytest.param(
            ["reverse:https://r.example@127.0.0.1:8080"], "https://r.example", id="own address"
        ),
        pytest.param(["reverse:http://[::1]:443"], "https://[::1]", id="IPv6"),
        pytest.param(
            ["reverse:https://r.example@443", "reverse:http://r.example:443@80"],
            "https://r.example",
            id="the same registry, spelt in two ways",
        ),
        pytest.param(
            ["reverse:https://r.example@443", "reverse:https://r.example:443@[::]:80"],
            "https://r.example",
            id="the same registry, once with its port",
        ),
    ],
)
def test_the_mode_names_the_registry(modes: list[str], expected: str) -> None:
    assert parse_registry(registry_of_mode(modes)).url == expected
    assert settings(mode=modes).registry.url == expected


@pytest.mark.parametrize(
    "modes",
    [
        pytest.param([], id="none"),
        # These proxy to wherever the client says.
        pytest.param(["regular"], id="regular"),
        pytest.param(["upstream:https://r.example"], id="upstream"),
        pytest.param(["transparent"], id="transparent"),
        pytest.param(["socks5"], id="socks5"),
        pytest.param(["reverse:https://r.example", "regular@8081"], id="a regular one beside"),
        # No registry answers there.
        pytest.param(["reverse:tcp://r.example:443"], id="TCP"),
        pytest.param(["reverse:quic://r.example"], id="QUIC"),
        pytest.param(["reverse:dns://r.example"], id="DNS"),
        pytest.param(["reverse:"], id="nothing"),
        pytest.param(["reverse:https://"], id="no host"),
        # One mirror, one registry.
        pytest.param(["reverse:https://a.example", "reverse:https://b.example@81"], id="two"),
        pytest.param(["reverse:https://a.lan", "reverse:http://a.lan@81"], id="https and http"),
    ],
)
def test_any_other_mode_is_refused(modes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^mode: "):
        settings(mode=modes)
    # Another name for the registry makes no mirror of it either.
    with pytest.raises(ValueError, match=r"^mode: "):
        settings(mode=modes, docxy_registry="https://r.example")


def test_an_option_names_another_registry_than_the_mode() -> None:
    parsed = settings(mode=["reverse:http://127.0.0.1:1"], docxy_registry="https://r.example")
    assert parsed.registry == Registry("https://r.example", official="library")
