"""The mirror's own options, and what they mean once parsed.

mitmproxy's option types are str, int, bool and Sequence[str]; "" stands for "not set".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from addon.ahead.warming import WARMING, WarmLimits, parse_warming
from addon.limits.admission import parse_allowed
from addon.limits.clientlimits import CLIENT_LIMITS, ClientLimits, parse_client_limits
from addon.outbound.networks import Networks, parse_networks
from addon.protocol.names import parse_repository
from addon.protocol.realm import parse_public_url
from addon.protocol.registry import HUB, Registry, parse_registry
from addon.settings.bounds import BOUNDS, Bounds, parse_bounds
from addon.settings.option import Option
from addon.settings.wayout import WAY_OUT, OutboundSettings, expand, parse_way_out

T = TypeVar("T")

# mitmproxy's own, where nobody has said one.
_UNSAID_MODE = ["regular"]

OPTIONS = (
    Option(
        "docxy_registry",
        str,
        "",
        "Address of the upstream registry. Default: the one that --mode reverse: names.",
    ),
    Option(
        "docxy_token_service",
        str,
        "",
        "Address of the registry's token service. Default: Docker Hub's for Docker Hub,"
        " else learnt from the registry's challenge.",
    ),
    Option(
        "docxy_service",
        str,
        "",
        "Name of the registry at its token service. Default: as for docxy_token_service.",
    ),
    Option(
        "docxy_official",
        str,
        "library",
        "Namespace of one-part names such as alpine. Empty: the registry has none.",
    ),
    Option(
        "docxy_public_url",
        str,
        "",
        "Address that clients use, such as https://mirror.example.com. Default: the name in the"
        " certificate that the client asked for, else the local address it connected to.",
    ),
    Option(
        "docxy_behind_proxy",
        str,
        "",
        "Networks (CIDR, separated by commas) of the proxies in front that end TLS: plain HTTP is"
        " taken from these only. Needs docxy_public_url.",
    ),
    Option(
        "docxy_allow",
        str,
        "",
        "Networks (CIDR, separated by commas) of the clients that are served; loopback is served if"
        " it is listed. /health and the ACME challenge are for everybody. Default: all.",
    ),
    Option(
        "docxy_acme_webroot",
        str,
        "",
        "Folder whose .well-known/acme-challenge/ is served over plain HTTP.",
    ),
    Option(
        "docxy_http_port",
        int,
        80,
        "Port of plain HTTP beside TLS, with run.sh (0: none).",
    ),
    Option(
        "docxy_show_secrets",
        bool,
        False,
        "Show passwords, tokens, cookies and signatures in flows, in what is saved of them, and in"
        " the log. Default: [redacted] stands in their place.",
    ),
    Option(
        "docxy_own_flows",
        bool,
        False,
        "Show each request that the mirror itself sends as a flow of its own, marked, and tied to"
        " the client's request because of which it is sent.",
    ),
    *WAY_OUT,
    *BOUNDS,
    *WARMING,
    *CLIENT_LIMITS,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All options, parsed and checked."""

    registry: Registry
    outbound: OutboundSettings
    bounds: Bounds
    public_url: str = ""
    behind_proxy: Networks = field(default_factory=Networks)
    acme_webroot: Path | None = None
    warming: WarmLimits = field(default_factory=WarmLimits)
    show_secrets: bool = False
    own_flows: bool = False
    allowed: Networks = field(default_factory=Networks)
    """Of the clients that are served; everybody is where it is empty."""
    client_limits: ClientLimits = field(default_factory=ClientLimits)


def parse_settings(values: Mapping[str, Any]) -> Settings:
    """What the options say; `values` are mitmproxy's, ours and its own.

    Raises:
        ValueError: an option's value is wrong; the message begins with the option's name.
    """
    # Checked even where docxy_registry says another: only a reverse proxy is a mirror. Where
    # nothing is served, no mode need be said: recordings are read so (`mitmdump -nr FILE`).
    is_said = values["server"] or list(values["mode"]) != _UNSAID_MODE
    named = registry_of_mode(values["mode"]) if is_said else HUB
    public_url = _parsed(values, "docxy_public_url", parse_public_url)
    behind_proxy = _parsed(values, "docxy_behind_proxy", parse_networks)
    if behind_proxy and not public_url:
        raise ValueError("docxy_behind_proxy needs docxy_public_url, the address clients use")
    return Settings(
        registry=parse_registry(
            values["docxy_registry"] or named,
            values["docxy_token_service"],
            values["docxy_service"],
            _parsed(values, "docxy_official", _parse_official),
        ),
        outbound=parse_way_out(values),
        bounds=parse_bounds(values),
        public_url=public_url,
        behind_proxy=behind_proxy,
        acme_webroot=_parsed(values, "docxy_acme_webroot", _parse_folder),
        warming=parse_warming(values),
        show_secrets=values["docxy_show_secrets"],
        own_flows=values["docxy_own_flows"],
        allowed=_parsed(values, "docxy_allow", parse_allowed),
        client_limits=parse_client_limits(values),
    )


def registry_of_mode(modes: Sequence[str]) -> str:
    """The address of the registry that `--mode reverse:…` names.

    Raises:
        ValueError: there is a mode that is no reverse proxy for HTTP, or two name different ones.
    """
    registries = {_registry_of(mode) for mode in modes}
    if len(registries) != 1:
        raise ValueError(f"mode: one registry is served, not {len(registries)}: {list(modes)}")
    return registries.pop()


def _registry_of(mode: str) -> str:
    kind, _, rest = mode.partition(":")
    target = rest.partition("@")[0]
    scheme, separator, host = target.partition("://")
    if not separator:
        scheme, host = "https", target
    if kind != "reverse" or scheme not in ("http", "https") or not host:
        raise ValueError(
            f"mode: {mode!r} is not served; the mirror runs as --mode reverse:https://REGISTRY"
        )
    # mitmproxy's http mode listens on TCP alone, so that is how run.sh names an https registry.
    if scheme == "http" and host.endswith(":443"):
        scheme = "https"
    if scheme == "https":
        host = host.removesuffix(":443")
    return f"{scheme}://{host}"


def _parsed(values: Mapping[str, Any], name: str, parse: Callable[[Any], T]) -> T:
    try:
        return parse(values[name])
    except ValueError as e:
        raise ValueError(f"{name}: {e}") from e


def _parse_official(namespace: str) -> str:
    return parse_repository(namespace) if namespace else ""


def _parse_folder(path: str) -> Path | None:
    if not path:
        return None
    folder = Path(expand(path))
    if not folder.is_dir():
        raise ValueError(f"{path!r} is not a folder")
    return folder
