from __future__ import annotations

import stat
from pathlib import Path

import pytest

from addon import recorder
from addon.recorder import Failed, Order, address_in, exit_code, mirror_arguments, parse_order

ORDERS = {
    "a command": ("f -- docker pull", Order(Path("f").absolute(), (), ("docker", "pull"))),
    "options": (
        "/f --set docxy_registry=https://ghcr.io -- c",
        Order(Path("/f"), ("--set", "docxy_registry=https://ghcr.io"), ("c",)),
    ),
    # The second is the command's.
    "two --": ("/f -- c -- d", Order(Path("/f"), (), ("c", "--", "d"))),
    "options of the command": ("/f -- c -p 1", Order(Path("/f"), (), ("c", "-p", "1"))),
}


@pytest.mark.parametrize(("line", "order"), ORDERS.values(), ids=ORDERS.keys())
def test_the_command_stands_behind_the_first_dashes(line: str, order: Order) -> None:
    assert parse_order(line.split()) == order


REFUSED = {
    "nothing": [],
    "no command": ["f", "--"],
    "no dashes": ["f", "docker", "pull"],
    "no file": ["--", "docker", "pull"],
    "an option for a file": ["-p", "81", "--", "docker"],
    "an empty file": ["", "--", "docker"],
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_order_is_told_how_it_is_used(words: list[str]) -> None:
    with pytest.raises(Failed, match=r"^use: ") as refused:
        parse_order(words)
    assert refused.value.code == 2


def arguments_for(file: str, *options: str) -> list[str]:
    return mirror_arguments(Order(Path(file), options, ("c",)))


def test_the_mirror_is_on_a_free_port_of_loopback_and_saves() -> None:
    assert arguments_for("/f", "--set", "docxy_official=") == [
        *("--set", "docxy_acme_home="),
        *("--set", "docxy_drain_timeout=0"),
        *("--set", "docxy_own_flows=true"),
        *("--listen-port", "0"),
        *("--set", "docxy_official="),
        *("--listen-host", "127.0.0.1"),
        *("--save-stream-file", "/f"),
    ]


def test_a_date_in_the_files_name_is_no_format() -> None:
    assert arguments_for("/100%d")[-1] == "/100%%d"


def test_what_is_said_once_is_not_said_twice() -> None:
    said = arguments_for("/f", "--set", "docxy_acme_home=/acme")
    assert "docxy_acme_home=" not in said


def test_what_the_mirror_sends_is_recorded_too_unless_the_user_says_otherwise() -> None:
    assert "docxy_own_flows=true" in arguments_for("/f")
    said = arguments_for("/f", "--set", "docxy_own_flows=false")
    assert "docxy_own_flows=true" not in said


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    recorder.reserve(tmp_path / "f")
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("dear")
    with pytest.raises(Failed, match="is there already; remove it, or name another file"):
        recorder.reserve(tmp_path / "f")
    assert (tmp_path / "f").read_text() == "dear"


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"cannot make .*/no/f: No such file"):
        recorder.reserve(tmp_path / "no" / "f")


LOGS = {
    "nothing yet": ("Loading script\n", ""),
    "half a line": ("[1] Docxy 1 mirrors docker.io at http://127.0.0.1:4", ""),
    "the line": (
        "a\n[1] Docxy 1 mirrors docker.io at http://127.0.0.1:41 (listening: 127.0.0.1:41)\nb\n",
        "127.0.0.1:41",
    ),
    "another public address": (
        "Docxy 1 mirrors docker.io at https://m.example (listening: 127.0.0.1:41)\n",
        "127.0.0.1:41",
    ),
    "two ports": ("Docxy (listening: 127.0.0.1:41, 127.0.0.1:80)\n", "127.0.0.1:41"),
}


@pytest.mark.parametrize(("log", "address"), LOGS.values(), ids=LOGS.keys())
def test_the_mirror_says_where_it_is(log: str, address: str) -> None:
    assert address_in(log) == address


@pytest.mark.parametrize(("returncode", "code"), [(0, 0), (7, 7), (-9, 137), (-2, 130)])
def test_an_end_is_told_as_a_shell_does(returncode: int, code: int) -> None:
    assert exit_code(returncode) == code
