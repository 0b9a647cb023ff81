from __future__ import annotations

import pytest

from addon.outbound.faults import Fault, fault_of_status


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (200, None),
        (307, None),
        # A challenge, and what is not there, are answers as they should be.
        (401, None),
        (404, None),
        (429, Fault.LIMITED),
        (500, Fault.SERVER),
        (503, Fault.SERVER),
    ],
)
def test_a_status_is_a_fault_where_the_upstream_is_to_blame(
    status: int, fault: Fault | None
) -> None:
    assert fault_of_status(status) is fault
