"""How secrets are shown."""

from __future__ import annotations

import time

import pytest

from addon.redaction.redaction import (
    MAX_FORM,
    REDACTED,
    redact_field,
    redact_form,
    redact_own_fields,
    redact_own_url,
    redact_text,
    redact_url,
)
from tests.jwts import TOKEN

BASIC = "YWxpY2U6d29uZGVybGFuZA=="
BLOB = "/v2/library/alpine/blobs/sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        # The scheme says how somebody logs in, and stays.
        ("Authorization", f"Basic {BASIC}", "Basic [redacted]"),
        ("authorization", f"bearer  {TOKEN}", "bearer [redacted]"),
        ("Authorization", 'Digest username="a", response="b"', "Digest [redacted]"),
        ("Proxy-Authorization", f"Basic {BASIC}", "Basic [redacted]"),
        ("X-Forwarded-Authorization", f"Basic {BASIC}", "Basic [redacted]"),
        # A scheme that nobody knows may be a secret already.
        ("Authorization", "wonderland", REDACTED),
        ("Authorization", "wonder land", REDACTED),
        ("Authorization", "Basic", REDACTED),
        ("Authorization", "Basic ", REDACTED),
        ("Cookie", "a=b; c=d", REDACTED),
        ("Set-Cookie", "sid=1; HttpOnly", REDACTED),
        ("Set-Cookie2", "sid=1", REDACTED),
        ("X-Registry-Auth", "eyJ1c2VybmFtZSI6ImEifQ==", REDACTED),
        ("X-Registry-Config", "e30=", REDACTED),
        ("Authentication-Info", 'nextnonce="a"', REDACTED),
        ("Proxy-Authentication-Info", 'rspauth="a"', REDACTED),
        ("X-Amz-Security-Token", "a", REDACTED),
        ("PRIVATE-TOKEN", "a", REDACTED),
        ("X-Api-Key", "a", REDACTED),
        ("X-Auth-Key", "a", REDACTED),
        ("X-Access-Key", "a", REDACTED),
        ("X-Session-Id", "a", REDACTED),
        ("x" * 100 + "-Authorization", "a", REDACTED),
        # Addresses.
        ("Location", f"{BLOB}?a=b&Signature=c", f"{BLOB}?a=b&Signature=[redacted]"),
        ("Location", "https://u:p@h/a", "https://[redacted]@h/a"),
        ("Referer", "https://h/?code=a", "https://h/?code=[redacted]"),
        ("X-Original-URL", "https://h/?password=a", "https://h/?password=[redacted]"),
        ("Link", '<https://h/?token=a>; rel="next"', '<https://h/?token=[redacted]>; rel="next"'),
        ("X-Note", f"it is Basic {BASIC}", "it is Basic [redacted]"),
    ],
)
def test_a_field_that_holds_a_secret(name: str, value: str, shown: str) -> None:
    assert redact_field(name, value) == shown
    assert redact_field(name, shown) == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (
            "WWW-Authenticate",
            'Bearer realm="https://mirror.example/auth/token",service="registry.docker.io",'
            'scope="repository:library/alpine:pull",error="invalid_token"',
        ),
        ("WWW-Authenticate", 'Basic realm="me"'),
        ("Host", "registry-1.docker.io"),
        ("Accept", "application/vnd.oci.image.index.v1+json, */*;q=0.1"),
        ("User-Agent", r"docker/20.10 go/1.18 UpstreamClient(Docker-Client/20.10 \(linux\))"),
        ("ETag", '"sha256:abc"'),
        ("Docker-Content-Digest", "sha256:abc"),
        ("Range", "bytes=0-"),
        ("Location", "/v2/library/token/manifests/latest"),
        ("ratelimit-limit", "100;w=21600"),
        ("Authority", "a"),
    ],
)
def test_a_field_that_holds_none(name: str, value: str) -> None:
    assert redact_field(name, value) == value


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        # CloudFront, Amazon and whoever speaks like it, Google, Azure, Cloudflare.
        (
            "Expires=1&Signature=a%2Fb~&Key-Pair-Id=K1&Policy=c",
            "Expires=1&Signature=[redacted]&Key-Pair-Id=[redacted]&Policy=[redacted]",
        ),
        (
            "X-Amz-Algorithm=A&X-Amz-Credential=a%2Fb&X-Amz-Date=1&X-Amz-Signature=c"
            "&X-Amz-Security-Token=d&X-Amz-SignedHeaders=host",
            "X-Amz-Algorithm=A&X-Amz-Credential=[redacted]&X-Amz-Date=1&X-Amz-Signature=[redacted]"
            "&X-Amz-Security-Token=[redacted]&X-Amz-SignedHeaders=host",
        ),
        ("X-Goog-Expires=1&X-Goog-Signature=a", "X-Goog-Expires=1&X-Goog-Signature=[redacted]"),
        ("se=2024-01-01&sp=r&sig=a%3D", "se=2024-01-01&sp=r&sig=[redacted]"),
        ("verify=1700000000-a", "verify=[redacted]"),
        # Logins.
        (
            "service=registry.docker.io&scope=repository:me/app:pull&account=alice&password=a+b%26",
            "service=registry.docker.io&scope=repository:me/app:pull&account=alice"
            "&password=[redacted]",
        ),
        (
            "client_id=a&client_secret=b&code=c",
            "client_id=a&client_secret=[redacted]&code=[redacted]",
        ),
        ("access_token=a&refresh_token=b", "access_token=[redacted]&refresh_token=[redacted]"),
        # Signatures of Akamai, Alibaba, Tencent and nginx.
        (
            "hdnts=a&hdnea=b&auth_key=c&sign=d&md5=e",
            "&".join(f"{n}=[redacted]" for n in ("hdnts", "hdnea", "auth_key", "sign", "md5")),
        ),
        (
            "jwt=a&bearer=b&pw=c&access_key=d",
            "&".join(f"{n}=[redacted]" for n in ("jwt", "bearer", "pw", "access_key")),
        ),
        # As other readers read it.
        ("user[password]=a&password[]=b", "user[password]=[redacted]&password[]=[redacted]"),
        ("password%00=a&password%5B0%5D=b", "password%00=[redacted]&password%5B0%5D=[redacted]"),
        ("%70assword=a", "%70assword=[redacted]"),
        ("PASSWORD=a", "PASSWORD=[redacted]"),
        ("a=1;password=b", "a=[redacted]"),
        ("next=https%3A%2F%2Fh%3Ftoken%3Da", "next=[redacted]"),
        ("a=" + TOKEN, "a=[redacted]"),
        ("a=dckr_pat_abcdefgh-ijk", "a=[redacted]"),
        ("password=a&password=b", "password=[redacted]&password=[redacted]"),
    ],
)
def test_a_query_or_a_form_with_secrets(query: str, shown: str) -> None:
    assert redact_form(query) == shown
    assert redact_url(f"/a?{query}") == f"/a?{shown}"
    assert redact_url(f"/a?{shown}") == f"/a?{shown}"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "&&=&a&a=&=b",
        "service=registry.docker.io&scope=repository%3Alibrary/alpine%3apull&client_id=a%20b",
        "scope=repository:x-token:pull&scope=repository:me/my-secret:pull",
        "offline_token=true&token_type=Bearer&access_type=offline&grant_type=password",
        "password=&token",
        "ns=docker.io&n=10&last=a&artifactType=application/json",
        "a=%zz&%=%",
    ],
)
def test_a_query_or_a_form_without_secrets_is_left_byte_for_byte(query: str) -> None:
    assert redact_form(query) == query
    assert redact_url(f"https://h/a?{query}") == f"https://h/a?{query}"


