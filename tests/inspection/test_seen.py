from __future__ import annotations

import pytest

from addon.inspection.seen import (
    MAX_SHOWN,
    MOST,
    ClientRequest,
    Facts,
    OwnRequest,
    Sendings,
    number,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(0, 0.0, id="nothing"),
        pytest.param(1.5, 1.5, id="seconds"),
        pytest.param(-1, None, id="before the beginning"),
        pytest.param(float("nan"), None, id="no number"),
        pytest.param(float("inf"), None, id="without an end"),
        pytest.param(MOST * 10, None, id="more than there is"),
        pytest.param(10**400, None, id="more than a float holds"),
        pytest.param(True, None, id="a truth"),
        pytest.param("1", None, id="a text"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_a_number(value: object, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("alpine", "alpine", id="a name"),
        pytest.param("a\x1b[2J\nb", "a\\x1b[2J\\nb", id="what a terminal obeys"),
        pytest.param("a" * (MAX_SHOWN + 1), "a" * MAX_SHOWN + "…", id="a long one"),
        pytest.param(b"alpine", "", id="bytes"),
        pytest.param(["alpine"], "", id="a list"),
    ],
)
def test_a_text(value: object, expected: str) -> None:
    assert Facts({"what": value}).text("what") == expected


def test_a_list_keeps_its_texts_alone() -> None:
    assert Facts({"a": ["x", 1, None, "y"], "b": "x"}).texts("a") == ["x", "y"]
    assert Facts({"b": "x"}).texts("b") == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://registry.example/v2/", "registry.example"),
        ("https://me:secret@[::1]:5000/v2/", "[::1]:5000"),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_a_host(url: str, host: str) -> None:
    assert Facts({"url": url}).host == host


def own(began: float, cause: str, story: str = "") -> OwnRequest:
    return OwnRequest(Facts({"began": began, "cause": cause, "story": story or cause}))


def client(**facts: object) -> ClientRequest:
    return ClientRequest(Facts({str(name): value for name, value in facts.items()}), 0.0)


MANIFEST = own(3, "r-1")
AHEAD = own(2, "r-1", "r-2")
CLAIMED = own(4, "r-3", "r-2")
OTHER = own(1, "r-9")
NOBODYS = own(5, "")
ALL = Sendings([MANIFEST, AHEAD, CLAIMED, OTHER, NOBODYS])


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({"id": "r-1"}, [AHEAD, MANIFEST], id="because of it"),
        pytest.param({"id": "r-3", "ahead": "r-2"}, [AHEAD, CLAIMED], id="begun ahead, and on"),
        pytest.param({"id": "r-4", "waited_for": ["r-9"]}, [OTHER], id="another's"),
        pytest.param({"id": "r-5"}, [], id="nothing"),
        pytest.param({"id": "", "ahead": "", "waited_for": [""]}, [], id="no story"),
    ],
)
def test_who_served_whom(facts: dict[str, object], expected: list[OwnRequest]) -> None:
    assert ALL.of(client(**facts)) == expected


def test_what_served_nobody_of_these() -> None:
    assert ALL.besides([client(id="r-1"), client(id="r-3", ahead="r-2")]) == [OTHER, NOBODYS]
