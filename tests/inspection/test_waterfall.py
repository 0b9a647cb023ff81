from __future__ import annotations

import pytest

from addon.inspection.seen import ClientRequest, Facts, OwnRequest
from addon.inspection.waterfall import SILENCE, client_bar, marks, own_bar, pictures


def client(began: float, **facts: object) -> ClientRequest:
    return ClientRequest(Facts(dict(facts)), began, "GET", "/v2/a", status=200)


def own(status: int = 200, **facts: object) -> OwnRequest:
    url = "https://registry.example/v2/"
    return OwnRequest(Facts({"url": url, "purpose": "manifest", **facts}), status=status)


@pytest.mark.parametrize(
    ("times", "parts", "is_open"),
    [
        pytest.param((0.1, 0.3, 0.5), (0.1, 0.3, 0.5), False, id="whole"),
        pytest.param((0.1, 0.3, None), (0.1, 0.3, 0.3), True, id="its body is coming"),
        pytest.param((0.1, None, None), (0.1, 0.1, 0.1), True, id="waits for the head"),
        pytest.param((None, None, None), (0, 0, 0), True, id="just asked"),
        pytest.param((0.1, None, 0.5), (0.1, 0.5, 0.5), False, id="no answer came"),
        pytest.param((9, 8, 0.5), (0.5, 0.5, 0.5), False, id="facts that cannot be"),
        pytest.param(("x", [], 0.5), (0, 0.5, 0.5), False, id="facts that are none"),
    ],
)
def test_the_parts_of_a_bar(
    times: tuple[object, object, object], parts: tuple[float, float, float], is_open: bool
) -> None:
    waited, first, whole = times
    bar = own_bar(own(began=5.0, waited=waited, first_byte=first, whole=whole))
    assert (bar.waited, bar.first_byte, bar.whole) == parts
    assert (bar.began, bar.is_open) == (5.0, is_open)


def test_what_stands_beside_a_clients_request() -> None:
    facts = {"what": "alpine:1", "from": "network", "size": 2000, "resumed": 2, "error": "gone"}
    bar = client_bar(client(1.0, waited_for=["r-1"], **facts))
    assert bar.label == "GET alpine:1"
    another = "waited for another's request"
    assert bar.notes == ("network", "200", "2.0 kB", another, "resumed 2 times")
    assert bar.failure == "gone"
    assert client_bar(client(1.0)).label == "GET /v2/a"


def test_what_stands_beside_one_of_the_mirrors_own() -> None:
    facts = {"opened": True, "ahead": True, "bytes": 5, "cut": "not wanted", "part": "0-4"}
    bar = own_bar(own(206, **facts))
    assert bar.label == "manifest 0-4 registry.example"
    assert bar.notes == ("206", "5 B", "begun ahead", "new connection", "not wanted")
    assert bar.is_new
    assert not own_bar(own()).is_new


@pytest.mark.parametrize(
    ("status", "facts", "failure"),
    [
        pytest.param(200, {}, "", id="well"),
        pytest.param(404, {}, "answered 404", id="refused"),
        pytest.param(401, {}, "", id="a challenge"),
        pytest.param(404, {"purpose": "warming"}, "", id="kept open"),
        pytest.param(0, {"error": "reset"}, "reset", id="broken"),
    ],
)
def test_what_failed(status: int, facts: dict[str, object], failure: str) -> None:
    assert own_bar(own(status, **facts)).failure == failure


def test_own_requests_stand_beneath_whom_they_served_in_the_order_of_time() -> None:
    clients = [client(12.0, id="r-2", whole=1.0), client(10.0, id="r-1", whole=1.0)]
    sent = [own(cause="r-1", began=10.5), own(cause="r-1", began=10.1), own(cause="", began=11.0)]
    (picture,) = pictures(clients, sent)
    assert [s.client.began if s.client else None for s in picture.served] == [10.0, None, 12.0]
    assert [[bar.began for bar in s.sent] for s in picture.served] == [[10.1, 10.5], [11.0], []]
    assert (picture.began, picture.ended) == (10.0, 13.0)


def test_a_silence_parts_two_pictures() -> None:
    long = client(0.0, id="r-1", whole=10.0)
    near, far = client(9.0 + SILENCE, id="r-2"), client(10.1 + 2 * SILENCE, id="r-3")
    assert [len(picture.served) for picture in pictures([far, near, long], [])] == [2, 1]
    assert pictures([], []) == []


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.001, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.8, [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0]),
        (30.0, [0.0, 5000.0, 10000.0, 15000.0, 20000.0, 25000.0, 30000.0]),
    ],
)
def test_the_marks_of_an_axis_are_round(seconds: float, expected: list[float]) -> None:
    assert marks(seconds) == pytest.approx(expected)


def test_an_axis_has_few_marks_however_long_it_is() -> None:
    assert all(len(marks(seconds)) <= 10 for seconds in (0.001, 0.3, 7, 1e5, 1e15))
