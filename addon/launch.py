"""The Python side of ``run.sh``: decide what mitmdump is told, try the ports, run it.

mitmproxy reads ``mode`` before it loads a script, so the addon cannot choose what is listened on;
whoever calls mitmdump must. Everything here is a default put in front of the user's own words: they
pass on untouched and in order, and mitmdump takes the last of two.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from addon import acme

PROJECT = Path(__file__).resolve().parent.parent
DOCKER_HUB = "registry-1.docker.io:443"

PLAIN_HOST = "127.0.0.1"
PLAIN_PORT = "8080"
TLS_PORT = "443"
PLAIN_PORT_BESIDE_TLS = "80"

ACME_HOME = "~/.acme.sh"


@dataclass(frozen=True, slots=True)
class Words:
    """What the user said, as far as it decides what is listened on."""

    listen_host: str | None = None
    listen_port: str | None = None
    modes: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    certs: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    """``--set`` and the config file in order; several of one name are one list for mitmproxy."""
    listens: bool = True
    """False for what only prints (``--version``, ``--options``, …) and for ``--no-server``."""

    def setting(self, name: str, default: str = "") -> str:
        """The value of an option that is set without a flag of its own."""
        return dict(self.settings).get(name, default)


@dataclass(frozen=True, slots=True)
class Listener:
    """One TCP port to be listened on."""

    host: str
    """A name or an address; ``""`` is every address, IPv4 and IPv6."""
    port: int
    remedy: str = "choose another with -p PORT"
    """What the user does when the port cannot be had."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What mitmdump is told ahead of the user's words, and the ports that this comes to."""

    arguments: tuple[str, ...]
    listeners: tuple[Listener, ...]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _make_parser() -> _Parser:
    # Long options may be shortened here as they may be in mitmdump itself: what is ambiguous here
    # is ambiguous there.
    parser = _Parser(add_help=False)
    parser.add_argument("-p", "--listen-port")
    parser.add_argument("--listen-host")
    parser.add_argument("-m", "--mode", action="append", default=[], dest="modes")
    parser.add_argument("-s", "--scripts", action="append", default=[])
    parser.add_argument("--certs", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    for silent in (("-h", "--help"), ("--version",), ("--options",), ("--commands",)):
        parser.add_argument(*silent, action="store_false", dest="listens")
    parser.add_argument("-n", "--no-server", action="store_false", dest="listens")
    return parser


def parse_words(arguments: Sequence[str], config: Mapping[str, object] | None = None) -> Words:
    """Pick out of mitmdump's arguments and config file what decides about listening.

    Raises:
        ValueError: an option stands without its value, or the config file names scripts.
    """
    said, _rest = _make_parser().parse_known_args(list(arguments))
    # mitmproxy's own order: the file wins over `--set`, and the flags over both.
    settings = (*(_setting(text) for text in said.settings), *_config_settings(config or {}))
    words = Words(settings=settings)
    return Words(
        listen_host=_either(said.listen_host, words.setting("listen_host")),
        listen_port=_either(said.listen_port, words.setting("listen_port")),
        modes=tuple(said.modes) or _all(settings, "mode"),
        scripts=tuple(said.scripts),
        certs=tuple(said.certs) or _all(settings, "certs"),
        settings=settings,
        listens=said.listens and words.setting("server") != "false",
    )


def _setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _config_settings(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if config.get("scripts"):
        # mitmproxy takes the scripts of one place only, and the mirror is one.
        raise ValueError("scripts in config.yaml would replace the mirror; name them with -s")
    for name, value in config.items():
        for item in value if isinstance(value, list) else [value]:
            yield name, str(item).lower() if isinstance(item, bool) else str(item)


def _either(flag: str | None, setting: str) -> str | None:
    return setting or None if flag is None else flag


def _all(settings: tuple[tuple[str, str], ...], name: str) -> tuple[str, ...]:
    return tuple(value for key, value in settings if key == name and value)


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


def parse_port(text: str, option: str) -> int:
    """A TCP port; 0 lets the system choose.

    Raises:
        ValueError: no number from 0 to 65535.
    """
    if text.isascii() and text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise ValueError(f"{option} {text!r} is not a port: expected is a number such as 8443")


def make_plan(words: Words, *, has_certificate: bool, mirror: Path, confdir: Path) -> Plan:
    """What mitmdump must be told besides what the user said.

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
    if not words.listens:
        return Plan(tuple(arguments), ())

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
        return Plan(tuple(arguments), _listeners_of(words.modes, main))

    # `http://…` although Hub speaks TLS: `https://` also listens for QUIC, and puts a TLS layer of
    # mitmproxy's own in front of what the addon fetches itself.
    mode = f"reverse:http://{upstream_authority(words.setting('docxy_registry'))}"
    arguments += ["--mode", mode]
    plain = _plain_port(words) if has_certificate else 0
    if not plain:
        return Plan(tuple(arguments), (main,))
    if plain == main.port:
        raise ValueError(
            f"port {plain} cannot be both the TLS port (-p) and docxy_http_port;"
            " move one of them, or add --set docxy_http_port=0 for no plain HTTP"
        )
    # Without a host of its own, this mode takes --listen-host too.
    arguments += ["--mode", f"{mode}@{plain}"]
    remedy = "choose another with --set docxy_http_port=PORT (0: none)"
    return Plan(tuple(arguments), (main, Listener(host, plain, remedy)))


def _script(words: Words, mirror: Path) -> tuple[str, ...]:
    # `-s` replaces what `--set scripts=` says; several `--set` of one name become a list.
    if not words.scripts and _all(words.settings, "scripts"):
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


def explain(listener: Listener, error: OSError) -> str:
    """One line that says why a port cannot be had and what to do."""
    where = f"port {listener.port} on {listener.host or 'all addresses'}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        hint = " (an IPv6 address goes without brackets)" if "[" in listener.host else ""
        return f"cannot listen on {listener.host!r}: not an address of this machine{hint}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken by another program; {listener.remedy}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{where} is not permitted to this user; take ports above 1023"
            " (-p 8443 --set docxy_http_port=8080), or grant it: authbind, setcap"
            " cap_net_bind_service on Python, systemd's AmbientCapabilities=CAP_NET_BIND_SERVICE"
        )
    return f"cannot listen on {where}: {error.strerror or error}"


def bind_once(listener: Listener) -> None:
    """Take a port as asyncio will, and give it back at once.

    Raises:
        OSError: the port cannot be had.
    """
    found = socket.getaddrinfo(
        listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, kind, protocol, _name, address in found:
        try:
            probe = socket.socket(family, kind, protocol)
        except OSError:
            continue  # a kernel without IPv6 still names its addresses; asyncio goes on too
        with probe:
            # Without this, connections of a mirror that just ended would count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)


def check_listeners(
    listeners: Sequence[Listener], bind: Callable[[Listener], None] = bind_once
) -> None:
    """Try every port before mitmproxy starts, which takes a while and says it less plainly.

    Raises:
        ValueError: the line for the user.
    """
    for listener in listeners:
        try:
            bind(listener)
        except OSError as e:
            raise ValueError(explain(listener, e)) from e


def has_certificate(words: Words, environ: Mapping[str, str]) -> bool:
    """Whether the mirror will speak TLS.

    Raises:
        ValueError: a certificate was named and cannot be found, or there are several.
    """
    if words.certs:
        return True
    found = acme.locate(
        cert_path=words.setting("docxy_cert_path"),
        key_path=words.setting("docxy_key_path"),
        domain=words.setting("docxy_domain"),
        acme_home=words.setting("docxy_acme_home", ACME_HOME),
        environ=environ,
    )
    return found is not None


def state_directory(environ: Mapping[str, str]) -> Path:
    """Where the mirror keeps what outlives it."""
    named = environ.get("DOCXY_STATE_DIR")
    return Path(named).expanduser().resolve() if named else PROJECT / ".docxy"


def make_private(directory: Path) -> None:
    """Make a directory that only its owner may read: mitmproxy writes the key of a CA into it.

    Raises:
        ValueError: it cannot be made; the message says why.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as e:
        raise ValueError(
            f"cannot make {directory}: {e.strerror or e}; name another place in DOCXY_STATE_DIR"
        ) from e


def read_config(directory: Path) -> dict[str, object]:
    """Read ``config.yaml``; what is wrong with it is left to mitmproxy to complain about."""
    found: dict[str, object] = {}
    for name in ("config.yaml", "config.yml"):
        try:
            text = (directory / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        from mitmproxy import exceptions, optmanager

        with contextlib.suppress(exceptions.OptionsError, TypeError, ValueError):
            found.update(optmanager.parse(text))  # type: ignore[no-untyped-call]  # mitmproxy's
    return found


def prepare(arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """All of mitmdump's arguments, once the ports and the config directory were tried.

    Raises:
        ValueError: the mirror cannot start; the message is the line for the user.
    """
    state = state_directory(environ)
    own = state / "mitmproxy"
    confdir = parse_words(arguments).setting("confdir")
    words = parse_words(arguments, read_config(Path(confdir).expanduser() if confdir else own))
    certificate = words.listens and has_certificate(words, environ)
    mirror = PROJECT / "addon" / "mirror.py"
    plan = make_plan(words, has_certificate=certificate, mirror=mirror, confdir=own)
    check_listeners(plan.listeners)
    if not confdir:
        make_private(state)
        make_private(own)
    return [*plan.arguments, *arguments]


def raise_open_files() -> None:
    """Let this process hold as many connections as the system allows it.

    The soft limit, often 1024, is for programs that know no larger number (systemd, "File
    Descriptor Limits"); a pull of many layers takes some ten connections.
    """
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Start mitmdump in this process; its own exit codes pass on as ``SystemExit``."""
    # Until mitmproxy's loop takes them over, they would be a traceback, a code that a service
    # manager counts as a failure, or an end that leaves the private key behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores the last, so that the mirror outlives its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: sys.exit(0))
    raise_open_files()
    try:
        arguments = prepare(sys.argv[1:], os.environ)
    except ValueError as e:
        print(f"docxy: {e}", file=sys.stderr)
        return 2
    from mitmproxy.tools.main import mitmdump

    sys.argv[0] = "docxy"  # mitmproxy puts it in front of its messages
    mitmdump(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
