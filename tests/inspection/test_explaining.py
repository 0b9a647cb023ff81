from __future__ import annotations

import pytest

from addon.inspection.explaining import explain, explanation
from addon.inspection.seen import ClientRequest, Facts, OwnRequest

URL = "https://registry.example/v2/library/alpine/manifests/latest"
FACTS: dict[str, object] = {
    "id": "r-1",
    "url": URL,
    "what": "alpine:latest → library/alpine",
    "from": "network",
    "requests": 1,
    "waited": 0.001,
    "first_byte": 0.204,
    "whole": 0.26,
    "limit": "100;w=21600",
    "remaining": "97;w=21600",
    "size": 1234,
}
SENT: dict[str, object] = {
    "url": URL,
    "purpose": "manifest",
    "cause": "r-1",
    "story": "r-1",
    "began": 100.0,
    "opened": True,
    "waited": 0.001,
    "first_byte": 0.2,
    "whole": 0.25,
}


def client(facts: dict[str, object] | None = None, began: float = 100.0) -> ClientRequest:
    target = "/v2/alpine/manifests/latest"
    return ClientRequest(Facts(FACTS | (facts or {})), began, "GET", target, "192.0.2.1", 200)


def own(status: int = 200, **facts: object) -> OwnRequest:
    return OwnRequest(Facts({**SENT, **facts}), "GET", status)


def line(lines: list[str], name: str) -> str:
    (found,) = [each for each in lines if each.startswith(f"  {name} ")]
    return found.removeprefix(f"  {name}").strip()


def test_what_was_asked_again_is_said() -> None:
    assert line(explanation(client({"replayed": "replayed"}), []), "again") == "replayed"


def test_all_that_is_said_of_a_request() -> None:
    assert explanation(client(), [own(), own(404, purpose="tag check", opened=False)]) == [
        "alpine:latest → library/alpine",
        "  asked       GET /v2/alpine/manifests/latest by 192.0.2.1: answered 200, 1.2 kB",
        "  answer      the network: nothing that could be given was remembered",
        f"  address     {URL}",
        "  took        waited for connections 1 ms, first byte 204 ms, whole 260 ms",
        "  upstream    manifest   registry.example  answered 200"
        "  waited 1 ms, first byte 200 ms, whole 250 ms, new connection",
        "  upstream    tag check  registry.example  answered 404"
        "  waited 1 ms, first byte 200 ms, whole 250 ms",
        "  pull limit  97 of 100 left",
    ]


@pytest.mark.parametrize(
    ("facts", "start"),
    [
        ({"from": "mirror"}, "the mirror itself"),
        ({"from": "memory"}, "memory: it is remembered"),
        ({"from": "memory, tag checked"}, "memory: the registry was asked"),
        ({"from": "stale copy", "age": 61.2}, "a stale copy, last known right 61 s ago"),
        ({"from": "begun ahead"}, "begun ahead: a manifest"),
        ({"waited_for": ["r-0"], "requests": 0}, "another's request: the same"),
        ({"waited_for": ["r-0"], "requests": 1}, "the network"),
        ({"from": "a later version's"}, "a later version's"),
        ({"from": 5}, "unknown"),
    ],
)
def test_where_an_answer_came_from_and_why(facts: dict[str, object], start: str) -> None:
    assert line(explanation(client(facts), []), "answer").startswith(start)


@pytest.mark.parametrize(
    ("requests", "text"),
    [
        (0, "nothing was sent"),
        (1, "1 request; docxy_own_flows shows each"),
        (3, "3 requests; docxy_own_flows shows each"),
    ],
)
def test_requests_that_are_no_flows_are_counted(requests: int, text: str) -> None:
    assert line(explanation(client({"requests": requests}), []), "upstream") == text


def test_a_blobs_parts_share_a_line() -> None:
    parts = [
        own(206, purpose="blob part", part=f"{number}-", waited=number / 1000, opened=number < 3)
        for number in range(1, 5)
    ]
    lines = explanation(client(), [own(307, purpose="redirect"), *parts, own(503, purpose="blob")])
    assert [each for each in lines if "upstream" in each] == [
        "  upstream    redirect       registry.example  answered 307"
        "  waited 1 ms, first byte 200 ms, whole 250 ms, new connection",
        "  upstream    blob part (4)  registry.example  answered 206"
        "  waited 1 to 4 ms, first byte 200 ms, whole 250 ms, 2 new connections",
        "  upstream    blob           registry.example  answered 503"
        "  waited 1 ms, first byte 200 ms, whole 250 ms, new connection",
    ]


def test_a_failure_is_said_with_its_cause() -> None:
    lines = explanation(client({"error": "cannot connect"}), [own(0, error="reset")])
    assert line(lines, "failed") == "cannot connect"
    assert "no answer" in line(lines, "upstream")
    assert line(lines, "upstream").endswith("reset")


def test_a_transfer_that_went_on_is_said_to_have() -> None:
    took = line(explanation(client({"resumed": 2, "lagged": 1}), []), "took")
    assert took.endswith("resumed 2 times, a piece asked for again once")


def test_facts_that_are_none_say_little_and_break_nothing() -> None:
    lines = explanation(ClientRequest(Facts({"url": [], "whole": "x", "size": -1}), 0.0), [])
    assert lines[:2] == ["a request", "  asked     GET: no answer"]


def test_requests_stand_in_the_order_of_time_each_with_its_own() -> None:
    later = client({"id": "r-2", "what": "later"}, 200.0)
    first, second = explain([later, client()], [own(), own(cause="r-2", purpose="blob")]).split(
        "\n\n"
    )
    assert first.startswith("alpine:latest")
    assert second.startswith("later")
    assert "manifest  registry.example" in first
    assert "blob  registry.example" in second
