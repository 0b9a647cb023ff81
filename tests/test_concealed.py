from __future__ import annotations

import pytest

from addon.concealed import shown_fields, shown_url


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
def test_an_address_shows_no_value_that_may_open_something(url: str, expected: str) -> None:
    assert shown_url(url) == expected


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
def test_a_field_that_opens_something_is_left_out(name: str) -> None:
    assert shown_fields([(name, "word"), ("Accept", "a/b")]) == [("Accept", "a/b")]


def test_where_a_token_is_to_be_had_is_no_secret() -> None:
    challenge = ("WWW-Authenticate", 'Bearer realm="https://auth.example/token"')
    assert shown_fields([challenge]) == [challenge]


@pytest.mark.parametrize("name", ["Location", "Link", "Content-Location", "Referer"])
def test_an_address_in_a_field_is_shown_as_any_other(name: str) -> None:
    shown = shown_fields([(name, "https://cdn.example/a?Signature=word")])
    assert shown == [(name, "https://cdn.example/a?Signature=[redacted]")]
