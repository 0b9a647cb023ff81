from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from addon.inspection.waterfall import Bar, Picture, Served
from addon.inspection.waterfallpage import page

BAR = Bar("GET alpine:1", ("network",), 100.0, 0.1, 0.3, 0.5)
HOSTILE = "\"><script>alert('x')</script>&amp;"


class Tags(HTMLParser):
    """All tags, and whether each is ended by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def shown(*served: Served) -> str:
    return page([Picture(100.0, 101.0, served)])


def places(text: str) -> list[tuple[str, ...]]:
    return re.findall(r'<i class="([a-z ]+)" style="left:([\d.]+)%;width:([\d.]+)%">', text)


def test_the_parts_of_a_bar_have_their_colours_and_places() -> None:
    assert places(shown(Served(BAR, ()))) == [
        ("waited", "0.000", "10.000"),
        ("first", "10.000", "20.000"),
        ("rest", "30.000", "20.000"),
    ]


def test_a_new_connection_is_marked_once_and_a_part_that_took_no_time_is_left_out() -> None:
    bar = replace(BAR, began=100.5, waited=0.0, is_new=True)
    assert places(shown(Served(None, (bar,)))) == [
        ("first new", "50.000", "30.000"),
        ("rest", "80.000", "20.000"),
    ]


def test_a_request_that_has_just_begun_has_a_bar_too() -> None:
    bar = replace(BAR, waited=0.0, first_byte=0.0, whole=0.0, is_open=True)
    text = shown(Served(bar, ()))
    assert places(text) == [("rest open", "0.000", "0.000")]
    assert "on its way" in text


def test_what_is_said_beside_a_bar() -> None:
    own = replace(BAR, label="manifest registry.example", failure="answered 404")
    tags = read(shown(Served(BAR, (own,))))
    for text in (
        "GET alpine:1",
        "network",
        "500 ms",
        "failed: answered 404",
        "1970-01-01 00:01:40",
    ):
        assert text in tags.text


@pytest.mark.parametrize("name", ["label", "failure", "notes"])
def test_a_hostile_name_is_text(name: str) -> None:
    value = (HOSTILE,) if name == "notes" else HOSTILE
    bar = replace(BAR, **{name: value})  # type: ignore[arg-type]
    tags = read(shown(Served(bar, (bar,))))
    assert tags.text.count(HOSTILE) == 2
    assert "script" not in tags.seen


def test_nothing_is_loaded_and_nothing_runs() -> None:
    text = shown(Served(BAR, (BAR,)))
    tags = read(text)
    assert tags.seen <= {
        *("html", "head", "meta", "title", "style", "body"),
        *("h1", "h2", "p", "i", "div", "span", "small"),
    }
    assert tags.attributes.isdisjoint({"src", "href", "onclick", "onload"})
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_a_time_that_is_none_is_no_failure() -> None:
    bar = replace(BAR, began=1e15)
    assert "at an unknown time" in page([Picture(1e15, 1e15, (Served(bar, ()),))])
