from __future__ import annotations

import pytest

from addon.blob.transfer import TransferLimits


@pytest.mark.parametrize(
    ("lag", "stall", "waits"),
    [
        pytest.param(3.0, 30.0, [3.0, 6.0, 12.0, 24.0, 30.0, 30.0], id="it grows to the stall"),
        pytest.param(3.0, 1.0, [3.0, 3.0], id="which is no shorter than the lag"),
    ],
)
def test_a_piece_is_waited_for_as_long_as_the_owner_says(
    lag: float, stall: float, waits: list[float]
) -> None:
    patience = TransferLimits(lag_seconds=lag, stall_seconds=stall).patience()
    for seconds in waits:
        assert patience.seconds == seconds
        patience.was_in_vain()
