"""The proxy that leads out, as the environment names it."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from addon.protocol.errors import failure
from addon.protocol.registry import authority


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address (`HTTPS_PROXY`, `NO_PROXY`).

    Raises:
        UpstreamFailure: it is one for another protocol.
    """
    parts = urlsplit(url)
    proxy = _named(parts.scheme, parts.netloc)
    if not proxy:
        return None
    scheme, separator, _ = proxy.partition("://")
    if separator and scheme.lower() not in ("http", "https"):
        # aiohttp would speak HTTP to it all the same.
        cause = f"the environment names a {scheme} proxy, and only http ones are spoken to"
        raise failure(authority(url), cause)
    return proxy if separator else f"http://{proxy}"


@lru_cache(maxsize=256)
def _named(scheme: str, host: str) -> str | None:
    """What the environment says, which does not change while the mirror runs."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    return None if proxy_bypass(host) else proxy
