from __future__ import annotations

import pytest

from addon.blob.budget import Budget
from addon.blob.urgency import Urgency


class TestBudget:
    @pytest.mark.parametrize(
        ("others", "held", "window", "beyond", "urgency", "share"),
        [
            pytest.param(0, 0, 100, 0, Urgency.ASKED, 100, id="what it wants"),
            pytest.param(0, 0, 9999, 0, Urgency.ASKED, 800, id="one alone has two thirds"),
            pytest.param(0, 700, 9999, 0, Urgency.ASKED, 800, id="whatever it holds already"),
            pytest.param(600, 0, 9999, 0, Urgency.ASKED, 400, id="two thirds of what is left"),
            pytest.param(1200, 0, 9999, 0, Urgency.ASKED, 0, id="nothing is left"),
            pytest.param(5000, 0, 9999, 10, Urgency.ASKED, 0, id="less than nothing is left"),
            pytest.param(0, 0, 9999, 0, Urgency.AHEAD, 600, id="ahead: of three quarters"),
            pytest.param(900, 0, 9999, 0, Urgency.AHEAD, 0, id="ahead: not the last quarter"),
            pytest.param(900, 0, 9999, 0, Urgency.ASKED, 200, id="which is for who waits"),
            pytest.param(0, 0, 100, 50, Urgency.ASKED, 150, id="more for what broke off"),
            pytest.param(0, 0, 9999, 300, Urgency.ASKED, 1100, id="beyond its part"),
            pytest.param(0, 0, 9999, 900, Urgency.ASKED, 1200, id="but no more than there is"),
        ],
    )
    def test_a_transfer_may_hold_a_part_of_what_the_others_leave(
        self, others: int, held: int, window: int, beyond: int, urgency: Urgency, share: int
    ) -> None:
        budget = Budget(1200)
        budget.take(others)
        budget.take(held)
        assert budget.share(held, window, beyond, urgency) == share

    def test_what_is_given_on_makes_room(self) -> None:
        budget = Budget(1200)
        budget.take(1200)
        budget.give(600)
        assert (budget.held, budget.share(0, 9999, 0, Urgency.ASKED)) == (600, 400)
