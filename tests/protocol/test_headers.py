from __future__ import annotations

import random

import pytest

from addon.protocol.headers import (
    rewrite_link,
    to_client,
    to_registry,
    to_token_service,
    without_authorization,
)

BASE = "https://r.example/v2/a/tags/list?n=1"
REALM = "https://mirror.example/auth/token"
IDENTITY = ("Accept-Encoding", "identity")

CREDENTIALS = ("Authorization", "Bearer abc")
ACCEPT = ("Accept", "application/vnd.oci.image.index.v1+json, */*;q=0.1")
AGENT = ("User-Agent", "docker/29.0.0")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


def client_fields(*fields: tuple[str, str]) -> list[tuple[str, str]]:
    return to_client(fields, base=BASE, realm=REALM, service="s")


@pytest.mark.parametrize(
    "field",
    [
        ACCEPT,
        CREDENTIALS,
        AGENT,
        ("Range", "bytes=0-99"),
        ("If-Match", '"a"'),
        ("If-None-Match", '"a"'),
        ("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("If-Range", '"a"'),
        ("ACCEPT", "spelt otherwise"),
        ("range", ""),
    ],
)
def test_what_names_content_and_asker_reaches_the_registry(field: tuple[str, str]) -> None:
    assert to_registry([field]) == [field, IDENTITY]


@pytest.mark.parametrize(
    "name",
    [
        # A compressed answer fits neither length nor digest.
        "Accept-Encoding",
        # Of this connection, or of its framing.
        *("Host", "Connection", "Content-Length", "Transfer-Encoding", "TE", "Upgrade", "Expect"),
        # For proxies; the first would give a proxy's password to the registry.
        *("Proxy-Authorization", "Proxy-Connection", "Max-Forwards", "Via"),
        # Who the client is concerns nobody upstream.
        *("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Cookie", "Referer"),
        *("Origin", "X-Meta-Source-Client", "Content-Type", "Authorization2", "X-If-Match"),
    ],
)
def test_nothing_else_reaches_the_registry(name: str) -> None:
    assert to_registry([(name, "x"), ACCEPT]) == [ACCEPT, IDENTITY]


def test_repeated_fields_keep_their_order() -> None:
    fields = [("Accept", "a"), AGENT, ("accept", "b"), ("Accept", "c")]
    assert to_registry(fields) == [*fields, IDENTITY]


def test_the_token_service_gets_credentials_and_what_a_form_is() -> None:
    fields = [FORM, CREDENTIALS, ("Cookie", "x"), AGENT, ("Range", "x"), ("If-Match", "x"), ACCEPT]
    assert to_token_service(fields) == [FORM, CREDENTIALS, AGENT, ACCEPT, IDENTITY]


def test_every_authorization_is_left_out_for_another_host() -> None:
    fields = [CREDENTIALS, ACCEPT, ("AUTHORIZATION", "Basic eDp5"), ("Range", "x")]
    assert without_authorization(fields) == [ACCEPT, ("Range", "x")]


@pytest.mark.parametrize(
    "field",
    [
        ("Content-Type", "application/vnd.oci.image.manifest.v1+json"),
        ("Docker-Content-Digest", "sha256:abc"),
        ("ETag", '"sha256:abc"'),
        ("Content-Range", "bytes 0-9/10"),
        ("Accept-Ranges", "bytes"),
        ("ratelimit-remaining", "76;w=21600"),
        ("docker-ratelimit-source", "192.0.2.1"),
        ("Retry-After", "5"),
        ("OCI-Subject", "sha256:abc"),
        ("OCI-Filters-Applied", "artifactType"),
        ("X-Odd", ""),
        ("X-Latin", "\xe9"),
    ],
)
def test_an_upstreams_fields_reach_the_client(field: tuple[str, str]) -> None:
    assert client_fields(field) == [field]
    assert client_fields(field, field) == [field, field]


@pytest.mark.parametrize(
    "name",
    [
        # Of the upstream's connection (RFC 9110, section 7.6.1), and of its framing.
        *("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding"),
        *("Upgrade", "Proxy-Authenticate", "Proxy-Authentication-Info", "Content-Length"),
        # These speak for the upstream's host, and would bind the mirror's.
        *("Set-Cookie", "Set-Cookie2", "Strict-Transport-Security", "Alt-Svc"),
        # A browser would follow it; no client of registries knows it.
        "Refresh",
    ],
)
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_what_is_of_the_upstreams_connection_or_host_is_dropped(
    name: str, spell: type[str]
) -> None:
    assert client_fields((spell(name), "x"), ("X-Kept", "y"), (name, "z")) == [("X-Kept", "y")]


@pytest.mark.parametrize(
    ("connection", "dropped"),
    [
        pytest.param(["X-A"], {"X-A"}, id="one"),
        pytest.param(["x-a, X-B"], {"X-A", "X-B"}, id="two, without case"),
        pytest.param([" ,X-A,,\tX-B ,"], {"X-A", "X-B"}, id="empty elements"),
        pytest.param(["close", "X-B"], {"X-B"}, id="in the second field"),
        pytest.param(["close"], set(), id="none"),
        pytest.param([""], set(), id="empty"),
        pytest.param(["X-A X-B"], set(), id="what is no list names nothing"),
    ],
)
def test_what_connection_names_is_dropped(connection: list[str], dropped: set[str]) -> None:
    fields = [("X-A", "1"), *(("Connection", value) for value in connection), ("X-B", "2")]
    kept = [(name, value) for name, value in client_fields(*fields)]
    assert {name for name, _ in kept} == {"X-A", "X-B"} - dropped


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param("/v2/a/manifests/x", "/v2/a/manifests/x", id="a path"),
        pytest.param("https://r.example/v2/b?c=%2f", "/v2/b?c=%2f", id="the same origin"),
        pytest.param("https://R.EXAMPLE:443/v2/b", "/v2/b", id="the same origin, spelt otherwise"),
        pytest.param("list?n=2", "/v2/a/tags/list?n=2", id="relative"),
        pytest.param("https://cdn.example/x?Signature=s", None, id="foreign"),
        pytest.param("//cdn.example/x", None, id="foreign without a scheme"),
        pytest.param("http://r.example/v2/b", None, id="downgraded"),
        pytest.param("https://r.example//cdn.example/x", None, id="foreign once it is a path"),
        pytest.param("https://r.example:x/", None, id="unreadable"),
    ],
)
@pytest.mark.parametrize("name", ["LOCATION", "Content-Location"])
def test_a_location_names_the_mirror_or_is_dropped(
    name: str, location: str, expected: str | None
) -> None:
    assert client_fields((name, location)) == ([(name, expected)] if expected else [])


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        pytest.param(
            '</v2/a/tags/list?last=b&n=1>; rel="next"',
            '</v2/a/tags/list?last=b&n=1>; rel="next"',
            id="a path",
        ),
        pytest.param(
            '<https://r.example/v2/a/tags/list?last=b>; rel="next"',
            '</v2/a/tags/list?last=b>; rel="next"',
            id="absolute",
        ),
        pytest.param("<?last=b>;rel=next", "</v2/a/tags/list?last=b>;rel=next", id="a query"),
        pytest.param("<list?last=b>", "</v2/a/tags/list?last=b>", id="relative, no parameter"),
        pytest.param(
            "</a,b?x=1,2>; rel=next, </c>; rel=prev",
            "</a,b?x=1,2>; rel=next, </c>; rel=prev",
            id="two, with commas in one",
        ),
        pytest.param(
            '</a>;rel="next",<https://cdn.example/b>;rel="alternate" , </c>',
            '</a>;rel="next", </c>',
            id="a foreign one between two",
        ),
        pytest.param("<https://cdn.example/b>; rel=next", "", id="a foreign one alone"),
        pytest.param("<//cdn.example/b>; rel=next", "", id="a foreign one without a scheme"),
        pytest.param("<https://r.example//cdn.example/b>", "", id="foreign once it is a path"),
        pytest.param(
            '</a>; title="b, c"; rel=next, </d>',
            '</a>; title="b, c"; rel=next, </d>',
            id="a comma in quotes",
        ),
        pytest.param(
            '</a>; title="1 < 2 <https://cdn.example/x>"; rel=next, </d>',
            '</a>; title="1 < 2 <https://cdn.example/x>"; rel=next, </d>',
            id="angle brackets in quotes",
        ),
        pytest.param(
            '</a>; title="\\"<b>"; rel=next', '</a>; title="\\"<b>"; rel=next', id="escaped quotes"
        ),
        pytest.param("", "", id="empty"),
        pytest.param("/v2/a; rel=next", "", id="no angle brackets"),
        pytest.param("</v2/a; rel=next", "", id="a bracket that does not close"),
        pytest.param("<https://[::1>; rel=next", "", id="unreadable"),
    ],
)
def test_links_name_the_mirror_or_are_dropped(link: str, expected: str) -> None:
    assert rewrite_link(link, BASE) == expected
    assert client_fields(("Link", link)) == ([("Link", expected)] if expected else [])


