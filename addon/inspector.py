"""`./run.sh inspect`: the same mirror where somebody looks at it, in mitmweb or in the terminal.

The page shows what passes through the mirror, so it is for this machine alone and wants a token.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from addon.launch import begin, prepare, run
from addon.outbound.networks import is_loopback
from addon.start.listeners import Listener, bind_once, check_listeners, parse_port
from addon.start.terminal import say
from addon.start.words import Words, refuse_workers

CONSOLE: Final = "--console"

PAGE_HOST = "127.0.0.1"
PAGE_PORTS = range(8081, 8101)

# CVE-2025-23217: what mitmproxy 11.0.2 shows, it shows to every program on this machine.
OPEN_PAGE = (
    "this mitmproxy's page asks for no token; inspect needs Python 3.12 or newer (DOCXY_PYTHON),"
    " whose mitmproxy does. ./run.sh inspect --console works here"
)
NO_TERMINAL = "inspect --console needs a terminal; ./run.sh inspect has a page instead"


@dataclass(frozen=True, slots=True)
class Page:
    """Where mitmweb's page is to be."""

    host: str
    port: int
    arguments: tuple[str, ...]
    """What mitmweb is told of it ahead of the user's words."""
    remark: str = ""
    """A line for the user."""


def split_console(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether the terminal program is wanted, and the words that are mitmproxy's."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [word for word in arguments[:end] if word != CONSOLE]
    return len(rest) < end, [*rest, *arguments[end:]]


def shown_as_well(words: Words) -> tuple[str, ...]:
    """What mitmproxy is told so that nothing goes out unseen, unless the user says otherwise."""
    # `--set` of a name that was said already would make a list of it.
    return () if words.setting("docxy_own_flows") else ("--set", "docxy_own_flows=true")


def make_page(
    arguments: Sequence[str],
    words: Words,
    taken: Collection[int],
    bind: Callable[[Listener], None] = bind_once,
) -> Page:
    """Choose where the page is.

    Args:
        arguments: What the user said.
        words: What was read out of it, and of the config file.
        taken: The mirror's own ports.
        bind: Takes a port and gives it back.

    Raises:
        ValueError: it cannot be where the user wants it; the message is the line for the user.
    """
    said = _said(arguments)
    # `--set` of a name that was said already would make a list of it.
    told: tuple[str, ...] = ("--set", "web_open_browser=false")
    if words.setting("web_open_browser"):
        told = ()
    # An empty one, as of a variable that is not set, would be every address.
    host = words.setting("web_host", PAGE_HOST) if said.web_host is None else said.web_host
    if not is_loopback(host):
        raise ValueError(
            f"web_host {host!r} would show the page to others; it stays on this machine"
            f" (from another: ssh -L {PAGE_PORTS[0]}:{PAGE_HOST}:{PAGE_PORTS[0]} HOST)"
        )
    wanted = said.web_port or words.setting("web_port")
    if wanted:
        port = parse_port(wanted, "web_port")
        check_page_port(Listener(host, port, "choose another with --web-port PORT"), taken, bind)
        return Page(host, port, told)
    port = _first_free(host, taken, bind)
    told += ("--web-port", str(port))
    if port == PAGE_PORTS[0]:
        return Page(host, port, told)
    return Page(host, port, told, f"port {PAGE_PORTS[0]} is taken; the page is on port {port}")


def check_page_port(
    listener: Listener, taken: Collection[int], bind: Callable[[Listener], None]
) -> None:
    """Try the port that the user named for the page.

    Raises:
        ValueError: it cannot be had, or its address could not be said.
    """
    if listener.port == 0:
        raise ValueError("web_port 0 is no address to open; name a port, or none")
    if listener.port in taken:
        raise ValueError(f"port {listener.port} cannot be both the mirror's and the page's")
    check_listeners([listener], bind)


def _said(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--web-host")
    parser.add_argument("--web-port")
    # A value that is missing is mitmweb's to complain about.
    parser.exit_on_error = False
    try:
        return parser.parse_known_args(list(arguments))[0]
    except argparse.ArgumentError as e:
        raise ValueError(str(e)) from e


def _first_free(host: str, taken: Collection[int], bind: Callable[[Listener], None]) -> int:
    for port in PAGE_PORTS:
        if port in taken:
            continue
        try:
            bind(Listener(host, port))
        except OSError:
            continue
        return port
    raise ValueError(
        f"no port from {PAGE_PORTS[0]} to {PAGE_PORTS[-1]} on {host} is free for the page;"
        " name one with --web-port PORT"
    )


def page_asks_for_token() -> bool:
    """Whether this mitmproxy's page is closed to whoever has no token (from 11.1.2 on)."""
    from mitmproxy.tools.web import webaddons

    return hasattr(webaddons, "WebAuth")


def is_terminal() -> bool:
    """Whether there is a screen, and somebody at the keys."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def main() -> int:
    """Start mitmweb or mitmproxy's terminal program."""
    begin()
    console, arguments = split_console(sys.argv[1:])
    try:
        refuse_workers(arguments, "inspect")
        start = prepare(arguments, os.environ)
        told = (*shown_as_well(start.words), *start.arguments)
        if console:
            return _run_console(start.words, told)
        page = make_page(arguments, start.words, {each.port for each in start.listeners})
    except ValueError as e:
        say(e)
        return 2
    return _run_page(start.words, page, told)


def _run_console(words: Words, arguments: Sequence[str]) -> int:
    if words.serves and not is_terminal():
        say(NO_TERMINAL)
        return 1
    from mitmproxy.tools.main import mitmproxy

    return run(mitmproxy, arguments)


def _run_page(words: Words, page: Page, arguments: Sequence[str]) -> int:
    if words.serves and not page_asks_for_token():
        say(OPEN_PAGE)
        return 1
    if words.serves and page.remark:
        say(page.remark)
    from mitmproxy.tools.main import mitmweb

    return run(mitmweb, (*page.arguments, *arguments))


if __name__ == "__main__":
    sys.exit(main())
