from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from addon.tls.certificates import Pair
from addon.tls.expiry import ExpiryReminder

END = datetime(2026, 6, 30, 12, tzinfo=UTC)
PAIR = Pair(
    pem=b"",
    names=("a.example", "b.example"),
    not_before=END - timedelta(days=90),
    not_after=END,
    chain_length=2,
    fingerprint="",
)


@pytest.mark.parametrize(
    ("before_end", "words"),
    [
        pytest.param(timedelta(days=14, seconds=1), None, id="not yet"),
        pytest.param(timedelta(days=14), "in 14 days", id="14 days"),
        pytest.param(timedelta(hours=5), "in 0 days", id="the last hours"),
        pytest.param(-timedelta(seconds=1), "expired on 2026-06-30 12:00 UTC", id="over"),
    ],
)
def test_the_last_14_days_are_worth_a_reminder(before_end: timedelta, words: str | None) -> None:
    message = ExpiryReminder().message(PAIR, END - before_end)
    assert (message is None) if words is None else (message is not None and words in message)
    assert message is None or "a.example, b.example" in message


def test_reminders_come_once_a_day() -> None:
    reminder = ExpiryReminder()
    start = END - timedelta(days=13)
    hours = [
        hour
        for hour in range(15 * 24)
        if reminder.message(PAIR, start + timedelta(hours=hour)) is not None
    ]
    assert hours == [day * 24 for day in range(15)]