def test_several_link_fields_are_rewritten_each() -> None:
    fields = [
        ("Link", "<https://r.example/a>"),
        ("link", "<https://cdn.example/b>"),
        ("Link", "<c>"),
    ]
    assert client_fields(*fields) == [("Link", "</a>"), ("Link", "</v2/a/tags/c>")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            ['Bearer realm="https://u.example/t",service="s",error="x"'],
            [f'Bearer realm="{REALM}",service="s",error="x"'],
            id="one",
        ),
        pytest.param(
            ['Bearer realm="https://u.example/1"', 'Basic realm="b"'],
            [f'Bearer realm="{REALM}"', 'Basic realm="b"'],
            id="two fields",
        ),
        pytest.param(
            ['Basic realm="b", Bearer realm="https://u.example/1"'],
            ['Basic realm="b"', f'Bearer realm="{REALM}"'],
            id="two challenges in one field",
        ),
        pytest.param(
            ['Basic realm="https://u.example/"'],
            ['Basic realm="https://u.example/"'],
            id="a label that looks like an address",
        ),
        # What cannot be read may name the upstream, so a challenge of our own replaces it all.
        pytest.param(
            ['Bearer realm="https://u.example/1'],
            [f'Bearer realm="{REALM}",service="s"'],
            id="junk",
        ),
        pytest.param(
            ['Basic realm="b"', '="https://u.example/1"'],
            [f'Bearer realm="{REALM}",service="s"'],
            id="junk beside a good one",
        ),
        pytest.param([], [], id="none"),
    ],
)
def test_challenges_name_the_mirror(values: list[str], expected: list[str]) -> None:
    fields = [("www-authenticate", value) for value in values]
    assert client_fields(("X-A", "1"), *fields) == [
        ("X-A", "1"),
        *(("WWW-Authenticate", value) for value in expected),
    ]


def test_no_upstream_is_named_where_a_client_would_follow() -> None:
    source = random.Random(8)
    pieces = [
        "https://evil.example",
        "//evil.example",
        "/",
        "\\",
        "<",
        ">",
        ",",
        ";",
        '"',
        "a",
        ":",
    ]
    kept = 0
    for _ in range(6000):
        value = "".join(source.choices(pieces, k=source.randint(0, 7)))
        for _name, path in client_fields(("Location", value)):
            kept += 1
            assert path.startswith("/"), value
            assert not path.startswith(("//", "/\\")), value
        for _name, link in client_fields(("Link", f"<{value}>; rel=next")):
            kept += 1
            assert link.startswith("</"), value
            assert not link.startswith(("<//", "</\\")), value
    assert kept > 2000
