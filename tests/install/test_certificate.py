from __future__ import annotations

import pytest

from addon.install import certificate, places
from addon.install.account import make_user
from addon.install.folders import make_folders
from addon.install.machine import Done
from addon.install.steps import Step, take_all
from tests.install.scratch import DOMAIN, HOME, Scratch


def take(scratch: Scratch, *steps: Step) -> list[str]:
    return take_all([make_user(), make_folders(), *steps], scratch.machine, lambda _: None).notes


def test_the_copy_may_be_read_by_the_mirrors_group_and_written_by_root_alone(
    scratch: Scratch,
) -> None:
    scratch.hold("dns_cf")
    assert take(scratch, certificate.copy_certificate(HOME, DOMAIN)) == []
    for path in (places.KEY, places.CERTIFICATE):
        assert scratch.at(path).stat().st_mode & 0o7777 == 0o640
    assert scratch.text(places.KEY) == "key 0\n"


def test_a_copy_that_is_there_is_not_made_again(scratch: Scratch) -> None:
    scratch.hold("dns_cf")
    copy = certificate.copy_certificate(HOME, DOMAIN)
    take(scratch, copy)
    scratch.calls.clear()
    take(scratch, copy)
    assert scratch.calls == []


def test_a_copy_of_an_older_certificate_is_made_again(scratch: Scratch) -> None:
    scratch.hold("dns_cf")
    copy = certificate.copy_certificate(HOME, DOMAIN)
    take(scratch, copy)
    scratch.put(f"{HOME}/{DOMAIN}_ecc/fullchain.cer", "renewed\n")
    take(scratch, copy)
    assert scratch.text(places.CERTIFICATE) == "renewed\n"


def test_who_had_the_copy_before_is_named(scratch: Scratch) -> None:
    scratch.hold("dns_cf", more="Le_RealKeyPath='/etc/nginx/key.pem'\n")
    notes = take(scratch, certificate.copy_certificate(HOME, DOMAIN))
    assert notes == ["acme.sh copied this key to /etc/nginx/key.pem, and no longer does"]


def test_it_is_said_where_nobody_would_renew(scratch: Scratch) -> None:
    look = certificate.look_for_renewals(HOME)
    assert take(scratch, look) == []
    scratch.fails = lambda _number, words: words[0] == "crontab"
    (note,) = take(scratch, look)
    assert note.startswith("nothing runs acme.sh each day")


def test_other_domains_whose_renewal_wants_the_port_are_named(scratch: Scratch) -> None:
    scratch.hold("dns_cf", domain="fine.example.com")
    scratch.hold("no", domain="other.example.com")
    (note,) = take(scratch, certificate.look_for_renewals(HOME))
    assert note.startswith(f"the renewal of {HOME}/other.example.com_ecc wants port 80")


REASONS = {
    "an error among others": (
        "[Sat Nov 28 03:40:47 UTC 2026] \x1b[31;1mexample.com: Invalid status. Error: x\x1b[0m\n"
        "[Sat Nov 28 03:40:47 UTC 2026] Please add '--debug' to see more\n",
        "example.com: Invalid status. Error: x",
    ),
    "the last line": ("a\nb\nSee: https://example.com\n", "b"),
    "nothing": ("", "exit code 1"),
}


@pytest.mark.parametrize(("output", "line"), REASONS.values(), ids=REASONS.keys())
def test_the_line_that_tells_is_found(output: str, line: str) -> None:
    assert certificate.reason(Done(1, output)) == line
