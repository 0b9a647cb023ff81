from __future__ import annotations

from addon.ahead.watchers import Watchers

PATIENCE = 3
MAX_CLIENTS = 100


def test_a_client_that_claims_nothing_soon_causes_nothing() -> None:
    watchers = Watchers(PATIENCE, MAX_CLIENTS)
    assert [watchers.asked("10.0.0.1") for _ in range(PATIENCE + 3)] == [True] * PATIENCE + [
        False
    ] * 3


def test_one_claim_makes_it_a_client_that_pulls_again() -> None:
    watchers = Watchers(PATIENCE, MAX_CLIENTS)
    for _ in range(1000):
        watchers.asked("10.0.0.1")
    watchers.claimed("10.0.0.1")
    assert watchers.asked("10.0.0.1")


def test_clients_are_told_apart() -> None:
    watchers = Watchers(PATIENCE, MAX_CLIENTS)
    for _ in range(PATIENCE):
        watchers.asked("10.0.0.1")
    assert watchers.asked("10.0.0.2")
    watchers.claimed("10.0.0.2")
    assert not watchers.asked("10.0.0.1")


def test_a_claim_of_nobody_is_nothing() -> None:
    watchers = Watchers(PATIENCE, MAX_CLIENTS)
    watchers.claimed("10.0.0.1")
    assert len(watchers) == 0


def test_clients_are_bounded_in_number() -> None:
    watchers = Watchers(PATIENCE, MAX_CLIENTS)
    for number in range(MAX_CLIENTS + 100):
        watchers.asked(str(number))
    assert len(watchers) == MAX_CLIENTS
