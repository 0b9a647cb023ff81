from __future__ import annotations

import random
import string
from collections.abc import Callable

import pytest

from addon.protocol.names import (
    MAX_NAME_LENGTH,
    is_digest,
    parse_digest,
    parse_repository,
    parse_tag,
    with_official,
)

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("alpine", id="one part"),
        pytest.param("library/alpine", id="two parts"),
        pytest.param("a/b/c/d/e/f", id="many parts"),
        pytest.param("a", id="one letter"),
        pytest.param("0", id="one digit"),
        pytest.param("a.b_c__d-e---f", id="every separator"),
        # Words of the API are names like any other.
        pytest.param("manifests", id="named manifests"),
        pytest.param("blobs/uploads", id="named blobs/uploads"),
        pytest.param("tags/list", id="named tags/list"),
        pytest.param("a" * 255, id="255 characters"),
        pytest.param("a/" * 127 + "a", id="255 characters in parts"),
    ],
)
def test_a_name_by_the_grammar_is_taken_as_it_came(name: str) -> None:
    assert parse_repository(name) == name


@pytest.mark.parametrize(
    "name",
    [
        # Upper case would make two names of one on a file system without case.
        pytest.param("Alpine", id="upper case"),
        # A separator joins two words, so it stands neither first nor last nor beside another.
        pytest.param("-a", id="begins with a separator"),
        pytest.param("a-", id="ends with a separator"),
        pytest.param("a..b", id="two dots"),
        pytest.param("a___b", id="three underscores"),
        pytest.param("a._b", id="two kinds of separator"),
        # Paths that lead out of the registry.
        pytest.param("..", id="parent directory"),
        pytest.param("a/../b", id="parent directory inside"),
        pytest.param(".", id="current directory"),
        # Parts are never empty.
        pytest.param("", id="empty"),
        pytest.param("/", id="only a slash"),
        pytest.param("/a", id="slash in front"),
        pytest.param("a/", id="slash behind"),
        pytest.param("a//b", id="two slashes"),
        # What would end or extend the address that is built from the name.
        pytest.param("a?b", id="query"),
        pytest.param("a#b", id="fragment"),
        pytest.param("a%2fb", id="percent-encoding"),
        pytest.param("a:b", id="colon"),
        pytest.param("a@b", id="at sign"),
        pytest.param("a\\b", id="backslash"),
        pytest.param("a b", id="space"),
        pytest.param("a\n", id="line end behind"),
        pytest.param("a\r\nb", id="line end inside"),
        pytest.param("a\0", id="NUL"),
        # `str.isalnum` would take these.
        pytest.param("é", id="letter beyond ASCII"),
        pytest.param("\N{ARABIC-INDIC DIGIT ONE}", id="digit beyond ASCII"),
        # Longer than registries keep.
        pytest.param("a" * 256, id="256 characters"),
    ],
)
def test_a_name_against_the_grammar_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="repository name"):
        parse_repository(name)


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param("latest", id="a word"),
        pytest.param("3.20", id="a version"),
        pytest.param("_", id="an underscore in front"),
        pytest.param("A.b-C_d", id="every kind of character"),
        pytest.param("v1..2", id="two dots"),
        pytest.param("a" * 128, id="128 characters"),
    ],
)
def test_a_tag_by_the_grammar_is_taken_as_it_came(tag: str) -> None:
    assert parse_tag(tag) == tag


