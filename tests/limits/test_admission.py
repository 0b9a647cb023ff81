from __future__ import annotations

import random
import re

import pytest

from addon.limits.admission import Admission, Door, check_allowed, client_address, parse_allowed
from addon.outbound.networks import Networks, parse_address, parse_networks
from addon.protocol.errors import Refusal

PROXIES = parse_networks("192.0.2.0/24,2001:db8::/32")
PLAIN = Door()
CERTIFIED = Door(has_certificate=True)
PROXIED = Door(behind_proxy=PROXIES)
BOTH = Door(has_certificate=True, behind_proxy=PROXIES)


@pytest.mark.parametrize(
    ("door", "peer", "tls", "expected"),
    [
        pytest.param(PLAIN, "127.0.0.1", False, Admission.MIRROR, id="plain, loopback"),
        pytest.param(PLAIN, "::1", False, Admission.MIRROR, id="plain, IPv6 loopback"),
        pytest.param(PLAIN, "::ffff:127.0.0.1", False, Admission.MIRROR, id="plain, IPv4-mapped"),
        pytest.param(PLAIN, "192.168.1.7", False, Admission.MIRROR, id="plain, private"),
        pytest.param(PLAIN, "fd00::7", False, Admission.MIRROR, id="plain, unique local"),
        pytest.param(PLAIN, "127.0.0.1", True, Admission.MIRROR, id="mitmproxy's own TLS"),
        pytest.param(CERTIFIED, "1.1.1.1", True, Admission.MIRROR, id="TLS, from everywhere"),
        pytest.param(CERTIFIED, "127.0.0.1", False, Admission.REDIRECT, id="plain beside TLS"),
        pytest.param(
            CERTIFIED, "1.1.1.1", False, Admission.REDIRECT, id="plain beside TLS, public"
        ),
        pytest.param(PROXIED, "192.0.2.9", False, Admission.MIRROR, id="a proxy in front"),
        pytest.param(PROXIED, "2001:db8::9", False, Admission.MIRROR, id="an IPv6 proxy in front"),
        pytest.param(PROXIED, "::ffff:192.0.2.9", False, Admission.MIRROR, id="IPv4-mapped proxy"),
        pytest.param(BOTH, "192.0.2.9", False, Admission.MIRROR, id="a proxy, beside TLS"),
        pytest.param(BOTH, "1.1.1.1", True, Admission.MIRROR, id="TLS past the proxies"),
        pytest.param(BOTH, "1.1.1.1", False, Admission.REDIRECT, id="plain past the proxies"),
    ],
)
def test_a_peer_is_admitted(door: Door, peer: str, tls: bool, expected: Admission) -> None:
    assert door.admit(parse_address(peer), tls=tls) is expected


