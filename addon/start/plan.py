"""What mitmproxy is told ahead of the user's words, so that it is a mirror.

mitmproxy reads ``mode`` before it loads a script, so the addon cannot choose what is listened on;
whoever calls mitmproxy must. Everything here is a default put in front of the user's own words:
they pass on untouched and in order, and mitmproxy takes the last of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from addon.metrics.monitorport import USUAL, parse_listener
from addon.start.listeners import Listener, parse_port
from addon.start.words import Words

DOCKER_HUB = "registry-1.docker.io:443"

PLAIN_HOST = "127.0.0.1"
PLAIN_PORT = "8080"
TLS_PORT = "443"
PLAIN_PORT_BESIDE_TLS = "80"


@dataclass(frozen=True, slots=True)
class Plan:
    """What mitmproxy is told ahead of the user's words, and the ports that this comes to."""

    arguments: tuple[str, ...]
    listeners: tuple[Listener, ...]


def upstream_authority(registry: str) -> str:
    """``host:port`` of a registry for mitmproxy's reverse mode.

    What cannot be read is left to the addon, whose option it is and which refuses it by name.
    """
    try:
        parts = urlsplit(registry if "://" in registry else f"https://{registry}")
        port = parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        return DOCKER_HUB
    if not parts.hostname:
        return DOCKER_HUB
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}"


def make_plan(words: Words, *, has_certificate: bool, mirror: Path, confdir: Path) -> Plan:
    """What mitmproxy must be told besides what the user said.

    Args:
        words: What the user said.
        has_certificate: Whether the mirror will speak TLS.
        mirror: The script that is the mirror.
        confdir: mitmproxy's config directory, unless the user named one.

    Raises:
        ValueError: a port is no number, or the two ports are one.
    """
    arguments = [*_script(words, mirror), *_config_directory(words, confdir)]
    arguments += _state_directory(words, confdir.parent)
    # `http://…` although Hub speaks TLS: `https://` also listens for QUIC, and puts a TLS layer of
    # mitmproxy's own in front of what the addon fetches itself.
    mode = f"reverse:http://{upstream_authority(words.setting('docxy_registry'))}"
    if not words.listens:
        # Without a port too it is this registry's mirror: flows may be read, or sent again. Of one
        # reverse mode alone mitmproxy takes the host for each flow that it reads.
        no_port = ["--mode", mode, "--mode", f"{mode}@0"]
        return Plan((*arguments, *(no_port if words.serves and not words.modes else ())), ())

    host = words.listen_host
    if host is None:
        host = "" if has_certificate else PLAIN_HOST
        arguments += ["--listen-host", host]
    port = words.listen_port
    if port is None:
        port = TLS_PORT if has_certificate else PLAIN_PORT
        arguments += ["--listen-port", port]
    main = Listener(host, parse_port(port, "-p"))

    if words.modes:
        return Plan(tuple(arguments), (*_listeners_of(words.modes, main), *_monitor_port(words)))

    arguments += ["--mode", mode]
    plain = _plain_port(words) if has_certificate else 0
    if not plain:
        return Plan(tuple(arguments), (main, *_monitor_port(words)))
    if plain == main.port:
        raise ValueError(
            f"port {plain} cannot be both the TLS port (-p) and docxy_http_port;"
            " move one of them, or add --set docxy_http_port=0 for no plain HTTP"
        )
    # Without a host of its own, this mode takes --listen-host too.
    arguments += ["--mode", f"{mode}@{plain}"]
    remedy = "choose another with --set docxy_http_port=PORT (0: none)"
    beside = Listener(host, plain, remedy)
    return Plan(tuple(arguments), (main, beside, *_monitor_port(words)))


def _script(words: Words, mirror: Path) -> tuple[str, ...]:
    # `-s` replaces what `--set scripts=` says; several `--set` of one name become a list.
    if not words.scripts and words.every("scripts"):
        return ("--set", f"scripts={mirror}")
    return ("-s", str(mirror))


def _config_directory(words: Words, confdir: Path) -> tuple[str, ...]:
    # ~/.mitmproxy may hold a config.yaml that was written for something else.
    if words.setting("confdir"):
        return ()
    return ("--set", f"confdir={confdir}")


def _state_directory(words: Words, state: Path) -> tuple[str, ...]:
    # Two `--set` of one name would be a list, which this option is not.
    if "docxy_state_dir" in dict(words.settings):
        return ()
    return ("--set", f"docxy_state_dir={state}")


def _plain_port(words: Words) -> int:
    text = words.setting("docxy_http_port") or PLAIN_PORT_BESIDE_TLS
    return parse_port(text, "docxy_http_port")


def usual_monitor_port(words: Words) -> Listener | None:
    """Where metrics are if nobody has said so."""
    name = "docxy_metrics"
    return None if name in dict(words.settings) else parse_listener(USUAL, name)


def _monitor_port(words: Words) -> tuple[Listener, ...]:
    """The one that the user has named: without the usual one the mirror goes on."""
    name = "docxy_metrics"
    listener = parse_listener(words.setting(name), name)
    return (listener,) if listener else ()


def _listeners_of(modes: Sequence[str], main: Listener) -> tuple[Listener, ...]:
    """The ports of the user's own modes; what is no reverse mode is left to the addon to refuse."""
    found = []
    for mode in modes:
        head, _, where = mode.rpartition("@")
        if not head.startswith("reverse:"):
            found += [main] if mode.startswith("reverse:") else []
            continue
        host, colon, port = where.rpartition(":")
        if port.isascii() and port.isdecimal():
            found.append(Listener(host if colon else main.host, int(port), "change its --mode"))
    return tuple(found)
