"""Who makes room for whom, and whose time is over; without a socket."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from addon.limits.crowd import Crowd, Crowded, CrowdLimits, Ending
from tests.clock import Clock


@dataclass
class FakeLine:
    unsent: int = 0
    taken: int = 0

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Scene:
    """A crowd, and connections that are named by a letter."""

    def __init__(self, **limits: float) -> None:
        self.clock = Clock()
        self.crowd = Crowd(self.clock)
        self.crowd.limits = CrowdLimits(**limits)  # type: ignore[arg-type]
        self.lines: dict[str, FakeLine] = {}

    def enter(self, key: str, address: str | None = "x") -> str:
        """Who made room."""
        self.clock.now += 1
        self.lines[key] = FakeLine()
        gone = self.crowd.enter(key, address, self.lines[key])
        return gone.key if gone else ""

    def runs(self, key: str) -> None:
        self.enter(key)
        self.crowd.begins(key, f"{key}1")

    def overdue(self, seconds: float) -> dict[str, Ending]:
        self.clock.now += seconds
        return {guest.key: ending for guest, ending in self.crowd.overdue()}


# Room.


def test_without_limits_nobody_leaves() -> None:
    scene = Scene()
    assert [scene.enter(key) for key in "abcdef"] == [""] * 6
    assert scene.overdue(1e6) == {}
    assert not scene.crowd.is_full


def test_the_one_that_has_waited_longest_makes_room() -> None:
    scene = Scene(connections=3)
    for key in "abc":
        scene.enter(key, key)
    scene.crowd.begins("a", "a1")
    scene.crowd.ends("a", "a1")
    assert [scene.enter(key) for key in "def"] == ["b", "c", "a"]
    assert len(scene.crowd) == 3


def test_a_transfer_is_never_thrown_out() -> None:
    scene = Scene(connections=3)
    scene.runs("a")
    scene.runs("b")
    assert [scene.enter(key) for key in "cdef"] == ["", "c", "d", "e"]
    scene.crowd.begins("f", "f1")
    with pytest.raises(Crowded):
        scene.enter("g")
    assert len(scene.crowd) == 3


def test_the_last_bytes_of_an_answer_are_a_transfer_too() -> None:
    scene = Scene(connections=2)
    scene.runs("a")
    scene.crowd.ends("a", "a1")
    scene.lines["a"].unsent = 1
    assert [scene.enter(key) for key in "bcd"] == ["", "b", "c"]
    scene.lines["a"].unsent = 0
    assert scene.enter("e") == "a"


def test_an_address_over_its_limit_makes_room_itself() -> None:
    scene = Scene(connections=10, of_address=2)
    scene.enter("other", "y")
    assert [scene.enter(key) for key in "abcd"] == ["", "", "a", "b"]
    assert (scene.crowd.count_of("x"), scene.crowd.count_of("y")) == (2, 1)


def test_an_address_whose_connections_all_run_gets_no_more() -> None:
    scene = Scene(connections=10, of_address=2)
    scene.runs("a")
    scene.runs("b")
    with pytest.raises(Crowded):
        scene.enter("c")
    assert scene.enter("d", "y") == ""


def test_who_has_no_address_is_counted_in_all_alone() -> None:
    scene = Scene(connections=3, of_address=1)
    assert [scene.enter(key, None) for key in "abcd"] == ["", "", "", "a"]


def test_what_has_left_makes_no_room_and_takes_none() -> None:
    scene = Scene(connections=2, of_address=2)
    for key in "ab":
        scene.enter(key)
    scene.crowd.leaves("a")
    scene.crowd.leaves("unknown")
    assert scene.enter("c") == ""
    assert scene.crowd.count_of("x") == 2


@pytest.mark.parametrize(
    ("connections", "runs"),
    [
        pytest.param(0, 10_000, id="no limit"),
        pytest.param(1, 1, id="a single one is for a request"),
        pytest.param(4, 3, id="one is kept free"),
        pytest.param(64, 60, id="one in sixteen is kept free"),
    ],
)
def test_requests_leave_room_for_whoever_asks_for_health(connections: int, runs: int) -> None:
    scene = Scene(connections=connections)
    for number in range(runs):
        assert not scene.crowd.is_full
        scene.runs(str(number))
    assert scene.crowd.is_full == (connections > 0)
    scene.crowd.ends("0", "01")
    assert not scene.crowd.is_full


def test_requests_side_by_side_on_one_connection_all_have_to_end() -> None:
    scene = Scene(connections=2)
    scene.runs("a")
    scene.crowd.begins("a", "a2")
    scene.crowd.ends("a", "a1")
    assert scene.crowd.running == 1
    scene.crowd.ends("a", "a2")
    assert scene.crowd.running == 0


# Time.


def test_a_first_request_has_its_time_and_the_next_one_another() -> None:
    scene = Scene(head_seconds=30, idle_seconds=300)
    scene.enter("slow")
    scene.enter("quick")
    scene.crowd.begins("quick", "1")
    scene.crowd.ends("quick", "1")
    assert scene.overdue(28.9) == {}
    assert scene.overdue(0.1) == {"slow": Ending.HEAD}
    assert scene.overdue(270) == {}
    assert scene.overdue(1) == {"quick": Ending.IDLE}
    assert len(scene.crowd) == 0


def test_a_request_that_runs_is_not_idle() -> None:
    scene = Scene(head_seconds=30, idle_seconds=30, stall_seconds=30)
    scene.runs("a")
    assert scene.overdue(1000) == {}


def test_a_request_that_was_answered_before_it_was_whole_begins_the_time_anew() -> None:
    scene = Scene(head_seconds=30, idle_seconds=60)
    scene.enter("a")
    scene.clock.now += 29
    scene.crowd.ends("a", "1")
    assert scene.overdue(59) == {}
    assert scene.overdue(1) == {"a": Ending.IDLE}


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "its last bytes"])
def test_a_client_that_takes_nothing_is_ended(running: bool) -> None:
    scene = Scene(idle_seconds=10, stall_seconds=60)
    scene.runs("a")
    if not running:
        scene.crowd.ends("a", "a1")
    line = scene.lines["a"]
    line.unsent, line.taken = 1000, 5
    assert scene.overdue(1) == {}
    assert scene.overdue(59) == {}
    assert scene.overdue(1) == {"a": Ending.STALLED}


def test_a_client_that_takes_little_goes_on() -> None:
    scene = Scene(stall_seconds=60)
    scene.runs("a")
    line = scene.lines["a"]
    line.unsent = 1000
    for _ in range(100):
        line.taken += 1
        assert scene.overdue(59) == {}
    line.unsent = 0  # an upstream that is slow is not the client's fault
    assert scene.overdue(1000) == {}
    line.unsent = 1000
    assert scene.overdue(59) == {}


def test_idleness_begins_once_the_last_byte_has_gone() -> None:
    scene = Scene(idle_seconds=10)
    scene.runs("a")
    scene.crowd.ends("a", "a1")
    scene.lines["a"].unsent = 1
    assert scene.overdue(100) == {}
    scene.lines["a"].unsent = 0
    assert scene.overdue(9) == {}
    assert scene.overdue(1) == {"a": Ending.IDLE}


def test_what_is_unsent_at_the_end_keeps_its_place_until_it_is_taken() -> None:
    scene = Scene(connections=2, stall_seconds=60)
    for key in "ab":
        scene.runs(key)
        scene.lines[key].unsent = 1
        scene.crowd.leaves(key)
    with pytest.raises(Crowded):
        scene.enter("c")
    scene.lines["a"].unsent = 0
    assert scene.overdue(1) == {}
    assert len(scene.crowd) == 1
    assert scene.overdue(60) == {"b": Ending.STALLED}
    assert scene.crowd.count_of("x") == 0
