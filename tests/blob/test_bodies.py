from __future__ import annotations

import hashlib

import pytest

from addon.blob.bodies import VerifiedBody, blob_body, blob_length
from addon.protocol.reply import Body, BrokenTransfer, MemoryBody
from tests.outbounds import NotedBody, answer

CONTENT = b"a layer"
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
SHA512 = "sha512:" + hashlib.sha512(CONTENT).hexdigest()


class Chunks(MemoryBody):
    """A body in given chunks."""

    def __init__(self, *chunks: bytes) -> None:
        super().__init__(b"".join(chunks))
        self._chunks = list(chunks)

    async def read(self) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""


async def read_all(body: Body) -> bytes:
    content = b""
    while chunk := await body.read():
        content += chunk
    return content


@pytest.mark.parametrize("digest", [SHA256, SHA512])
@pytest.mark.parametrize("chunks", [[CONTENT], [b"a ", b"lay", b"er"]], ids=["whole", "in chunks"])
async def test_a_whole_blob_ends_cleanly(digest: str, chunks: list[bytes]) -> None:
    body = VerifiedBody(Chunks(*chunks), digest)
    assert await read_all(body) == CONTENT
    assert await body.read() == b""


@pytest.mark.parametrize("digest", [SHA256, SHA512])
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"a lay"], id="broken off"),
        pytest.param([CONTENT, b"\0"], id="more than all"),
        pytest.param([b"A", CONTENT[1:]], id="a flipped bit"),
    ],
)
async def test_any_other_content_ends_as_a_broken_transfer(
    digest: str, chunks: list[bytes]
) -> None:
    body = VerifiedBody(Chunks(*chunks), digest)
    for chunk in chunks:
        assert await body.read() == chunk
    for _ in range(2):
        with pytest.raises(BrokenTransfer, match=digest):
            await body.read()


def test_closing_a_verified_body_closes_the_transfer() -> None:
    inner = NotedBody(CONTENT)
    VerifiedBody(inner, SHA256).close()
    assert inner.closings == 1


def test_only_a_body_whose_end_says_nothing_is_verified() -> None:
    assert isinstance(blob_body(answer(200, closes_to_end=True), SHA256), VerifiedBody)
    assert isinstance(blob_body(answer(200, closes_to_end=True), SHA512), VerifiedBody)


@pytest.mark.parametrize(
    ("status", "closes_to_end", "digest"),
    [
        pytest.param(200, False, SHA256, id="a length or chunks say where it ends"),
        # A part of a blob has no digest.
        pytest.param(206, True, SHA256, id="a part"),
        pytest.param(404, True, SHA256, id="an error's text"),
        pytest.param(200, True, "blake3:abc", id="an algorithm that is not known"),
    ],
)
def test_every_other_body_is_passed_on_as_it_is(
    status: int, closes_to_end: bool, digest: str
) -> None:
    upstream = answer(status, closes_to_end=closes_to_end)
    assert blob_body(upstream, digest) is upstream.body


@pytest.mark.parametrize(
    ("content_range", "expected"),
    [
        pytest.param("bytes 0-9/100", 10, id="the first ten"),
        pytest.param("bytes 99-99/100", 1, id="the last one"),
        pytest.param("bytes 5-9/*", 5, id="of an unknown whole"),
        # What tells no length (RFC 9110, section 14.4), or a wrong one.
        pytest.param("bytes */100", None, id="not satisfied"),
        pytest.param("bytes 9-0/100", None, id="backwards"),
        pytest.param("bytes 0-9", None, id="no whole"),
        pytest.param("items 0-9/100", None, id="another unit"),
        pytest.param("bytes 0-9/100, bytes 20-29/100", None, id="two"),
        pytest.param("bytes -1-9/100", None, id="negative"),
        pytest.param("bytes 0-\N{ARABIC-INDIC DIGIT NINE}/100", None, id="a digit beyond ASCII"),
        pytest.param(f"bytes 0-{'9' * 5000}/*", None, id="a number without an end"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_part_without_framing_is_as_long_as_its_range(
    content_range: str, expected: int | None
) -> None:
    part = answer(206, ("Content-Range", content_range), closes_to_end=True)
    assert blob_length(part) == expected


@pytest.mark.parametrize(
    ("status", "closes_to_end", "expected"),
    [
        pytest.param(206, False, 7, id="a part with framing"),
        pytest.param(200, True, None, id="a whole without framing"),
        pytest.param(416, True, None, id="no part"),
    ],
)
def test_every_other_length_is_the_framings(
    status: int, closes_to_end: bool, expected: int | None
) -> None:
    field = ("Content-Range", "bytes 0-99/100")
    upstream = answer(status, field, content=CONTENT, closes_to_end=closes_to_end)
    assert blob_length(upstream) == expected
