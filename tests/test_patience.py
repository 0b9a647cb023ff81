from __future__ import annotations

import pytest

from addon.patience import LONGEST, SHORTEST, Patience


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
    patience = Patience()
    for each in what:
        patience.was_in_vain() if each == "-" else patience.was_right()
    assert patience.seconds == seconds
