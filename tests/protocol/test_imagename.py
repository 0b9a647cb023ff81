from __future__ import annotations

import random

import pytest

from addon.protocol.imagename import ImageName, parse_image_name

DIGEST = "sha256:" + 64 * "a"


def check_host(host: str) -> None:
    if host not in ("docker.io", "mirror.example:8443", "localhost"):
        raise ValueError(f"not {host}")


@pytest.mark.parametrize(
    ("text", "repository", "reference"),
    [
        ("alpine", "alpine", "latest"),
        ("alpine:3.20", "alpine", "3.20"),
        ("library/alpine:3.20", "library/alpine", "3.20"),
        ("a/b/c", "a/b/c", "latest"),
        (f"alpine@{DIGEST}", "alpine", DIGEST),
        pytest.param(f"alpine:3@{DIGEST}", "alpine", DIGEST, id="the digest counts"),
        ("docker.io/alpine", "alpine", "latest"),
        ("mirror.example:8443/me/app:1", "me/app", "1"),
        ("localhost/me/app", "me/app", "latest"),
        pytest.param("localhosts/app", "localhosts/app", "latest", id="no host"),
    ],
)
def test_a_name_as_users_write_it(text: str, repository: str, reference: str) -> None:
    assert parse_image_name(text, check_host) == ImageName(repository, reference)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a repository name"),
        ("Alpine", "is not a repository name"),
        ("alpine:", "is not a tag"),
        ("alpine:a b", "is not a tag"),
        ("alpine:1:2", "is not a"),
        ("alpine@", "is not a digest"),
        ("alpine@sha256:abc", "64 lower case hex digits"),
        ("alpine:/", "not alpine:"),
        ("../etc/passwd", "not .."),
        ("ghcr.io/me/app", "not ghcr.io"),
        ("docker.io/", "is not a repository name"),
        ("https://docker.io/alpine", "not https:"),
        ("a/" * 200 + "b", "at most 255"),
        ("alpine\n", "is not a repository name"),
    ],
)
def test_what_is_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        parse_image_name(text, check_host)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["alpine:latest", "a/b:1", f"a/b@{DIGEST}"])
def test_it_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_image_name(text, check_host)) == text


def test_of_anything_else_only_a_value_error_comes() -> None:
    noise = random.Random(1)
    for _ in range(2000):
        text = "".join(noise.choice("aA0/:@.-_ \n%é") for _ in range(noise.randrange(20)))
        try:
            name = parse_image_name(text, check_host)
        except ValueError:
            continue
        assert parse_image_name(str(name), check_host) == name
