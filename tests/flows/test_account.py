"""What became of a request, as whoever listens has it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addon.flows.account import Account
from addon.flows.story import Story

ACCOUNT = Account(
    client="192.0.2.1",
    method="GET",
    path="/v2/alpine/manifests/latest",
    status=200,
    size=700,
    started=10.0,
    ended=10.25,
    url="https://hub.example/v2/library/alpine/manifests/latest",
    broken="",
    failure="",
    story=Story("a-1"),
)


@pytest.mark.parametrize(
    ("account", "outcome"),
    [
        pytest.param(ACCOUNT, "200", id="an answer"),
        pytest.param(replace(ACCOUNT, broken="It left."), "It left.", id="broken off"),
        pytest.param(replace(ACCOUNT, status=0, broken="It left."), "It left.", id="no answer"),
    ],
)
def test_the_outcome_is_the_status_or_why_there_is_none(account: Account, outcome: str) -> None:
    assert account.outcome == outcome


def test_the_whole_time_is_from_its_start_to_its_end() -> None:
    assert ACCOUNT.seconds == 0.25