def test_a_query_that_is_too_long_to_be_looked_through_is_not_shown() -> None:
    """Each request would cost tenths of a second in which nobody else is served."""
    assert redact_form("a=b&" * (MAX_FORM // 4)) == "a=b&" * (MAX_FORM // 4)
    assert redact_form("a=b&" * (MAX_FORM // 4) + "c") == REDACTED
    assert redact_url("/a?" + "a=b&" * MAX_FORM) == "/a?[redacted]"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://alice:wonder@land@h/a", "https://[redacted]@h/a"),
        ("https://token@h/a?b=c", "https://[redacted]@h/a?b=c"),
        (f"/v2/{TOKEN}/a", "/v2/[redacted]/a"),
        ("https://h/a@sha256:b", "https://h/a@sha256:b"),
    ],
)
def test_an_address_before_its_query(url: str, shown: str) -> None:
    assert redact_url(url) == shown


LINES = [
    # A head as it came, and as Python shows bytes.
    (f"Authorization: Basic {BASIC}\r\nHost: a", "Authorization: Basic [redacted]\r\nHost: a"),
    (
        rf"request headers: b'GET / HTTP/1.1\r\nAuthorization: Basic {BASIC[:9]}'",
        r"request headers: b'GET / HTTP/1.1\r\nAuthorization: Basic [redacted]",
    ),
    (r"b'a\r\nCookie: b=c; d=e\r\nHost: a'", r"b'a\r\nCookie: [redacted]\r\nHost: a'"),
    (r"b'a\nx-registry-auth:e30=\n'", r"b'a\nx-registry-auth:[redacted]\n'"),
    ("Cookie: a=b\r\n c=d\r\nHost: a", "Cookie: [redacted]\r\nHost: a"),
    (f"(b'Authorization', b'Basic {BASIC}')", "(b'Authorization', b'Basic [redacted]')"),
    (f'{{"Authorization": "Basic {BASIC}"}}', '{"Authorization": "Basic [redacted]"}'),
    (f"Invalid header: b'Authorization Basic {BASIC}'", "b'Authorization Basic [redacted]'"),
    # Forms, addresses, documents.
    ("grant_type=password&password=a+b&x=y", "grant_type=password&password=[redacted]&x=y"),
    ("<- https://h/a?X-Amz-Signature=b&c=d", "<- https://h/a?X-Amz-Signature=[redacted]&c=d"),
    ("<- https://h/a?b=c&sig=d", "<- https://h/a?b=c&sig=[redacted]"),
    ("cannot connect to https://u:p@h:3128/", "cannot connect to https://[redacted]@h:3128/"),
    (f'b\'{{"token": "{TOKEN}"}}\'', 'b\'{"token": "[redacted]"}\''),
    (r'"{\"token\": \"abc\"}"', r'"{\"token\": \"[redacted]\"}"'),
    ("{'refresh_token': 'a\\'b', 'x': 1}", "{'refresh_token': '[redacted]', 'x': 1}"),
    (f"jwt {TOKEN[:20]}", "jwt [redacted]"),
    ("login with dckr_pat_abcdefgh-ijk failed", "login with [redacted] failed"),
    ("password='a b'", "password='[redacted]'"),
]


@pytest.mark.parametrize(("text", "shown"), LINES)
def test_a_line_with_secrets(text: str, shown: str) -> None:
    assert shown in redact_text(text)
    assert redact_text(redact_text(text)) == redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1 GET /auth/token: 200, 5 ms <- https://auth.docker.io/token",
        "192.0.2.1 GET /v2/me/my-token/manifests/x-secret: 404, 5 ms",
        'Set for a mirror: block_global=false, connection_strategy="lazy"',
        "docxy_token_service: 'a' is no address",
        "upstream h: it asks for no token, so it has no token service",
        "no Bearer challenge, but a Basic one",
        "The last token is given on, since there is no new one: upstream h: 503",
        "A blob goes on at byte 10: upstream h: the connection broke",
        'Docker: put {"registry-mirrors": ["https://m"]} into /etc/docker/daemon.json',
        "exit code=1, key=a",
    ],
)
def test_a_line_without_secrets_is_left_as_it_is(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/v2/", "https://a.example/v2/"),
        (
            "https://auth.example/token?service=a&scope=repository:library/a:pull",
            "https://auth.example/token?service=a&scope=repository:library/a:pull",
        ),
        (
            "https://auth.example/token?account=me&x",
            "https://auth.example/token?account=[redacted]&x",
        ),
        # CloudFront's.
        (
            "https://cdn.example/a/data?Expires=17&Signature=AbC~_&Key-Pair-Id=K",
            "https://cdn.example/a/data?Expires=17&Signature=[redacted]&Key-Pair-Id=[redacted]",
        ),
        # S3's and its kin's.
        (
            "https://s3.example/a?X-Amz-Date=2&X-Amz-Expires=9&X-Amz-Credential=c&X-Amz-Signature=s",
            "https://s3.example/a?X-Amz-Date=2&X-Amz-Expires=9&X-Amz-Credential=[redacted]&X-Amz-Signature=[redacted]",
        ),
        ("https://a.example/x?sig=a%3D=b", "https://a.example/x?sig=[redacted]"),
        ("https://me:word@a.example/x", "https://a.example/x"),
        ("/v2/a/tags/list?n=5&last=b", "/v2/a/tags/list?n=5&last=b"),
        # What a client sends goes on in it.
        ("/t?scope=repository:a:pull;password=b", "/t?scope=[redacted]"),
        ("/t?scope=repository:a:pull%23token%3Db&n=1", "/t?scope=[redacted]&n=1"),
        (
            "https://a.example/v2/a/manifests/ghp_abcdefgh12",
            "https://a.example/v2/a/manifests/[redacted]",
        ),
    ],
)
def test_an_address_of_the_mirrors_own_shows_no_value_that_may_open_something(
    url: str, expected: str
) -> None:
    assert redact_own_url(url) == expected


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Registry-Auth",
        "X-Amz-Security-Token",
        "x-ms-signature",
        "X-Api-Key",
    ],
)
def test_an_own_field_that_opens_something_is_left_out(name: str) -> None:
    assert redact_own_fields([(name, "word"), ("Accept", "a/b")]) == [("Accept", "a/b")]


def test_where_a_token_is_to_be_had_is_no_secret() -> None:
    challenge = ("WWW-Authenticate", 'Bearer realm="https://auth.example/token"')
    assert redact_own_fields([challenge]) == [challenge]


@pytest.mark.parametrize("name", ["Location", "Link", "Content-Location", "Referer"])
def test_an_own_address_in_a_field_is_shown_as_any_other(name: str) -> None:
    shown = redact_own_fields([(name, "https://cdn.example/a?Signature=word")])
    assert shown == [(name, "https://cdn.example/a?Signature=[redacted]")]


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "-", "=", "a=", "token", "auth-", "Authorization: ", "eyJ", "://", '"token":"'),
        *("Authorization:\n ", "a.", '\\"a\\":\\"', "&a=", "://a", "a-b-", "basic "),
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (64 * 1024 // len(piece))
    begun = time.process_time()
    redact_text(text)
    redact_url(f"/?{text}")
    redact_field(text, text)
    assert time.process_time() - begun < 2  # it takes a tenth
