from __future__ import annotations

import pytest

from addon.blob.patience import Patience

SHORTEST = 3.0
LONGEST = 30.0


@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        pytest.param("", SHORTEST, id="at first"),
        pytest.param("-", 2 * SHORTEST, id="once in vain"),
        pytest.param("--", 4 * SHORTEST, id="twice in vain"),
        pytest.param("----------", LONGEST, id="never beyond the longest"),
        pytest.param("--+", 2 * SHORTEST, id="shrinks again"),
        pytest.param("-+++", SHORTEST, id="never below the shortest"),
    ],
)
def test_patience_grows_while_it_is_in_vain(what: str, seconds: float) -> None:
    patience = Patience(SHORTEST, LONGEST)
    for each in what:
        patience.was_in_vain() if each == "-" else patience.was_right()
    assert patience.seconds == seconds


def test_a_first_wait_that_is_longer_than_the_longest_stays() -> None:
    patience = Patience(50.0, 30.0)
    patience.was_in_vain()
    assert patience.seconds == 50.0
