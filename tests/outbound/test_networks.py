from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from addon.outbound.networks import (
    Networks,
    is_local,
    is_loopback,
    is_public,
    may_redirect_to,
    parse_address,
    parse_networks,
    unmapped,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param(" , ,", [], id="only separators"),
        pytest.param("10.0.0.0/8", ["10.0.0.0/8"], id="one"),
        pytest.param(
            " 10.0.0.0/8 ,fd00::/8,", ["10.0.0.0/8", "fd00::/8"], id="two, with blanks around"
        ),
        pytest.param("192.0.2.1", ["192.0.2.1/32"], id="an address is a network of one"),
        pytest.param("::1", ["::1/128"], id="an IPv6 address too"),
        pytest.param("10.0.0.0/255.0.0.0", ["10.0.0.0/8"], id="a netmask"),
        pytest.param("0.0.0.0/0,::/0", ["0.0.0.0/0", "::/0"], id="everything"),
    ],
)
def test_networks_are_read_from_a_list(text: str, expected: list[str]) -> None:
    networks = parse_networks(text)
    assert networks == Networks(tuple(ip_network(network) for network in expected))
    assert bool(networks) is bool(expected)


@pytest.mark.parametrize(
    "text",
    [
        # Bits behind the prefix: one of the two numbers is not what was meant.
        pytest.param("10.0.0.1/8", id="bits behind the prefix"),
        pytest.param("fd00::1/8", id="bits behind an IPv6 prefix"),
        # A typing error that was ignored would open or close more than it says.
        pytest.param("10.0.0.0/33", id="too long a prefix"),
        pytest.param("10.0.0/8", id="three numbers"),
        pytest.param("10.0.0.0/8 192.168.0.0/16", id="blanks between"),
        pytest.param("10.0.0.0/8;192.168.0.0/16", id="semicolons between"),
        pytest.param("10.0.0.0-10.0.0.9", id="a range"),
        pytest.param("proxy.example", id="a name"),
        pytest.param("[::1]", id="brackets"),
        pytest.param("10.0.0.1:80", id="a port"),
        pytest.param("256.0.0.0/8", id="too large a number"),
        pytest.param("010.0.0.0/8", id="a leading zero, octal to some"),
        pytest.param("10", id="a number"),
    ],
)
def test_a_wrong_network_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a network such as"):
        parse_networks(text)


@pytest.mark.parametrize(
    ("text", "address", "expected"),
    [
        pytest.param("10.0.0.0/8", "10.255.255.255", True, id="the last one"),
        pytest.param("10.0.0.0/8", "11.0.0.0", False, id="the next one"),
        pytest.param("10.0.0.0/8", "::ffff:10.0.0.1", True, id="IPv4-mapped"),
        pytest.param("10.0.0.0/8", "::10.0.0.1", False, id="IPv4-compatible is another address"),
        pytest.param("fd00::/8", "fd12::1", True, id="IPv6"),
        pytest.param("0.0.0.0/0", "::1", False, id="all of IPv4 has no IPv6"),
        pytest.param("::/0", "10.0.0.1", False, id="all of IPv6 has no IPv4"),
        pytest.param("", "127.0.0.1", False, id="none"),
    ],
)
def test_an_address_is_in_a_list_of_networks(text: str, address: str, expected: bool) -> None:
    assert (parse_address(address) in parse_networks(text)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("192.0.2.1", IPv4Address("192.0.2.1"), id="IPv4"),
        pytest.param("2001:DB8::1", IPv6Address("2001:db8::1"), id="IPv6"),
        pytest.param("fe80::1%eth0", IPv6Address("fe80::1"), id="a zone is dropped"),
        pytest.param("fe80::1%25eth0", IPv6Address("fe80::1"), id="an encoded zone is dropped"),
    ],
)
def test_an_address_is_read(text: str, expected: object) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("localhost", id="a name"),
        # What `inet_aton` and browsers take for an address is a name for us.
        pytest.param("127.1", id="short"),
        pytest.param("2130706433", id="decimal"),
        pytest.param("0x7f000001", id="hexadecimal"),
        pytest.param("0177.0.0.1", id="octal"),
        pytest.param("[::1]", id="brackets"),
        pytest.param("::1/128", id="a network"),
        pytest.param("192.0.2.1:80", id="a port"),
        pytest.param(" 192.0.2.1", id="a blank"),
        pytest.param("192.0.2.1\n", id="a line end"),
        pytest.param("\N{ARABIC-INDIC DIGIT ONE}.0.0.1", id="a digit beyond ASCII"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(text)


def test_only_an_ipv4_mapped_address_is_unmapped() -> None:
    assert unmapped(parse_address("::ffff:192.0.2.1")) == IPv4Address("192.0.2.1")
    for text in ("192.0.2.1", "2001:db8::1", "::192.0.2.1", "64:ff9b::192.0.2.1"):
        assert unmapped(parse_address(text)) == parse_address(text)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.255", "::1"),
        *("10.0.0.0", "172.16.0.0", "172.31.255.255", "192.168.255.255"),
        *("169.254.1.1", "fe80::1", "febf::1", "fe80::1%eth0", "fc00::1", "fdff::1"),
        *("::ffff:127.0.0.1", "::ffff:192.168.1.1"),
    ],
)
def test_this_machine_and_its_network_are_local(address: str) -> None:
    assert is_local(parse_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.169.0.0"),
        *("128.0.0.0", "2606:4700::1111", "::ffff:1.1.1.1", "fec0::1", "fe00::1"),
        # Neighbours behind a carrier's NAT are strangers.
        "100.64.0.1",
        # An address of another machine that only contains ours.
        *("2002:7f00:1::1", "64:ff9b::127.0.0.1"),
        *("0.0.0.0", "::", "224.0.0.1", "255.255.255.255"),
    ],
)
def test_everyone_else_is_not_local(address: str) -> None:
    assert not is_local(parse_address(address))


