from __future__ import annotations

import pytest

from addon.blob.sameobject import SameObject, sent_of
from addon.outbound.received import Answer
from addon.protocol.errors import UpstreamFailure
from addon.protocol.ranges import Sent, Wanted
from tests.outbounds import answer, closings

CONTENT = bytes(range(100))
ETAG = ("ETag", '"a"')


def part(first: int, last: int, *fields: tuple[str, str], total: int = 100) -> Answer:
    said = ("Content-Range", f"bytes {first}-{last}/{total}")
    return answer(206, said, *fields, content=CONTENT[first : last + 1])


def an_object(*fields: tuple[str, str]) -> SameObject:
    noted = SameObject()
    noted.note(answer(206, *fields), 100)
    return noted


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        pytest.param(part(10, 19), [], id="a part"),
        pytest.param(part(10, 99), [], id="more of it"),
        pytest.param(part(10, 19, ETAG), [ETAG], id="with the same tag"),
        pytest.param(part(10, 19), [ETAG], id="without a tag"),
        pytest.param(part(0, 99), [], id="from the first byte on"),
        pytest.param(answer(200, content=CONTENT), [], id="the whole"),
    ],
)
async def test_a_part_begins_with_what_was_asked_for(
    given: Answer, fields: list[tuple[str, str]]
) -> None:
    body = an_object(*fields).part(given, Wanted(10, 19), "cdn")
    chunk = await body.read()
    assert chunk[:10] == CONTENT[10:20]
    assert closings([given]) == [0]


@pytest.mark.parametrize(
    ("given", "fields", "reason"),
    [
        pytest.param(answer(503), [], "it answered 503", id="none at all"),
        pytest.param(answer(206, content=b"x"), [], "it answered 206", id="it says not which"),
        pytest.param(part(10, 19, total=101), [], "another object", id="another length"),
        pytest.param(part(10, 19, ("ETag", '"b"')), [ETAG], "another object", id="another tag"),
        pytest.param(part(5, 19), [], "another part", id="another part"),
    ],
)
async def test_anything_else_is_refused_and_closed(
    given: Answer, fields: list[tuple[str, str]], reason: str
) -> None:
    with pytest.raises(UpstreamFailure, match=reason):
        an_object(*fields).part(given, Wanted(10, 19), "cdn")
    assert closings([given]) == [1]


async def test_the_first_tag_that_is_seen_is_that_of_all() -> None:
    noted = an_object()
    noted.part(part(0, 9, ETAG), Wanted(0, 9), "cdn")
    with pytest.raises(UpstreamFailure, match="another object"):
        noted.part(part(10, 19, ("ETag", '"b"')), Wanted(10, 19), "cdn")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (answer(200, content=CONTENT), Sent(0, 99, 100)),
        (answer(200), None),
        (answer(200, closes_to_end=True), None),
        (part(10, 19), Sent(10, 19, 100)),
        (answer(206, ("Content-Range", "bytes 1-2/*"), content=b"ab"), None),
        (answer(404, content=b"no"), None),
    ],
    ids=["whole", "empty", "without a length", "a part", "of what length", "an error"],
)
def test_which_bytes_an_answer_holds(given: Answer, sent: Sent | None) -> None:
    assert sent_of(given) == sent
