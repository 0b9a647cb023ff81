from __future__ import annotations

import asyncio
from typing import cast

import pytest

from addon import carrier as module
from addon.carrier import Carrier
from addon.hosts import BREAKS_THAT_SHOW, Host
from addon.ranges import LARGEST_PIECE
from addon.readahead import GROW_AFTER
from tests.clock import Clock

LIMIT = 3_000_000


class Transport:
    """A connection that notes what becomes of it."""

    def __init__(self) -> None:
        self.is_aborted = False
        self.limit: int | None = None

    def abort(self) -> None:
        self.is_aborted = True

    def set_read_buffer_limits(self, high: int) -> None:
        self.limit = high

    @property
    def transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self)


@pytest.fixture
def host() -> Host:
    return Host(Clock())


def cut(host: Host, after: int, times: int = BREAKS_THAT_SHOW) -> None:
    """Connections break off after so many bytes."""
    for _ in range(times):
        carrier = Carrier(Transport().transport, host)
        carrier.carried(after)
        carrier.broke()


@pytest.mark.parametrize(
    ("carried", "retires"),
    [
        pytest.param(0, False, id="a new one"),
        pytest.param(LIMIT - LARGEST_PIECE, False, id="one that can carry another piece"),
        pytest.param(LIMIT - LARGEST_PIECE + 1, True, id="one that cannot"),
    ],
)
def test_one_that_would_break_off_in_the_next_piece_retires(
    host: Host, carried: int, retires: bool
) -> None:
    cut(host, LIMIT)
    transport = Transport()
    carrier = Carrier(transport.transport, host)
    carrier.carried(carried)
    assert carrier.retire() is retires
    assert transport.is_aborted is retires


def test_none_retires_where_none_breaks_off(host: Host) -> None:
    transport = Transport()
    carrier = Carrier(transport.transport, host)
    carrier.carried(100 * LIMIT)
    assert not carrier.retire()
    assert not transport.is_aborted


def test_one_begins_with_small_buffers_and_they_grow(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown: list[object] = []
    monkeypatch.setattr(module, "grow", grown.append)
    transport = Transport()
    carrier = Carrier(transport.transport, host)
    assert transport.limit is not None
    for _ in range(3):
        carrier.asked()
        carrier.carried(GROW_AFTER // 2)
    assert grown == [transport]
