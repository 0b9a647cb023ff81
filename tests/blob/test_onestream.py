from __future__ import annotations

import pytest

from addon.blob import failures
from addon.blob.budget import Budget
from addon.blob.onestream import OneStream
from addon.blob.stream import Stream
from addon.blob.transfer import TransferLimits
from addon.blob.urgency import Asker, Urgency
from addon.protocol.reply import BrokenTransfer
from tests.parts import WHOLE, Site, Source, left


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.0)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def budget() -> Budget:
    return Budget(64 * 1024 * 1024)


def one_stream(site: Site, budget: Budget, asker: Asker) -> OneStream:
    stream = Stream(Source(site), WHOLE, asker, TransferLimits())
    return OneStream(stream, budget, asker)


class TestOneStream:
    async def test_is_counted_while_it_is_open(self, site: Site, budget: Budget) -> None:
        body = one_stream(site, budget, Asker(Urgency.NOW))
        assert budget.running == 1
        await body.read()
        for _ in range(2):
            body.close()
        assert left(site, budget) == (0, 0, 0)

    async def test_closed_is_no_clean_end_and_asks_nobody(self, site: Site, budget: Budget) -> None:
        body = one_stream(site, budget, Asker(Urgency.NOW))
        await body.read()
        body.close()
        with pytest.raises(BrokenTransfer):
            await body.read()
        assert len(site.asked) == 1

    async def test_claimed_is_urgent(self, site: Site, budget: Budget) -> None:
        asker = Asker(Urgency.AHEAD)
        body = one_stream(site, budget, asker)
        body.claim()
        await body.read()
        assert site.urgencies == [Urgency.NOW]
        body.close()
