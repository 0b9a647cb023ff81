from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import pytest

from addon import inspector
from addon.inspector import make_page, split_console
from addon.start.listeners import Listener
from addon.start.words import parse_words

CONSOLES = {
    "the page": ([], (False, [])),
    "the terminal": (["--console"], (True, [])),
    "among options": (["-p", "81", "--console", "-k"], (True, ["-p", "81", "-k"])),
    # mitmproxy has options of that beginning.
    "another option": (["--console-layout", "single"], (False, ["--console-layout", "single"])),
    "behind --": (["-k", "--", "--console"], (False, ["-k", "--", "--console"])),
    "on both sides": (["--console", "--", "--console"], (True, ["--", "--console"])),
}


@pytest.mark.parametrize(("said", "split"), CONSOLES.values(), ids=CONSOLES.keys())
def test_the_terminal_program_is_asked_for_by_one_word(
    said: list[str], split: tuple[bool, list[str]]
) -> None:
    assert split_console(said) == split


OFF = ("--set", "web_open_browser=false")


def page_for(
    line: str, taken: Sequence[int] = (), busy: Sequence[int] = ()
) -> tuple[str, int, tuple[str, ...], str]:
    def bind(listener: Listener) -> None:
        if listener.port in busy:
            raise OSError(98, "Address already in use")

    arguments = line.split()
    page = make_page(arguments, parse_words(arguments), taken, bind)
    return page.host, page.port, page.arguments, page.remark


PAGES = {
    "nothing said": ("", (), (), ("127.0.0.1", 8081, (*OFF, "--web-port", "8081"), "")),
    "8081 is busy": (
        "",
        (),
        (8081, 8082),
        (
            "127.0.0.1",
            8083,
            (*OFF, "--web-port", "8083"),
            "port 8081 is taken; the page is on port 8083",
        ),
    ),
    "8081 is the mirror's": (
        "-p 8081",
        (8081,),
        (),
        (
            "127.0.0.1",
            8082,
            (*OFF, "--web-port", "8082"),
            "port 8081 is taken; the page is on port 8082",
        ),
    ),
    "a port": ("--web-port 9000", (), (), ("127.0.0.1", 9000, OFF, "")),
    "a port by --set": ("--set web_port=9000", (), (), ("127.0.0.1", 9000, OFF, "")),
    "a flag wins over --set": (
        "--set web_port=1 --web-port 9000",
        (),
        (),
        ("127.0.0.1", 9000, OFF, ""),
    ),
    "another address of this machine": (
        "--web-host ::1",
        (),
        (),
        ("::1", 8081, (*OFF, "--web-port", "8081"), ""),
    ),
    "by name": (
        "--set web_host=localhost",
        (),
        (),
        ("localhost", 8081, (*OFF, "--web-port", "8081"), ""),
    ),
    # Two --set of one name would be a list.
    "a browser is wanted": (
        "--set web_open_browser=true",
        (),
        (),
        ("127.0.0.1", 8081, ("--web-port", "8081"), ""),
    ),
}


@pytest.mark.parametrize(("line", "taken", "busy", "page"), PAGES.values(), ids=list(PAGES.keys()))
def test_the_page_is_on_loopback_and_opens_no_browser(
    line: str, taken: Sequence[int], busy: Sequence[int], page: tuple[object, ...]
) -> None:
    assert page_for(line, taken, busy) == page


REFUSED = {
    "every address": ("--web-host 0.0.0.0", "web_host '0.0.0.0' would show the page to others"),
    "every address, as an empty variable": ("--web-host=", "web_host '' would show the page"),
    "every address, IPv6": ("--web-host ::", "web_host '::' would show the page to others"),
    "an address by --set": ("--set web_host=192.0.2.1", "would show the page to others"),
    "a name": ("--web-host mirror.example.com", "would show the page to others"),
    "a port that is a word": ("--web-port http", "web_port 'http' is not a port"),
    "a port that is missing": ("--web-port", "expected one argument"),
    "any port": ("--web-port 0", "web_port 0 is no address to open"),
    "the mirror's port": ("--web-port 8080", "port 8080 cannot be both the mirror's and the page"),
    "a busy port": (
        "--web-port 9000",
        "port 9000 on 127.0.0.1 is taken by another program; choose another with --web-port",
    ),
}


@pytest.mark.parametrize(("line", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_page_that_cannot_be_is_refused_in_one_line(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        page_for(line, taken=[8080], busy=[9000])
    assert "\n" not in str(refused.value)


def test_where_all_ports_are_busy_one_must_be_named() -> None:
    with pytest.raises(ValueError, match=r"no port from 8081 to 8100 on 127\.0\.0\.1 is free"):
        page_for("", busy=inspector.PAGE_PORTS)


def test_the_terminal_is_wanted_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert not inspector.is_terminal()
