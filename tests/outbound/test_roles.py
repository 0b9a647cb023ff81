from __future__ import annotations

import pytest

from addon.outbound.roles import Role, role_of
from addon.protocol.registry import Registry, parse_registry

HUB = parse_registry("", official="library")
LEARNS = Registry("https://ghcr.io")
KNOWN = Registry("https://ghcr.io", "https://ghcr.io/token", "ghcr.io")


@pytest.mark.parametrize(
    ("host", "registry", "role"),
    [
        pytest.param("registry-1.docker.io", HUB, Role.REGISTRY, id="the registry"),
        pytest.param("auth.docker.io", HUB, Role.TOKEN_SERVICE, id="its token service"),
        pytest.param("production.cloudflare.docker.com", HUB, Role.CDN, id="all else"),
        pytest.param("registry-1.docker.io:8443", HUB, Role.CDN, id="another port"),
        pytest.param("ghcr.io", KNOWN, Role.REGISTRY, id="both at one host"),
        pytest.param("auth.example", LEARNS, Role.CDN, id="a token service not known yet"),
    ],
)
def test_a_host_is_one_of_three(host: str, registry: Registry, role: Role) -> None:
    assert role_of(host, registry) is role
