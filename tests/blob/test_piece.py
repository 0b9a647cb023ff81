from __future__ import annotations

import asyncio

import pytest

from addon.blob import failures
from addon.blob.piece import Piece
from addon.blob.stream import Stream
from addon.blob.transfer import TransferLimits
from addon.blob.urgency import Asker, Urgency
from addon.protocol.reply import BrokenTransfer
from tests.parts import CONTENT, WHOLE, Site, Source, settle


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.0)


@pytest.fixture
def site() -> Site:
    return Site()


class Told:
    """Counts what a piece tells."""

    woken = ended = 0

    def wake(self) -> None:
        self.woken += 1

    def end(self) -> None:
        self.ended += 1


def piece(site: Site, told: Told) -> Piece:
    stream = Stream(Source(site), WHOLE, Asker(Urgency.ASKED), TransferLimits())
    return Piece(stream, told.wake, told.end)


async def test_what_has_come_waits_in_order() -> None:
    told = Told()
    fetched = piece(Site(), told)
    await settle(500)
    assert b"".join(fetched.chunks) == CONTENT
    assert (fetched.is_done, fetched.error, told.ended) == (True, None, 1)
    assert told.woken == len(fetched.chunks) + 1


@pytest.mark.parametrize(
    ("how", "error"),
    [
        pytest.param("reset", "given up after 6 tries", id="it cannot be had"),
        pytest.param("slip", "RuntimeError", id="a slip of the mirror's own"),
    ],
)
async def test_what_came_is_kept_and_followed_by_what_went_wrong(
    site: Site, how: str, error: str
) -> None:
    site.fault = lambda number: (1000, how) if number == 0 else (0, how)
    told = Told()
    fetched = piece(site, told)
    await settle()
    assert b"".join(fetched.chunks) == CONTENT[:1000]
    assert isinstance(fetched.error, BrokenTransfer)
    assert error in str(fetched.error)
    assert (fetched.is_done, told.ended, len(site.open)) == (True, 1, 0)


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
async def test_closed_holds_nothing(site: Site, turns: int) -> None:
    fetched = piece(site, Told())
    await settle(turns)
    fetched.close()
    await settle()
    assert not fetched.chunks
    assert not site.open
    assert len(asyncio.all_tasks()) == 1


async def test_tells_nothing_before_its_owner_has_it(site: Site) -> None:
    """However tasks begin, the others' order does not depend on it."""
    told = Told()
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
    site.open_errors = [OSError("at once")]
    fetched = piece(site, told)
    assert (told.woken, len(site.asked)) == (0, 0)
    fetched.close()
