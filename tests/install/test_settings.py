from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from addon.install import places, settings
from addon.outbound.networks import parse_networks
from addon.start.words import parse_words

OWN = """\
# mine
docxy_tag_ttl: 5  # seconds
docxy_public_url: 'https://other.example.com'
web_port: 81"""


def test_single_lines_are_set_and_all_others_stay() -> None:
    text = settings.with_values(OWN, {"docxy_tag_ttl": 6, "docxy_allow": "192.0.2.0/24"})
    assert text == (
        "# mine\ndocxy_tag_ttl: 6\ndocxy_public_url: 'https://other.example.com'\nweb_port: 81\n"
        'docxy_allow: "192.0.2.0/24"\n'
    )


GET = {
    "a number with a remark": ("docxy_tag_ttl", "5"),
    "quoted": ("docxy_public_url", "https://other.example.com"),
    "in the last line": ("web_port", "81"),
    "none": ("docxy_allow", ""),
}


@pytest.mark.parametrize(("name", "value"), GET.values(), ids=GET.keys())
def test_a_value_is_read(name: str, value: str) -> None:
    assert settings.get(OWN, name) == value


@pytest.mark.parametrize("value", ["", "a: b # c", 'say "no"', "\\", "yes", "{x}", "'"])
def test_a_value_is_to_yaml_what_it_is_here(value: str) -> None:
    text = settings.with_values("", {"name": value})
    assert YAML(typ="safe").load(text) == {"name": value}
    assert settings.get(text, "name") == value


def test_what_the_owner_has_said_wins() -> None:
    text = settings.of_all(OWN, "mirror.example.com")
    assert settings.get(text, "docxy_public_url") == "https://other.example.com"
    assert settings.get(text, "docxy_acme_webroot") == places.WEBROOT
    own = settings.with_values(text, {"docxy_cert_path": "/own", "docxy_key_path": "/own.key"})
    assert settings.with_certificate(own) == own


def test_before_there_is_a_certificate_the_mirror_listens_on_port_80_of_all_addresses() -> None:
    tls = settings.with_certificate(settings.of_all("", "mirror.example.com"))
    plain = YAML(typ="safe").load(settings.without_certificate(tls))
    words = parse_words([], plain)
    assert (words.listen_host, words.listen_port) == ("", "80")
    assert not {"docxy_cert_path", "docxy_key_path"} & plain.keys()


def test_the_networks_that_are_written_are_those_that_the_mirror_reads() -> None:
    text = settings.with_values("", {"docxy_allow": "192.0.2.0/24,2001:db8::/32"})
    assert parse_networks(YAML(typ="safe").load(text)["docxy_allow"])
