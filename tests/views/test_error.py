"""Errors as sentences."""

from __future__ import annotations

from typing import get_args

import pytest

from addon.protocol.errors import Code, format_error
from addon.views.error import show_error
from addon.views.reading import MAX_BODY
from tests.views.bodies import BLOB, HOSTILE, JSON, OCI_INDEX, encode, errors, is_harmless

ACCESS = {"Type": "repository", "Class": "", "Name": "library/alpine", "Action": "pull"}
DENIED = "DENIED: whoever asks may not do this."


def shown(body: bytes, content_type: str = JSON) -> str:
    text = show_error(content_type, body)
    assert text is not None
    assert is_harmless(text)
    return text


def test_an_error_is_a_sentence() -> None:
    body = errors(
        {"code": "UNAUTHORIZED", "message": "authentication required", "detail": [ACCESS, ACCESS]}
    )
    assert shown(body) == (
        "UNAUTHORIZED: a token is needed, or the one that came does not cover this."
        ' The registry says: "authentication required".'
        " It would take: pull on repository library/alpine, pull on repository library/alpine."
    )


def test_each_error_has_its_own() -> None:
    assert shown(errors({"code": "DENIED"}, {"code": "OF_ITS_OWN"})).splitlines() == [
        DENIED,
        "OF_ITS_OWN: a code of this registry's own.",
    ]


@pytest.mark.parametrize("code", get_args(Code))
def test_what_the_mirror_itself_says_is_known(code: Code) -> None:
    text = shown(format_error(code, "upstream h: refused"))
    assert "a code of this" not in text
    assert text.startswith(f"{code}: ")
    assert text.endswith('. The registry says: "upstream h: refused".')


@pytest.mark.parametrize("content_type", [JSON, "", "text/plain"])
def test_an_error_comes_by_several_types(content_type: str) -> None:
    assert shown(errors({"code": "DENIED"}), content_type) == DENIED


@pytest.mark.parametrize("content_type", ["text/html", BLOB, OCI_INDEX])
def test_other_types_are_no_error(content_type: str) -> None:
    assert show_error(content_type, errors({"code": "DENIED"})) is None


@pytest.mark.parametrize(
    ("more", "rest"),
    [
        pytest.param(
            {"message": "a\x1b[0m\n"}, ' The registry says: "a\\x1b[0m\\n".', id="hostile"
        ),
        pytest.param({"message": 5}, ' The registry says: "5".', id="a message that is a number"),
        pytest.param({"message": ""}, "", id="an empty message"),
        pytest.param({"message": None, "detail": None}, "", id="nulls"),
        pytest.param({"detail": {}}, "", id="an empty detail"),
        pytest.param({"detail": []}, "", id="an empty list"),
        pytest.param({"detail": "a\x9b"}, " Detail: a\\x9b.", id="a text"),
        pytest.param({"detail": {"Tag": "a", "n": [1]}}, " Detail: Tag a, n [1].", id="an object"),
        pytest.param({"detail": [1, "a"]}, ' Detail: [1, "a"].', id="a list"),
        pytest.param(
            {"detail": [ACCESS, 5, {"Type": "\x1b"}]},
            ' It would take: pull on repository library/alpine, 5, {"Type": "\\u001b"}.',
            id="a list in which not all is access",
        ),
        pytest.param({"detail": [{"Type": 5}]}, ' Detail: [{"Type": 5}].', id="access of numbers"),
    ],
)
def test_message_and_detail_may_be_anything(more: dict[str, object], rest: str) -> None:
    assert shown(errors({"code": "DENIED", **more})) == f"{DENIED}{rest}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"Forbidden", id="no JSON"),
        pytest.param(b'{"errors": ' + b"[" * 100_000, id="too deep"),
        pytest.param(errors(), id="no errors"),
        pytest.param(encode({"errors": {"code": "DENIED"}}), id="errors that are no list"),
        pytest.param(encode({"errors": "DENIED"}), id="errors that are a text"),
        pytest.param(errors("DENIED"), id="an error that is a text"),
        pytest.param(errors({"message": "a"}), id="no code"),
        pytest.param(errors({"code": 403}), id="a code that is a number"),
        pytest.param(errors({"code": "denied"}), id="a code in lower case"),
        pytest.param(errors({"code": HOSTILE}), id="a hostile code"),
        pytest.param(errors({"code": "DENIED\n"}), id="a code with a line's end"),
        pytest.param(errors({"code": "D" * 65}), id="a code that is too long"),
        pytest.param(errors({"code": "DENIED"}, None), id="one error that is none"),
        pytest.param(errors({"code": "DENIED", "detail": float("nan")}), id="not a number"),
        pytest.param(errors({"code": "DENIED"}).replace(b"D", b"\xff"), id="no UTF-8"),
        pytest.param(encode({"details": "incorrect username or password"}), id="Hub's own"),
    ],
)
def test_what_is_no_error_is_left_to_mitmproxy(body: bytes) -> None:
    assert show_error(JSON, body) is None


@pytest.mark.parametrize(("more", "is_shown"), [(0, True), (1, False)], ids=["at most", "above"])
def test_an_error_is_bounded(more: int, is_shown: bool) -> None:
    body = errors({"code": "DENIED"}).ljust(MAX_BODY + more)
    assert (show_error(JSON, body) is not None) == is_shown
