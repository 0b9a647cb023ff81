"""What an upstream is: a registry, its token service, and the names that it goes by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from addon.protocol.challenges import Challenge
from addon.protocol.errors import Refusal
from addon.protocol.names import with_official
from addon.protocol.routes import Ping, RegistryRoute, route_path

HUB = "https://registry-1.docker.io"
HUB_TOKEN_SERVICE = "https://auth.docker.io/token"  # noqa: S105 - an address
HUB_SERVICE = "registry.docker.io"
HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Registry:
    """An upstream registry.

    `token_service` and `service` are empty where they are to be learnt from its challenge;
    `official` is the namespace of one-part names, empty where there is none.
    """

    url: str
    token_service: str = ""
    service: str = ""
    official: str = ""
    is_token_service_learnt: bool = False

    @property
    def authority(self) -> str:
        """Host and port, the latter only where it is not the scheme's own."""
        return authority(self.url)

    @property
    def is_http(self) -> bool:
        """Whether the owner chose an upstream without TLS."""
        return self.url.startswith("http://")

    @property
    def knows_challenge(self) -> bool:
        """Whether the challenge can be given without asking."""
        return bool(self.token_service and self.service)

    def url_for(self, route: RegistryRoute) -> str:
        """The upstream's address for a route, official names in full."""
        repository = "" if isinstance(route, Ping) else route.repository
        return self.url + route_path(route, with_official(repository, self.official))

    def check_namespace(self, namespace: str) -> None:
        """Refuse a request that containerd meant for another registry.

        Raises:
            Refusal: 404; the answer would be another registry's image under the asked name.
        """
        names = {self.authority} | (HUB_NAMES if self.official else frozenset())
        if namespace.lower() in names:
            return
        shown = "docker.io" if self.official else self.authority
        message = f"this mirror serves {shown}, not {namespace[:255]!r}"
        raise Refusal(404, "NAME_UNKNOWN", message)

    def learn(self, challenge: Challenge) -> Registry:
        """The same registry with what its challenge says; what the owner said stays.

        Raises:
            ValueError: the realm is no address that credentials may go to.
        """
        service = self.service or challenge.get("service") or ""
        if self.token_service:
            return replace(self, service=service)
        realm = _parse_base("its realm", challenge.get("realm") or "", path_allowed=True)
        if realm.startswith("http://") and not self.is_http:
            raise ValueError(f"its realm {realm!r} is not https")
        return replace(self, token_service=realm, service=service, is_token_service_learnt=True)


def parse_registry(
    url: str, token_service: str = "", service: str = "", official: str = ""
) -> Registry:
    """A registry from what the owner said; Docker Hub's token service need not be said.

    Raises:
        ValueError: an address is not one; the message begins with the option's name.
    """
    base = _parse_base("docxy_registry", url or HUB)
    if base == HUB:
        token_service = token_service or HUB_TOKEN_SERVICE
        service = service or HUB_SERVICE
    if token_service:
        token_service = _parse_base("docxy_token_service", token_service, path_allowed=True)
    return Registry(base, token_service, service, official)


def authority(url: str) -> str:
    """Host and port of an address, the port only where it is not the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    port = parts.port
    return shown if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{shown}:{port}"


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses have scheme, host and port in common (RFC 6454, section 5)."""
    return urlsplit(one).scheme == urlsplit(other).scheme and authority(one) == authority(other)


def relative_to(base: str, target: str) -> str | None:
    """A reference as a path on the mirror, or None where it leads elsewhere."""
    try:
        absolute = urljoin(base, target)
        if not same_origin(base, absolute):
            return None
    except ValueError:  # a port that is no number, a bracket that does not close
        return None
    parts = urlsplit(absolute)
    path = parts.path or "/"
    if path.startswith(("//", "/\\")):
        # A reference to another host (RFC 3986, section 4.2; browsers read '\' as '/').
        return None
    return f"{path}?{parts.query}" if parts.query else path


def _parse_base(option: str, url: str, *, path_allowed: bool = False) -> str:
    wrong = f"{option}: {url!r} is not an address such as {HUB}"
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as e:
        raise ValueError(wrong) from e
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not port_is_valid:
        raise ValueError(wrong)
    has_path = parts.path.strip("/") and not path_allowed
    if has_path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{option}: {url!r} has more than it may have; an example: {HUB}")
    return f"{parts.scheme}://{authority(url)}{parts.path if path_allowed else ''}"
