from __future__ import annotations

import asyncio

import pytest

from addon.blob.failures import Failures
from addon.blob.transfer import TransferLimits
from addon.protocol.reply import BrokenTransfer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were to be slept."""
    noted: list[float] = []

    async def sleep(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return noted


async def failed(failures: Failures, times: int) -> None:
    for _ in range(times):
        await failures.note(OSError("reset"))


async def test_the_first_try_comes_at_once_and_each_later_one_twice_as_late(
    pauses: list[float],
) -> None:
    await failed(Failures(TransferLimits(tries=6, longest_pause=1.0)), 6)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0]


async def test_too_many_in_a_row_are_the_end(pauses: list[float]) -> None:
    failures = Failures(TransferLimits(tries=2))
    await failed(failures, 2)
    with pytest.raises(BrokenTransfer, match="given up after 2 tries: reset"):
        await failed(failures, 1)


async def test_a_byte_between_them_begins_a_new_row(pauses: list[float]) -> None:
    failures = Failures(TransferLimits(tries=2))
    for _ in range(5):
        await failed(failures, 2)
        failures.forget()
    assert pauses == [0.1] * 5


async def test_however_many_the_owner_allows_the_pause_is_a_number(pauses: list[float]) -> None:
    await failed(Failures(TransferLimits(tries=5000, longest_pause=7.0)), 2000)
    assert pauses[-1] == 7.0
