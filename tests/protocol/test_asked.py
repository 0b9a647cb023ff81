from __future__ import annotations

from addon.protocol.asked import Asked, no_body

ASKED = Asked(
    "GET", [("ACCEPT", "a"), ("X", "1"), ("accept", "b"), ("Authorization", "Basic x")], ""
)


def test_a_fields_name_is_read_in_any_case() -> None:
    assert ASKED.get("accept") == "a"
    assert ASKED.get_all("Accept") == ["a", "b"]
    assert ASKED.authorization == "Basic x"


def test_a_field_that_is_not_there_is_empty() -> None:
    assert ASKED.get("range") == ""
    assert ASKED.get_all("range") == []
    assert Asked("GET", [], "").authorization == ""


def test_any_of_several_fields_is_found() -> None:
    assert ASKED.has("range", "x")
    assert not ASKED.has("range", "if-range")


def test_without_credentials_all_else_is_the_same() -> None:
    bare = ASKED.without_authorization()
    assert bare.authorization == ""
    assert bare == Asked("GET", [("ACCEPT", "a"), ("X", "1"), ("accept", "b")], "")


async def test_most_requests_have_no_body() -> None:
    assert await ASKED.body() == await no_body() == b""
