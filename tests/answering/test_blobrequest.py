from __future__ import annotations

import pytest

from addon.answering.blobrequest import BlobRequest
from addon.memory.sharing import EVERYONE, BlobKey, Reader
from addon.protocol.asked import Asked
from addon.protocol.ranges import Sent, Wanted
from addon.protocol.registry import Registry
from addon.protocol.reply import MemoryBody
from addon.protocol.routes import Blob

DIGEST = "sha256:" + "0" * 64
REALM = "https://mirror.example/auth/token"
REGISTRY = Registry("https://r.example")


def request(*fields: tuple[str, str]) -> BlobRequest:
    asked = Asked("GET", fields, REALM)
    return BlobRequest.of(Blob("a", DIGEST), asked, Reader(EVERYONE), "library/a")


def test_is_remembered_for_its_audience_under_the_upstreams_name() -> None:
    assert request().key == BlobKey(EVERYONE, "library/a", DIGEST)
    assert request().name == "library/a"


@pytest.mark.parametrize(
    ("asked", "wanted", "first", "is_whole", "is_plain"),
    [
        pytest.param("", None, 0, True, True, id="the whole"),
        pytest.param("bytes=0-", Wanted(), 0, True, True, id="the whole as a range"),
        pytest.param("bytes=5-9", Wanted(5, 9), 5, False, True, id="a part"),
        pytest.param("bytes=0-9", Wanted(0, 9), 0, False, True, id="the first part"),
        pytest.param("bytes=-5", None, 0, True, False, id="the last bytes"),
        pytest.param("bytes=0-1,5-6", None, 0, True, False, id="several parts"),
    ],
)
def test_what_a_range_wants(
    asked: str, wanted: Wanted | None, first: int, is_whole: bool, is_plain: bool
) -> None:
    ranged = request(("Range", asked)) if asked else request()
    assert (ranged.wanted, ranged.first) == (wanted, first)
    assert (ranged.is_whole, ranged.is_plain) == (is_whole, is_plain)


@pytest.mark.parametrize(
    "name",
    ["If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since"],
)
def test_a_condition_makes_it_another_request(name: str) -> None:
    assert not request((name, "x")).is_plain


def test_the_registry_is_shown_no_credentials_by_it() -> None:
    shown = request(("Authorization", "Bearer x"), ("Range", "bytes=0-1")).fields
    assert ("Range", "bytes=0-1") in shown
    assert "authorization" not in [name.lower() for name, _ in shown]


@pytest.mark.parametrize(
    ("asked", "status", "ranges"),
    [
        pytest.param([], 200, [], id="the whole"),
        pytest.param([("Range", "bytes=5-9")], 206, ["bytes 5-9/100"], id="a part"),
    ],
)
def test_the_answers_head_fits_what_was_asked_for(
    asked: list[tuple[str, str]], status: int, ranges: list[str]
) -> None:
    given = [
        ("Content-Length", "7"),
        ("Content-Range", "bytes 0-6/7"),
        ("ETag", '"a"'),
        ("docker-content-digest", "sha256:other"),
    ]
    reply = request(*asked).reply(REGISTRY, given, Sent(5, 9, 100), MemoryBody(b"bytes"))
    assert (reply.status, reply.length) == (status, 5)
    fields = {name.lower(): value for name, value in reply.fields}
    assert fields["docker-content-digest"] == DIGEST
    assert fields["etag"] == '"a"'
    assert "content-length" not in fields
    assert [v for n, v in reply.fields if n.lower() == "content-range"] == ranges
