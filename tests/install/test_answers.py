from __future__ import annotations

import json

import pytest

from addon.install.answers import (
    Answers,
    check_email,
    format_answers,
    parse_allow,
    parse_answers,
    renew_answers,
)
from addon.install.machine import InstallError

KEPT = Answers(domain="mirror.example.com", workers="2", tune=False)


def test_what_was_said_is_read_again() -> None:
    assert parse_answers(format_answers(KEPT)) == KEPT


def test_what_another_version_kept_is_left_out() -> None:
    text = json.dumps({"domain": "mirror.example.com", "workers": 2, "of_a_later_version": 1})
    assert parse_answers(text) == Answers(domain="mirror.example.com")


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(InstallError, match=r"install\.json cannot be read .*; remove it"):
        parse_answers(text)


def test_what_is_said_anew_wins_and_the_rest_stays() -> None:
    said = {"domain": None, "workers": "auto", "tune": None}
    assert renew_answers(KEPT, said) == Answers(domain=KEPT.domain, workers="auto", tune=False)


REFUSED = {
    "no name": (None, {}, "--domain mirror.example.com"),
    "another name": (KEPT, {"domain": "other.example.com"}, "uninstall, then install other"),
    "an address": (None, {"domain": "https://mirror.example.com"}, "without https://"),
    "a wildcard": (None, {"domain": "*.example.com"}, r"or \*"),
    "capitals": (None, {"domain": "Mirror.example.com"}, "small letters"),
    "one label": (None, {"domain": "mirror"}, "is no name such as"),
    "a path": (None, {"domain": "../../etc"}, "is no name such as"),
    "an option": (None, {"domain": "-x.example.com"}, "is no name such as"),
    "a line break": (None, {"domain": "mirror.example.com\n"}, "is no name such as"),
    "an address of a machine": (None, {"domain": "192.0.2.1"}, "is no name such as"),
    "too many workers": (KEPT, {"workers": "257"}, "more than 256"),
    "a folder with a quote": (KEPT, {"acme_home": "/a'; touch /b; '"}, "begins with /"),
    "a folder in two lines": (KEPT, {"acme_home": "/a\n/b"}, "begins with /"),
    "an authority with a quote": (KEPT, {"acme_server": "https://c/';id;'"}, "https://"),
    "an authority with a command": (KEPT, {"acme_server": "https://c/$(id)"}, "https://"),
    "no workers": (KEPT, {"workers": "0"}, "neither a number nor auto"),
    "workers in words": (KEPT, {"workers": "2 --x"}, "neither a number nor auto"),
    "a folder from somewhere": (KEPT, {"acme_home": "acme"}, "begins with /"),
    "an authority without TLS": (KEPT, {"acme_server": "http://ca.example/dir"}, "https://"),
    "an option for an authority": (KEPT, {"acme_server": "--force"}, "letsencrypt"),
}


@pytest.mark.parametrize(("former", "said", "line"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_meant_is_refused(
    former: Answers | None, said: dict[str, object], line: str
) -> None:
    with pytest.raises(InstallError, match=line):
        renew_answers(former, said)


@pytest.mark.parametrize("server", ["letsencrypt", "https://localhost:14000/dir"])
def test_an_authority_is_a_name_or_an_address(server: str) -> None:
    assert renew_answers(KEPT, {"acme_server": server}).acme_server == server


@pytest.mark.parametrize("email", ["", "me@example.com", "a.b+c_d%e-f@mail.example.com"])
def test_an_address_for_mail_is_taken(email: str) -> None:
    check_email(email)


@pytest.mark.parametrize(
    "email", ["me", "--force", "-a@b", "a'; touch /b; '@c", "a@b\n", "$(id)@b", "a b@c", "`id`@b"]
)
def test_what_acme_sh_would_run_is_no_address_for_mail(email: str) -> None:
    with pytest.raises(InstallError, match="is no address such as"):
        check_email(email)


ALLOW = {
    "everyone": ("", ""),
    "one": ("192.0.2.1", "192.0.2.1"),
    "some": (" 192.0.2.0/24, 2001:db8::/32 ,", "192.0.2.0/24,2001:db8::/32"),
}


@pytest.mark.parametrize(("text", "networks"), ALLOW.values(), ids=ALLOW.keys())
def test_networks_are_read(text: str, networks: str) -> None:
    assert parse_allow(text) == networks


@pytest.mark.parametrize("text", ["192.0.2.0/24 192.0.2.1", "192.0.2.1/24", "all", "1.2.3"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(InstallError, match=r"--allow: .*; expected are networks such as"):
        parse_allow(text)


def test_a_slip_does_not_open_the_mirror_to_everyone() -> None:
    with pytest.raises(InstallError, match="names no network"):
        parse_allow(" , ")
