from __future__ import annotations

import pytest

from addon.words import Words, parse_words


def test_a_filter_is_not_taken_for_an_option() -> None:
    assert parse_words(["-p", "81", "~u manifests", "-q"]).listen_port == "81"


CONFIG = {
    "a number": ({"listen_port": 81}, Words(listen_port="81", settings=(("listen_port", "81"),))),
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
