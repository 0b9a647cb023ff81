from __future__ import annotations

import pytest

from addon.blob.urgency import Asker, Urgency


class TestAsker:
    @pytest.mark.parametrize(
        ("urgency", "claimed"),
        [
            (Urgency.AHEAD, Urgency.ASKED),
            (Urgency.ASKED, Urgency.ASKED),
            (Urgency.NOW, Urgency.NOW),
        ],
    )
    def test_is_no_less_urgent_once_it_is_claimed(self, urgency: Urgency, claimed: Urgency) -> None:
        asker = Asker(urgency)
        asker.claim()
        assert asker.urgency is claimed

    def test_its_first_bytes_are_awaited_once_it_is_claimed(self) -> None:
        asker = Asker(Urgency.AHEAD)
        first = asker.first
        assert first.urgency == Urgency.AHEAD
        asker.claim()
        assert (first.urgency, asker.first.urgency) == (Urgency.NOW, Urgency.NOW)

    @pytest.mark.parametrize("urgency", list(Urgency))
    def test_hurries_whom_it_waits_for(self, urgency: Urgency) -> None:
        leader = Asker(Urgency.AHEAD)
        Asker(urgency).hurries(leader)
        assert leader.urgency is urgency

    def test_hurries_whom_it_waits_for_once_it_is_claimed(self) -> None:
        asker, leader, firsts = (Asker(Urgency.AHEAD) for _ in range(3))
        asker.hurries(leader)
        asker.first.hurries(firsts)
        asker.claim()
        assert (leader.urgency, firsts.urgency) == (Urgency.ASKED, Urgency.NOW)
