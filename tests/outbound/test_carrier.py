from __future__ import annotations

import asyncio
from typing import cast

import pytest

from addon.outbound import carrier as module
from addon.outbound.carrier import Carrier
from addon.outbound.readahead import GROW_AFTER


class Transport:
    """A connection that notes what becomes of it."""

    def __init__(self) -> None:
        self.limit: int | None = None

    def set_read_buffer_limits(self, high: int) -> None:
        self.limit = high

    @property
    def transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self)


def test_one_begins_with_small_buffers_and_they_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grown: list[object] = []
    monkeypatch.setattr(module, "grow", grown.append)
    transport = Transport()
    carrier = Carrier(transport.transport)
    assert transport.limit is not None
    for _ in range(3):
        carrier.asked()
        carrier.carried(GROW_AFTER // 2)
    assert grown == [transport]
