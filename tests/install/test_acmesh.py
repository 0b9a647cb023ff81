from __future__ import annotations

import pytest

from addon.install import acmesh, places
from tests.install.scratch import DOMAIN, HOME, Scratch

# As acme.sh 3.1.4 writes it.
CONF = """\
Le_Domain='mirror.example.com'
Le_Alt='other.example.com'
Le_Webroot='no'
Le_PreHook=''
Le_API='https://acme-v02.api.letsencrypt.org/directory'
Le_Keylength='ec-256'
Le_RealKeyPath='/etc/docxy/tls/mirror.key'
Le_RealFullChainPath='/etc/docxy/tls/fullchain.cer'
Le_ReloadCmd='__ACME_BASE64__START_c3lzdGVtY3RsIHJlbG9hZA==__ACME_BASE64__END_'
"""


def test_a_conf_is_read() -> None:
    conf = acmesh.parse_conf(CONF)
    assert conf["Le_Webroot"] == "no"
    assert conf["Le_PreHook"] == ""


def held(scratch: Scratch, webroot: str, more: str = "") -> acmesh.Held:
    scratch.hold(webroot, more=more)
    found = acmesh.find_held(scratch.machine, HOME, DOMAIN)
    assert found is not None
    return found


RENEWS = {
    "through the mirror": (places.WEBROOT, True),
    "by DNS": ("dns_cf", True),
    "both": (f"dns_cf,{places.WEBROOT}", True),
    "a server of its own": ("no", False),
    "another web server's folder": ("/var/www/html", False),
    "apache": ("apache", False),
    "nginx": ("nginx:", False),
    "TLS of its own": ("alpn", False),
    "by DNS, by hand": ("dns", False),
    "one of two": (f"{places.WEBROOT},no", False),
}


@pytest.mark.parametrize(("webroot", "renews"), RENEWS.values(), ids=RENEWS.keys())
def test_a_renewal_works_that_needs_no_port_of_its_own(
    scratch: Scratch, webroot: str, renews: bool
) -> None:
    assert held(scratch, webroot).renews is renews


def test_a_domain_without_a_certificate_yet_does_not_count(scratch: Scratch) -> None:
    held(scratch, places.WEBROOT)
    scratch.at(f"{HOME}/{DOMAIN}_ecc/fullchain.cer").unlink()
    found = acmesh.find_held(scratch.machine, HOME, DOMAIN)
    assert found is not None
    assert not found.renews


def test_nothing_is_held_of_a_name_that_was_removed(scratch: Scratch) -> None:
    held(scratch, "no")
    conf = scratch.at(f"{HOME}/{DOMAIN}_ecc/{DOMAIN}.conf")
    conf.rename(conf.with_name(f"{conf.name}.removed"))
    assert acmesh.find_held(scratch.machine, HOME, DOMAIN) is None


def test_a_first_certificate_is_taken_over_the_mirrors_port() -> None:
    words = acmesh.issue_words(HOME, DOMAIN, server="letsencrypt", email="me@example.com")
    assert words == [
        f"{HOME}/acme.sh", "--home", HOME, "--issue", "--domain", DOMAIN,
        "--webroot", places.WEBROOT, "--server", "letsencrypt", "--accountemail", "me@example.com",
    ]  # fmt: skip


def test_one_that_is_taken_over_keeps_its_names_and_its_kind_of_key(scratch: Scratch) -> None:
    scratch.put(f"{HOME}/{DOMAIN}/{DOMAIN}.conf", CONF.replace("ec-256", "2048"))
    found = acmesh.find_held(scratch.machine, HOME, DOMAIN)
    words = acmesh.issue_words(HOME, DOMAIN, server="letsencrypt", held=found)
    assert words[words.index("--domain") :] == [
        "--domain", DOMAIN, "--domain", "other.example.com", "--webroot", places.WEBROOT,
        "--server", "letsencrypt", "--force", "--keylength", "2048",
    ]  # fmt: skip


def test_the_copy_is_asked_for_by_the_kind_of_key() -> None:
    assert "--ecc" in acmesh.copy_words(HOME, DOMAIN, is_ecc=True)
    assert "--ecc" not in acmesh.copy_words(HOME, DOMAIN, is_ecc=False)


def test_a_conf_of_which_nothing_is_copied_keeps_all_else() -> None:
    kept = [line for line in CONF.splitlines() if "/etc/docxy" not in line]
    assert acmesh.without_copying(CONF).splitlines() == kept
    assert len(kept) == len(CONF.splitlines()) - 2
