from __future__ import annotations

import pytest

from addon.blob.budget import Budget
from addon.blob.transfer import Part
from addon.blob.urgency import Urgency
from addon.blob.window import FIRST_PIECE, FIRST_WINDOW, Spread, Window
from addon.protocol.ranges import LARGEST_PIECE

MIB = 1024 * 1024
BLOB = Part(1000, 1000 + 1024 * MIB - 1)
ASKED = Urgency.ASKED


def window(
    part: Part = BLOB, spread: Spread | None = None, largest: int = 32 * MIB, budget: int = 10**9
) -> Window:
    return Window(part, spread or Spread(8), largest, Budget(budget))


def fill(window: Window, urgency: Urgency = ASKED) -> list[int]:
    """The lengths of the pieces that there is room for."""
    lengths: list[int] = []
    while length := window.room(0, urgency):
        window.take(length)
        lengths.append(length)
    return lengths


@pytest.mark.parametrize(
    ("part", "spread", "length"),
    [
        pytest.param(BLOB, Spread(8), FIRST_WINDOW // 8, id="as many as lanes in the window"),
        pytest.param(BLOB, Spread(16, 64 * MIB), LARGEST_PIECE, id="none too large"),
        pytest.param(BLOB, Spread(64), FIRST_PIECE, id="none too small"),
        pytest.param(Part(0, 2 * MIB - 1), Spread(8), 2 * MIB // 8, id="of the part"),
        pytest.param(Part(0, 99), Spread(8), 100, id="not beyond its end"),
    ],
)
def test_a_piece_is_as_long_as_lanes_and_window_let_it(
    part: Part, spread: Spread, length: int
) -> None:
    assert window(part, spread, 64 * MIB).room(0, ASKED) == length


@pytest.mark.parametrize(
    ("spread", "grown", "held"),
    [
        pytest.param(Spread(8), 0, FIRST_WINDOW, id="at first"),
        pytest.param(Spread(8), 1, 2 * FIRST_WINDOW, id="once the client has waited"),
        pytest.param(Spread(8), 9, 32 * MIB, id="no more than the owner says"),
        pytest.param(Spread(8, 2 * FIRST_PIECE), 0, 2 * FIRST_PIECE, id="begun ahead"),
        pytest.param(Spread(8, 1024 * MIB), 0, 32 * MIB, id="nor at first"),
    ],
)
def test_it_holds_what_the_client_keeps_up_with(spread: Spread, grown: int, held: int) -> None:
    opened = window(spread=spread)
    for _ in range(grown):
        opened.grow()
    assert sum(fill(opened)) == held


@pytest.mark.parametrize("urgency", [Urgency.ASKED, Urgency.AHEAD])
def test_without_room_it_goes_on_with_one_small_piece(urgency: Urgency) -> None:
    opened = window(budget=0)
    assert fill(opened, urgency) == [FIRST_PIECE]
    opened.give(FIRST_PIECE)
    assert fill(opened, urgency) == [FIRST_PIECE]


def test_beside_what_broke_off_there_is_room_for_others() -> None:
    opened = window()
    fill(opened)
    assert opened.room(0, ASKED) == 0
    assert opened.room(2, ASKED) > 0


def test_a_part_is_asked_for_and_given_once() -> None:
    opened = window(Part(10, 10 + 3 * FIRST_PIECE - 1))
    firsts = [opened.take(FIRST_PIECE) for _ in range(3)]
    assert firsts == [10, 10 + FIRST_PIECE, 10 + 2 * FIRST_PIECE]
    assert (opened.is_asked_for, opened.is_given) == (True, False)
    opened.give(3 * FIRST_PIECE)
    assert opened.is_given


def test_all_of_it_is_counted_in_the_budget_until_it_is_closed() -> None:
    budget = Budget(10**9)
    opened = Window(BLOB, Spread(8), 32 * MIB, budget)
    opened.take(5000)
    opened.give(2000)
    assert (budget.running, budget.held) == (1, 3000)
    opened.close()
    assert (budget.running, budget.held) == (0, 0)