NOT_PUBLIC = [
    pytest.param("0.0.0.0", id="unspecified, which Linux takes for loopback"),
    pytest.param("0.1.2.3", id="this network"),
    pytest.param("10.1.2.3", id="private, 10"),
    pytest.param("100.64.0.0", id="shared, the first"),
    pytest.param("100.127.255.255", id="shared, the last"),
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("127.255.255.254", id="loopback, another"),
    pytest.param("169.254.169.254", id="the clouds' metadata service"),
    pytest.param("172.16.0.1", id="private, 172.16"),
    pytest.param("172.31.255.255", id="private, 172.31"),
    pytest.param("192.0.0.170", id="NAT64 discovery"),
    pytest.param("192.0.2.1", id="documentation"),
    pytest.param("192.88.99.1", id="a relay of 6to4"),
    pytest.param("192.168.0.1", id="private, 192.168"),
    pytest.param("198.18.0.1", id="benchmarks and fake-IP resolvers"),
    pytest.param("198.19.255.255", id="benchmarks, the last"),
    pytest.param("203.0.113.1", id="documentation, 3"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("240.0.0.1", id="reserved"),
    pytest.param("255.255.255.255", id="broadcast"),
    pytest.param("::", id="IPv6 unspecified"),
    pytest.param("::1", id="IPv6 loopback"),
    pytest.param("::127.0.0.1", id="IPv4-compatible"),
    pytest.param("::8.8.8.8", id="IPv4-compatible, which is routed nowhere"),
    pytest.param("::ffff:127.0.0.1", id="IPv4-mapped loopback"),
    pytest.param("::ffff:7f00:1", id="IPv4-mapped loopback in hex"),
    pytest.param("::ffff:169.254.169.254", id="IPv4-mapped metadata service"),
    pytest.param("::ffff:0:127.0.0.1", id="IPv4-translated loopback (RFC 2765)"),
    pytest.param("::ffff:0:8.8.8.8", id="IPv4-translated"),
    pytest.param("64:ff9b::127.0.0.1", id="NAT64 of loopback"),
    pytest.param("64:ff9b::10.0.0.1", id="NAT64 of a private address"),
    pytest.param("64:ff9b:1::8.8.8.8", id="local NAT64"),
    pytest.param("2002:7f00:1::", id="6to4 of loopback"),
    pytest.param("2002:a9fe:a9fe::1", id="6to4 of the metadata service"),
    pytest.param("2002:c0a8:101:1::1", id="6to4 of a private address"),
    pytest.param("2001::1", id="Teredo"),
    pytest.param("2001:0:7f00:1::80ff:fffe", id="Teredo of loopback"),
    pytest.param("2001:db8::1", id="IPv6 documentation"),
    pytest.param("3fff::1", id="IPv6 documentation, the newer"),
    pytest.param("5f00::1", id="segment routing"),
    pytest.param("100::1", id="discard only"),
    pytest.param("fc00::1", id="unique local, not assigned"),
    pytest.param("fd00:ec2::254", id="unique local, a cloud's metadata service"),
    pytest.param("fe80::1", id="link-local"),
    pytest.param("fe80::1%1", id="link-local with a zone"),
    pytest.param("fec0::1", id="site-local"),
    pytest.param("ff02::1", id="IPv6 multicast"),
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_a_redirect_does_not_lead_where_no_cdn_is(text: str) -> None:
    address = parse_address(text)
    assert not is_public(address)
    assert not may_redirect_to(address, Networks())
    # What the owner lists opens nothing beside it.
    assert not may_redirect_to(address, parse_networks("192.0.2.128/25,2001:db8:1::/48"))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_a_redirect_leads_where_the_owner_allows_it(text: str) -> None:
    address = parse_address(text)
    assert may_redirect_to(address, Networks((ip_network(unmapped(address)),)))


@pytest.mark.parametrize(
    "text",
    [
        *("1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"),
        *("126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255"),
        *("172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255"),
        *("198.20.0.0", "223.255.255.255"),
        *("2606:4700::1111", "2001:4860:4860::8888", "2a00::1", "2001:200::1"),
        *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"),
    ],
)
def test_a_redirect_leads_to_any_address_on_the_internet(text: str) -> None:
    assert is_public(parse_address(text))
    assert may_redirect_to(parse_address(text), Networks())


@pytest.mark.parametrize(
    ("text", "allowed", "expected"),
    [
        pytest.param("198.18.0.7", "198.18.0.0/15", True, id="a fake-IP resolver"),
        pytest.param("::ffff:198.18.0.7", "198.18.0.0/15", True, id="its IPv4-mapped form"),
        pytest.param("64:ff9b::10.0.0.1", "10.0.0.0/8", True, id="NAT64 of an allowed address"),
        pytest.param("64:ff9b::10.0.0.1", "192.168.0.0/16", False, id="NAT64 of another"),
        pytest.param("10.0.0.1", "10.0.0.0/24", True, id="in the network"),
        pytest.param("10.0.1.1", "10.0.0.0/24", False, id="beside the network"),
        pytest.param("fd00::1", "fd00::/64", True, id="IPv6"),
        pytest.param("127.0.0.1", "127.0.0.1", True, id="one address"),
    ],
)
def test_an_allowed_network_holds_for_every_form_of_its_addresses(
    text: str, allowed: str, expected: bool
) -> None:
    assert may_redirect_to(parse_address(text), parse_networks(allowed)) is expected


def test_every_form_of_an_ipv4_address_is_judged_alike() -> None:
    source = random.Random(8)
    for _ in range(3000):
        plain = IPv4Address(source.getrandbits(32))
        number = int(plain)
        for form in (0xFFFF << 32, 0x64FF9B << 96):
            assert is_public(IPv6Address(form | number)) is is_public(plain)
        assert is_public(IPv6Address((0x2002 << 112) | (number << 80))) is is_public(plain)
        assert is_local(IPv6Address((0xFFFF << 32) | number)) is is_local(plain)


def test_what_is_local_is_never_public() -> None:
    source = random.Random(9)
    for _ in range(3000):
        for address in (
            IPv4Address(source.getrandbits(32)),
            IPv6Address(source.getrandbits(128)),
            IPv6Address((0x0000 << 112) | source.getrandbits(96)),
            IPv6Address((0xFC00 << 112) | source.getrandbits(122)),
        ):
            assert not (is_local(address) and is_public(address))


def test_random_text_is_a_list_of_networks_or_refused() -> None:
    source = random.Random(10)
    pieces = ["10.", "0.0.", "0", "/", "8", ",", " ", "fd00", "::", ":", "%", "a", "[", "]", "-1"]
    read = 0
    for _ in range(4000):
        text = "".join(source.choices(pieces, k=source.randint(0, 6)))
        try:
            networks = parse_networks(text)
        except ValueError:
            continue
        read += 1
        assert parse_networks(",".join(map(str, networks.networks))) == networks
    assert read > 100


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("a", False),
    ],
)
def test_what_is_reached_from_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
