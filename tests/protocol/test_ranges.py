from __future__ import annotations

import pytest

from addon.protocol.ranges import Sent, Wanted, parse_sent, parse_wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        pytest.param("bytes=0-", Wanted(), id="all"),
        pytest.param("bytes=0-0", Wanted(0, 0), id="the first byte"),
        pytest.param("bytes=5-5", Wanted(5, 5), id="one byte"),
        pytest.param("bytes=10-99", Wanted(10, 99), id="a part"),
        pytest.param("bytes=99-", Wanted(99), id="from a byte on"),
        pytest.param(" bytes=1-2 ", Wanted(1, 2), id="blanks around it"),
        pytest.param("Bytes=1-2", Wanted(1, 2), id="the unit in another case"),
        pytest.param("bytes=" + "9" * 18 + "-", Wanted(10**18 - 1), id="largest"),
    ],
)
def test_one_range_from_a_byte_on_is_read(value: str, wanted: Wanted) -> None:
    assert parse_wanted(value) == wanted


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(0, 0), Wanted(7, 8), Wanted(3)])
def test_what_is_asked_is_read_back(wanted: Wanted) -> None:
    name, value = wanted.field
    assert name == "Range"
    assert parse_wanted(value) == wanted


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="none"),
        pytest.param("bytes=-5", id="the last bytes"),
        pytest.param("bytes=-", id="nothing"),
        pytest.param("bytes=5-4", id="backwards"),
        pytest.param("bytes=0-1,3-4", id="several"),
        pytest.param("bytes=0-1, ", id="a list of one"),
        pytest.param("items=0-1", id="another unit"),
        pytest.param("bytes=+1-2", id="a sign"),
        pytest.param("bytes=1 - 2", id="blanks in it"),
        pytest.param("bytes=\u0661-2", id="digits that are not ASCII"),
        pytest.param("bytes=" + "9" * 19 + "-", id="more digits than any blob has bytes"),
        pytest.param("bytes=0-1\nX: y", id="a second line"),
    ],
)
def test_every_other_range_is_left_to_the_upstream(value: str) -> None:
    assert parse_wanted(value) is None


@pytest.mark.parametrize("sent", [Sent(0, 0, 1), Sent(0, 9, 10), Sent(5, 7, 100)])
def test_what_was_sent_is_read_back(sent: Sent) -> None:
    assert parse_sent(sent.value) == sent


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="none"),
        pytest.param("bytes */10", id="none of it"),
        pytest.param("bytes 0-9/*", id="no length"),
        pytest.param("bytes 5-4/10", id="backwards"),
        pytest.param("bytes 0-10/10", id="beyond the end"),
        pytest.param("bytes 10-10/10", id="after the end"),
        pytest.param("bytes 0-0/0", id="of nothing"),
        pytest.param("items 0-1/2", id="another unit"),
        pytest.param("0-1/2", id="no unit"),
        pytest.param("bytes 0-1/2/3", id="more than it has"),
        pytest.param("bytes \u0660-1/2", id="digits that are not ASCII"),
    ],
)
def test_what_says_no_part_of_a_whole_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is not a range"):
        parse_sent(value)
