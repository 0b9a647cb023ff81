from __future__ import annotations

import hashlib

import pytest

from addon.protocol.digests import DigestCheck, is_digest_of, is_known_digest

CONTENT = b"a layer"
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
SHA512 = f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"


@pytest.mark.parametrize(
    ("digest", "expected"), [(SHA256, True), (SHA512, True), ("blake3:abc", False), ("", False)]
)
def test_what_content_can_be_checked_by(digest: str, expected: bool) -> None:
    assert is_known_digest(digest) is expected


@pytest.mark.parametrize(
    ("digest", "content", "expected"),
    [
        (SHA256, CONTENT, True),
        (SHA512, bytearray(CONTENT), True),
        (SHA256, b"A layer", False),
        (SHA256.upper(), CONTENT, False),
        (SHA256.removeprefix("sha256:"), CONTENT, False),
        ("blake3:00", CONTENT, False),
        ("", b"", False),
    ],
)
def test_content_is_its_digests(digest: str, content: bytes, expected: bool) -> None:
    assert is_digest_of(digest, content) is expected


@pytest.mark.parametrize("digest", [SHA256, SHA512])
def test_content_in_pieces_is_its_digests_once_it_is_whole(digest: str) -> None:
    check = DigestCheck(digest)
    check.take(CONTENT[:3])
    assert not check.is_right
    check.take(CONTENT[3:])
    assert (check.is_right, check.found) == (True, digest)
    check.take(b"x")
    assert not check.is_right
