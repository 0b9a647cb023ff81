"""How long the successor of a worker waits."""

from __future__ import annotations

import pytest

from addon.workers.restarts import FIRST_PAUSE, HEALTHY, LONGEST_PAUSE, next_pause


@pytest.mark.parametrize(
    ("before", "lived", "pause"),
    [
        pytest.param(0.0, 0.0, FIRST_PAUSE, id="the first time"),
        pytest.param(FIRST_PAUSE, 1.0, 2 * FIRST_PAUSE, id="again"),
        pytest.param(LONGEST_PAUSE, 1.0, LONGEST_PAUSE, id="no longer than this"),
        pytest.param(LONGEST_PAUSE, HEALTHY, FIRST_PAUSE, id="it was well for a while"),
    ],
)
def test_the_pause_grows_until_a_worker_is_well(before: float, lived: float, pause: float) -> None:
    assert next_pause(before, lived) == pause
