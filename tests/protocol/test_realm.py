from __future__ import annotations

import random
from urllib.parse import urlsplit

import pytest

from addon.protocol.realm import Entrance, is_host_name, parse_public_url, realm


@pytest.mark.parametrize(
    ("entrance", "expected"),
    [
        pytest.param(Entrance("127.0.0.1", 8080, False), "http://127.0.0.1:8080", id="plain"),
        pytest.param(Entrance("127.0.0.1", 80, False), "http://127.0.0.1", id="plain, port 80"),
        pytest.param(Entrance("127.0.0.1", 443, False), "http://127.0.0.1:443", id="plain on 443"),
        pytest.param(Entrance("192.0.2.1", 443, True), "https://192.0.2.1", id="TLS, no name"),
        pytest.param(Entrance("192.0.2.1", 80, True), "https://192.0.2.1:80", id="TLS on 80"),
        pytest.param(Entrance("192.0.2.1", 8443, True), "https://192.0.2.1:8443", id="TLS on 8443"),
        pytest.param(
            Entrance("192.0.2.1", 443, True, "m.example"), "https://m.example", id="a name"
        ),
        pytest.param(
            Entrance("192.0.2.1", 8443, True, "m.example"),
            "https://m.example:8443",
            id="a name and a port",
        ),
        pytest.param(Entrance("::1", 8080, False), "http://[::1]:8080", id="IPv6"),
        pytest.param(Entrance("2001:db8::1", 443, True), "https://[2001:db8::1]", id="IPv6, TLS"),
        # A zone means something on this machine only.
        pytest.param(Entrance("fe80::1%eth0", 80, False), "http://[fe80::1]", id="an IPv6 zone"),
        # What a socket for both versions says of an IPv4 client.
        pytest.param(
            Entrance("::ffff:192.0.2.1", 8080, False), "http://192.0.2.1:8080", id="IPv4-mapped"
        ),
        pytest.param(
            Entrance("localhost", 8080, False), "http://localhost:8080", id="a local name"
        ),
    ],
)
def test_the_realm_is_where_the_client_came_in(entrance: Entrance, expected: str) -> None:
    assert entrance.base_url == expected
    assert realm("", entrance) == expected + "/auth/token"


def test_the_public_url_goes_before_everything_else() -> None:
    entrance = Entrance("192.0.2.1", 8443, True, "m.example")
    assert realm("https://public.example", entrance) == "https://public.example/auth/token"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="not set"),
        pytest.param("https://m.example", "https://m.example", id="https"),
        pytest.param("http://m.example", "http://m.example", id="http"),
        pytest.param("https://m.example/", "https://m.example", id="a slash at the end"),
        pytest.param("https://m.example:8443/", "https://m.example:8443", id="a port"),
        pytest.param("HTTPS://M.Example:8443", "https://m.example:8443", id="upper case"),
        pytest.param("https://192.0.2.1:8443", "https://192.0.2.1:8443", id="an IPv4 address"),
        pytest.param("https://[2001:DB8::1]", "https://[2001:db8::1]", id="an IPv6 address"),
        pytest.param("https://[::1]:8443/", "https://[::1]:8443", id="an IPv6 address and a port"),
        pytest.param("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", id="IDNA"),
        pytest.param("http://localhost:5000", "http://localhost:5000", id="one label"),
    ],
)
def test_a_public_url_is_scheme_host_and_port(text: str, expected: str) -> None:
    assert parse_public_url(text) == expected
    assert parse_public_url(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        # Docker puts no path before /v2/.
        pytest.param("https://m.example/docker", id="a path"),
        pytest.param("https://m.example/?a=b", id="a query"),
        pytest.param("https://m.example/#a", id="a fragment"),
        # It is told to everyone.
        pytest.param("https://user:secret@m.example", id="a user with a password"),
        pytest.param("https://@m.example", id="an empty user"),
        pytest.param("m.example", id="no scheme"),
        pytest.param("m.example:8443", id="no scheme but a port"),
        pytest.param("//m.example", id="no scheme but slashes"),
        pytest.param("ftp://m.example", id="another scheme"),
        pytest.param("https:m.example", id="no slashes"),
        pytest.param("https://", id="no host"),
        pytest.param("https://:8443", id="a port without a host"),
        pytest.param("https://m.example:", id="a colon without a port"),
        pytest.param("https://m.example:http", id="a port that is a word"),
        pytest.param("https://m.example:65536", id="a port that is too large"),
        pytest.param("https://m.example:0", id="port 0"),
        pytest.param("https://m.example:-1", id="a negative port"),
        # It stands in quotes in a header field and in a Location.
        pytest.param('https://m.example"', id="a quote"),
        pytest.param("https://m.example\\", id="a backslash"),
        pytest.param("https://m example", id="a blank"),
        pytest.param("https://m.example ", id="a blank at the end"),
        pytest.param("https://m.exa,mple", id="a comma"),
        pytest.param("https://m%2eexample", id="percent-encoding"),
        pytest.param("https://bücher.example", id="a letter beyond ASCII"),
        pytest.param("https://-m.example", id="a hyphen in front"),
        pytest.param("https://m.example.", id="a dot at the end"),
        pytest.param("https://[::1", id="a bracket that does not close"),
        pytest.param("https://[m.example]", id="a name in brackets"),
        pytest.param("https://[::g]", id="a letter that is no hex"),
        pytest.param("https://[1:2:3]", id="too short an IPv6 address"),
        pytest.param("https://::1", id="an IPv6 address without brackets"),
    ],
)
def test_any_other_public_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_public_url(text)


@pytest.mark.parametrize("text", ["m.example", "https://m.example/x", "https://m.example:0"])
def test_a_refused_public_url_is_quoted_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"https://mirror\.example\.com") as refused:
        parse_public_url(text)
    assert repr(text) in str(refused.value)


def test_random_text_is_an_address_of_a_host_or_refused() -> None:
    source = random.Random(8)
    pieces = [
        "https://",
        "http:",
        "//",
        "a",
        ".",
        ":",
        "80",
        "/",
        "[",
        "]",
        "::1",
        "@",
        "?",
        " ",
        "é",
    ]
    read = 0
    for _ in range(6000):
        text = source.choice(("https://", "http://a", "")) + "".join(
            source.choices(pieces, k=source.randint(0, 5))
        )
        try:
            url = parse_public_url(text)
        except ValueError:
            continue
        read += 1
        parts = urlsplit(realm(url, Entrance("192.0.2.1", 80, False)))
        assert parts.hostname, text
        assert parts.path == "/auth/token", text
        assert parse_public_url(url) == url
    assert read > 300


@pytest.mark.parametrize("name", ["m.example", "a", "xn--bcher-kva.example", "192.0.2.1", "A-1.b"])
def test_a_hosts_name_is_one(name: str) -> None:
    assert is_host_name(name)


@pytest.mark.parametrize(
    "name",
    # What ends a host in an address, or the quotes around it.
    [
        "",
        "a/b",
        "a\\b",
        "a@b",
        "a?b",
        "a#b",
        "a:1",
        '"',
        "a b",
        "a\n",
        "*.a",
        "é",
        "[::1]",
        ".",
        "-",
    ],
)
def test_what_could_end_a_host_is_no_name(name: str) -> None:
    assert not is_host_name(name)
