from __future__ import annotations

import os

import pytest

from addon.start.words import Words, parse_words, refuse_workers, split_workers, without_mark


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["-n", "-r", "a", "--", "~u b"], ["-n", "-r", "a", "~u b"], id="a filter"),
        pytest.param(["-n"], ["-n"], id="none"),
        pytest.param(["--", "a", "--", "b"], ["a", "--", "b"], id="the first alone"),
    ],
)
def test_the_mark_before_a_filter_is_no_part_of_it(
    arguments: list[str], expected: list[str]
) -> None:
    assert without_mark(arguments) == expected


def test_a_filter_is_not_taken_for_an_option() -> None:
    assert parse_words(["-p", "81", "~u manifests", "-q"]).listen_port == "81"


CONFIG = {
    "a number": ({"listen_port": 81}, Words(listen_port="81", settings=(("listen_port", "81"),))),
    "every address, said so": (
        {"listen_host": ""},
        Words(listen_host="", settings=(("listen_host", ""),)),
    ),
    "a truth value": ({"server": False}, Words(listens=False, settings=(("server", "false"),))),
    "a list": (
        {"mode": ["reverse:http://h", "reverse:http://h@81"]},
        Words(
            modes=("reverse:http://h", "reverse:http://h@81"),
            settings=(("mode", "reverse:http://h"), ("mode", "reverse:http://h@81")),
        ),
    ),
}


@pytest.mark.parametrize(("config", "words"), CONFIG.values(), ids=CONFIG.keys())
def test_the_config_file_is_the_users_word_too(config: dict[str, object], words: Words) -> None:
    assert parse_words([], config) == words


def test_the_order_of_mitmproxy_is_kept() -> None:
    config: dict[str, object] = {"listen_port": 2, "docxy_domain": "file"}
    said = ["--set", "listen_port=1", "--set", "docxy_domain=set"]
    assert parse_words(said, config).listen_port == "2"
    assert parse_words(said, config).setting("docxy_domain") == "file"
    assert parse_words([*said, "-p", "3"], config).listen_port == "3"


def test_scripts_in_the_config_file_would_replace_the_mirror() -> None:
    with pytest.raises(ValueError, match="name them with -s"):
        parse_words([], {"scripts": ["x.py"]})


# Workers.


@pytest.mark.parametrize(
    ("arguments", "workers", "rest"),
    [
        pytest.param([], 1, [], id="one process"),
        pytest.param(["--workers", "3"], 3, [], id="a number"),
        pytest.param(
            ["-p", "80", "--workers=2", "--set", "a=b", "-q"],
            2,
            ["-p", "80", "--set", "a=b", "-q"],
            id="among mitmproxy's own, which keep their order",
        ),
        pytest.param(["--workers", "auto"], len(os.sched_getaffinity(0)), [], id="all cores"),
        pytest.param(["--", "--workers", "3"], 1, ["--", "--workers", "3"], id="in a filter"),
    ],
)
def test_workers_are_asked_for(arguments: list[str], workers: int, rest: list[str]) -> None:
    assert split_workers(arguments) == (workers, rest)


@pytest.mark.parametrize("said", ["0", "-1", "many", "257", "", "²"])
def test_a_number_of_workers_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="--workers"):
        split_workers([f"--workers={said}"])


def test_where_one_process_shows_all_workers_are_refused() -> None:
    refuse_workers(["-p", "80", "--", "--workers"], "inspect")
    for said in (["--workers", "2"], ["--workers=2"]):
        with pytest.raises(ValueError, match="inspect is one process: --workers"):
            refuse_workers(said, "inspect")


@pytest.mark.parametrize(
    ("line", "saves"),
    [
        ("-w f", True),
        ("-wf", True),
        ("--save-stream-file +f", True),
        ("--set hardump=f", True),
        ("--set save_stream_file=f", True),
        ("--set save_stream_file=", False),
        ("-r f", False),
    ],
)
def test_it_is_known_whether_flows_are_saved(line: str, saves: bool) -> None:
    assert parse_words(line.split()).saves is saves


def test_a_file_that_saves_flows_may_be_named_in_the_config_file() -> None:
    assert parse_words([], {"hardump": "f"}).saves
