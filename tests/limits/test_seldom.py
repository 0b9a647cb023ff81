from __future__ import annotations

from addon.limits.seldom import Seldom
from tests.clock import Clock


def test_a_kind_is_said_at_once_and_then_seldom_with_its_number() -> None:
    clock = Clock()
    seldom = Seldom(60.0, clock)
    assert [seldom.count("a") for _ in range(4)] == [1, 0, 0, 0]
    clock.now += 59.9
    assert seldom.count("a") == 0
    clock.now += 0.1
    assert [seldom.count("a"), seldom.count("a")] == [5, 0]


def test_kinds_are_counted_apart() -> None:
    seldom = Seldom(60.0, Clock())
    assert [seldom.count(kind) for kind in "aba"] == [1, 1, 0]
