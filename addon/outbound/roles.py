"""Which upstream a host is: one of three, so that counting by upstream stays bounded."""

from __future__ import annotations

from enum import StrEnum

from addon.protocol.registry import Registry, authority


class Role(StrEnum):
    """What an upstream is to the mirror."""

    REGISTRY = "registry"
    TOKEN_SERVICE = "token_service"  # noqa: S105 - a name
    CDN = "cdn"


def role_of(host: str, registry: Registry) -> Role:
    """The role of a host (with its port); a token service at the registry's host is the registry.

    Whatever is neither is where a redirect has led to.
    """
    if host == registry.authority:
        return Role.REGISTRY
    service = registry.token_service
    return Role.TOKEN_SERVICE if service and host == authority(service) else Role.CDN