@pytest.mark.parametrize(
    "tag",
    [
        # Only a word character comes first, so that no tag is `..` or looks like a switch.
        pytest.param("..", id="parent directory"),
        pytest.param(".a", id="dot in front"),
        pytest.param("-a", id="hyphen in front"),
        pytest.param("", id="empty"),
        pytest.param("a" * 129, id="129 characters"),
        pytest.param("a/b", id="slash"),
        pytest.param("a?b", id="query"),
        pytest.param("a%2e", id="percent-encoding"),
        pytest.param("a+b", id="plus, which SemVer has"),
        pytest.param("a\n", id="line end"),
        pytest.param("ä", id="letter beyond ASCII"),
    ],
)
def test_a_tag_against_the_grammar_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="not a tag"):
        parse_tag(tag)


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param(SHA256, id="sha256"),
        pytest.param(SHA512, id="sha512"),
        # An algorithm that is not registered is legal, and its length is its own matter.
        pytest.param("blake3:ab_CD-09=", id="an unregistered algorithm"),
        pytest.param("multihash+base58:QmRZxt2b1FVZPNqd8hsiyk", id="the image-spec's example"),
    ],
)
def test_a_digest_by_the_grammar_is_taken_as_it_came(digest: str) -> None:
    assert parse_digest(digest) == digest
    assert is_digest(digest)


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param("", id="empty"),
        pytest.param("sha256", id="no colon"),
        pytest.param("sha256:", id="nothing encoded"),
        pytest.param(":" + "a" * 64, id="no algorithm"),
        # Two spellings of one digest would be two entries for one content.
        pytest.param("sha256:" + "A" * 64, id="upper case hex"),
        pytest.param("SHA256:" + "a" * 64, id="upper case algorithm"),
        pytest.param("sha256:" + "a" * 63, id="a digit too few"),
        pytest.param("sha256:" + "a" * 65, id="a digit too many"),
        pytest.param("sha512:" + "a" * 64, id="sha512 with the length of sha256"),
        pytest.param("sha256:" + "g" * 64, id="no hex"),
        pytest.param("sha256:" + "a" * 63 + "\n", id="line end"),
        pytest.param("sha256:../" + "a" * 61, id="parent directory"),
        pytest.param("sha256:sha256:" + "a" * 64, id="two algorithms"),
        pytest.param("a" * 200 + ":" + "a" * 55, id="256 characters"),
        # `str.isdigit` would take it.
        pytest.param("sha256:" + "\N{ARABIC-INDIC DIGIT ONE}" * 64, id="digits beyond ASCII"),
    ],
)
def test_a_digest_against_the_grammar_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        parse_digest(digest)


@pytest.mark.parametrize("parse", [parse_tag, parse_digest, parse_repository])
def test_a_refusal_does_not_repeat_a_text_of_any_length(parse: Callable[[str], str]) -> None:
    # It becomes the answer, and the log's line.
    with pytest.raises(ValueError, match=r".") as refusal:
        parse("?" * 60_000)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("latest", False), ("v1.0", False), (SHA256, True), ("sha256:short", True), (":", True)],
)
def test_only_a_digest_has_a_colon(reference: str, expected: bool) -> None:
    assert is_digest(reference) is expected


@pytest.mark.parametrize(
    ("name", "official", "expected"),
    [
        pytest.param("alpine", "library", "library/alpine", id="an official image"),
        pytest.param("library/alpine", "library", "library/alpine", id="already in full"),
        pytest.param("me/private", "library", "me/private", id="a user's image"),
        pytest.param("library", "library", "library/library", id="named as the namespace"),
        pytest.param("pause", "", "pause", id="a registry without a namespace"),
        pytest.param("a", "x/y", "x/y/a", id="a namespace of two parts"),
    ],
)
def test_the_namespace_of_official_images_is_put_before_one_part_names(
    name: str, official: str, expected: str
) -> None:
    assert with_official(name, official) == expected
    assert with_official(expected, official) == expected


def test_random_text_is_a_name_of_one_address_or_refused() -> None:
    source = random.Random(8)
    alphabet = string.ascii_letters + string.digits + "._-/:%\\ \0\n?#@é"
    for _ in range(5000):
        text = "".join(source.choices(alphabet, k=source.randint(0, 12)))
        for parse in (parse_repository, parse_tag, parse_digest):
            try:
                assert parse(text) == text
            except ValueError:
                continue
            assert not set(text) & set("%\\ \0\n?#@é")
            assert ".." not in text.split("/")
            assert 0 < len(text) <= MAX_NAME_LENGTH
