from __future__ import annotations

from typing import cast

import pytest

from addon.blob.blobs import FOR_SMALL, BlobLimits, Blobs
from addon.blob.redirects import Redirects
from addon.outbound.outbound import Outbound

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("limits", "transfers", "pieces"),
    [
        pytest.param((16, 28), 1, 16, id="one alone has all pieces"),
        pytest.param((16, 28), 8, 3, id="eight share the host's connections"),
        pytest.param((16, 28), 100, 1, id="each has one at least"),
        pytest.param((16, 28), 0, 16, id="nobody else"),
        pytest.param((1, 28), 2, 1, id="pieces are turned off"),
        pytest.param((16, 1), 1, 1, id="a host that takes one connection"),
    ],
)
def test_transfers_share_a_hosts_connections(
    limits: tuple[int, int], transfers: int, pieces: int
) -> None:
    blobs = Blobs(cast("Outbound", None), BlobLimits(*limits, 64 * MIB), Redirects(1))
    assert blobs.pieces_for(transfers) == pieces


@pytest.mark.parametrize("transfers", range(1, 25))
def test_pieces_leave_connections_to_small_blobs(transfers: int) -> None:
    """A config that has to wait for a layer's piece costs a pull a round trip."""
    blobs = Blobs(cast("Outbound", None), BlobLimits(16, 28, 64 * MIB), Redirects(1))
    assert blobs.pieces_for(transfers) * transfers <= 28 - FOR_SMALL