@pytest.mark.parametrize(
    ("door", "peer", "words"),
    [
        # Passwords would cross the Internet in the clear, or under a certificate of anyone's.
        pytest.param(PLAIN, "1.1.1.1", "without a certificate", id="public"),
        pytest.param(PLAIN, "2606:4700::1", "without a certificate", id="public IPv6"),
        pytest.param(PLAIN, "100.64.0.1", "without a certificate", id="behind a carrier's NAT"),
        pytest.param(PLAIN, "::ffff:1.1.1.1", "without a certificate", id="public, IPv4-mapped"),
        # The owner said from where plain HTTP comes, so this machine has to be in the list too.
        pytest.param(PROXIED, "127.0.0.1", "docxy_behind_proxy", id="loopback past the proxies"),
        pytest.param(PROXIED, "192.168.1.7", "docxy_behind_proxy", id="private past the proxies"),
        pytest.param(PROXIED, "192.0.3.1", "docxy_behind_proxy", id="beside the network"),
    ],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain HTTP", "mitmproxy's own TLS"])
def test_a_peer_is_refused_without_a_certificate(
    door: Door, peer: str, words: str, tls: bool
) -> None:
    with pytest.raises(Refusal, match=words) as refused:
        door.admit(parse_address(peer), tls=tls)
    assert (refused.value.status, refused.value.code) == (403, "DENIED")


@pytest.mark.parametrize(
    ("forwarded_for", "expected"),
    [
        pytest.param([], "192.0.2.1", id="no header"),
        pytest.param(["198.51.100.7"], "198.51.100.7", id="one client"),
        pytest.param(["2001:470::7"], "2001:470::7", id="an IPv6 client"),
        pytest.param(["203.0.113.66, 198.51.100.7"], "198.51.100.7", id="forged in front"),
        pytest.param(["192.0.2.5, 198.51.100.7"], "198.51.100.7", id="a proxy forged in front"),
        pytest.param(
            ["203.0.113.66, 198.51.100.7, 192.0.2.3, 192.0.2.2"],
            "198.51.100.7",
            id="two proxies of ours behind",
        ),
        pytest.param(
            ["203.0.113.66, 198.51.100.7", "192.0.2.3"], "198.51.100.7", id="two header lines"
        ),
        pytest.param(
            ["203.0.113.66", "198.51.100.7"], "198.51.100.7", id="forged in a line of its own"
        ),
        pytest.param(["198.51.100.7,192.0.2.3"], "198.51.100.7", id="no blank behind the comma"),
        pytest.param([" \t198.51.100.7\t "], "198.51.100.7", id="blanks around"),
        pytest.param(["198.51.100.7:4711"], "198.51.100.7", id="a port"),
        pytest.param(["[2001:470::7]:4711"], "2001:470::7", id="an IPv6 address with a port"),
        pytest.param(["[2001:470::7]"], "2001:470::7", id="an IPv6 address in brackets"),
        pytest.param(["::ffff:198.51.100.7"], "::ffff:198.51.100.7", id="IPv4-mapped"),
        pytest.param(["fe80::7%eth0"], "fe80::7", id="a zone"),
        pytest.param(
            ["198.51.100.7, ::ffff:192.0.2.3"], "198.51.100.7", id="an IPv4-mapped proxy of ours"
        ),
        pytest.param(["192.0.2.9, 192.0.2.3"], "192.0.2.9", id="all are proxies: the first one"),
        # What stands in front of junk may be made up, so the search ends there.
        pytest.param(["unknown"], "192.0.2.1", id="junk"),
        pytest.param(["203.0.113.66, unknown"], "192.0.2.1", id="junk behind an address"),
        pytest.param(["203.0.113.66, unknown, 192.0.2.3"], "192.0.2.3", id="junk before a proxy"),
        pytest.param(["203.0.113.66, , 192.0.2.3"], "192.0.2.3", id="an empty entry"),
        pytest.param(["203.0.113.66,"], "192.0.2.1", id="an empty entry at the end"),
        pytest.param([""], "192.0.2.1", id="an empty header"),
        pytest.param(["for=198.51.100.7"], "192.0.2.1", id="the syntax of Forwarded"),
        pytest.param(["198.51.100.7 203.0.113.66"], "192.0.2.1", id="no comma"),
        pytest.param(["198.51.100.7\0"], "192.0.2.1", id="NUL"),
        pytest.param(["[2001:470::7"], "2001:470::7", id="a bracket that does not close"),
        pytest.param(["2130706433"], "192.0.2.1", id="a decimal number"),
    ],
)
def test_the_client_is_the_last_one_that_is_no_trusted_proxy(
    forwarded_for: list[str], expected: str
) -> None:
    client = client_address(parse_address("192.0.2.1"), forwarded_for, PROXIES)
    assert client == parse_address(expected)


@pytest.mark.parametrize("trusted", [Networks(), PROXIES])
@pytest.mark.parametrize("forwarded_for", ["198.51.100.7", "192.0.2.1", "127.0.0.1", "junk"])
def test_nobody_else_is_believed(forwarded_for: str, trusted: Networks) -> None:
    peer = parse_address("203.0.113.9")
    assert client_address(peer, [forwarded_for], trusted) == peer


def test_no_forged_entry_decides_behind_an_honest_proxy() -> None:
    # An honest proxy appends the address that it saw.
    source = random.Random(8)
    pieces = ["192.0.2.3", "203.0.113.66", ",", " ", "junk", "[::1]", ":", "127.0.0.1", "%", "\0"]
    for _ in range(5000):
        forged = "".join(source.choices(pieces, k=source.randint(0, 8)))
        for lines in ([f"{forged}, 198.51.100.7"], [forged, "198.51.100.7, 192.0.2.2"]):
            client = client_address(parse_address("192.0.2.1"), lines, PROXIES)
            assert client == parse_address("198.51.100.7")


def test_random_entries_are_skipped_or_are_an_address_that_stands_there() -> None:
    source = random.Random(9)
    peer = parse_address("192.0.2.1")
    others = set()
    for _ in range(5000):
        line = "".join(source.choices("1299..::[]%a, \0é", k=source.randint(0, 15)))
        client = client_address(peer, [line], PROXIES)
        if client != peer:
            others.add(client)
            assert any(_means(part, client) for part in re.split(r"[^0-9a.:]", line)), line
    assert len(others) > 10


@pytest.mark.parametrize(
    ("allowed", "client"),
    [
        pytest.param("", "203.0.113.9", id="nothing is said"),
        pytest.param("", "2001:470::7", id="nothing is said, IPv6"),
        pytest.param("203.0.113.0/24", "203.0.113.9", id="in the network"),
        pytest.param("203.0.113.9", "203.0.113.9", id="the address itself"),
        pytest.param("10.0.0.0/8, 203.0.113.0/24", "203.0.113.9", id="in the second network"),
        pytest.param("203.0.113.0/24", "::ffff:203.0.113.9", id="IPv4-mapped"),
        pytest.param("2001:470::/32", "2001:470::7", id="IPv6"),
        pytest.param("127.0.0.0/8", "127.0.0.1", id="loopback that is listed"),
        pytest.param("0.0.0.0/0,::/0", "2001:470::7", id="everything is said"),
    ],
)
def test_a_client_is_allowed(allowed: str, client: str) -> None:
    check_allowed(parse_address(client), parse_allowed(allowed))


@pytest.mark.parametrize(
    ("allowed", "client", "shown"),
    [
        pytest.param("203.0.113.0/24", "203.0.114.9", "203.0.114.9", id="beside the network"),
        pytest.param("203.0.113.0/24", "2001:470::7", "2001:470::7", id="of the other family"),
        pytest.param("203.0.113.0/24", "::ffff:1.1.1.1", "serve 1.1.1.1;", id="IPv4-mapped"),
        # Whatever passes TCP on from this machine makes strangers look like it.
        pytest.param("203.0.113.0/24", "127.0.0.1", "127.0.0.1", id="loopback"),
        pytest.param("0.0.0.0/0", "::1", "::1", id="IPv6 loopback"),
    ],
)
def test_a_client_that_is_not_listed_is_refused(allowed: str, client: str, shown: str) -> None:
    with pytest.raises(Refusal, match=re.escape(shown)) as refused:
        check_allowed(parse_address(client), parse_allowed(allowed))
    assert (refused.value.status, refused.value.code) == (403, "DENIED")
    assert "docxy_allow" in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("example.com", id="a name"),
        pytest.param("10.0.0.1/8", id="bits behind the prefix"),
        # A slip must not open a mirror to everyone.
        pytest.param(",", id="a comma alone"),
        pytest.param(" , ,", id="commas and blanks"),
    ],
)
def test_a_list_that_names_no_network_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_allowed(text)


def _means(text: str, address: object) -> bool:
    try:
        return parse_address(text) == address
    except ValueError:
        return False
