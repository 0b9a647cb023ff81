from __future__ import annotations

import pytest

from addon.mitm.pace import LARGEST, QUICK, SMALLEST, Pace
from tests.clock import Clock


def size_after(*seconds: float) -> int:
    """The next part's size after parts that were each taken after so many seconds."""
    clock = Clock()
    pace = Pace(clock)
    pace.asked()
    for each in seconds:
        pace.given()
        clock.now += each
        pace.asked()
    return pace.size


@pytest.mark.parametrize(
    ("taken", "size"),
    [
        pytest.param([], SMALLEST, id="the first part"),
        pytest.param([0.0], 2 * SMALLEST, id="one was taken at once"),
        pytest.param([0.0] * 10, LARGEST, id="all are taken at once"),
        pytest.param([0.0] * 10 + [2 * QUICK], SMALLEST, id="then one is not"),
        pytest.param([2 * QUICK] * 3, SMALLEST, id="a slow client"),
        pytest.param([2 * QUICK, 0.0], 2 * SMALLEST, id="one that catches up"),
    ],
)
def test_a_part_grows_as_long_as_the_client_keeps_up(taken: list[float], size: int) -> None:
    assert size_after(*taken) == size
