from __future__ import annotations

import pytest

from addon.flows.story import Story, new_story
from addon.metrics import aheadbytes
from addon.metrics.aheadbytes import AheadBytes
from addon.outbound.sent import Sent
from tests.sendings import a_sent


def ahead(name: str = "ahead-1") -> Story:
    return Story(name, is_ahead=True, begun_by="client-1")


def blob(story: Story, count: int) -> Sent:
    return a_sent("cdn.example", "blob", story=story, count=count)


def test_what_a_client_comes_for_is_used_and_counts_once() -> None:
    counted, story = AheadBytes(), ahead()
    counted.ended(blob(story, 100))
    assert counted.settled() == (0, 0), "it may still be wasted"
    new_story().takes(story, is_whole=True)
    assert counted.settled() == (100, 0)
    story.is_dropped = True
    assert counted.settled() == (0, 0)
    assert len(counted) == 0


def test_what_is_dropped_before_anybody_came_is_wasted() -> None:
    counted, story = AheadBytes(), ahead()
    counted.ended(blob(story, 100))
    story.is_dropped = True
    # It is closed because it is dropped.
    counted.ended(blob(story, 20))
    assert counted.settled() == (0, 120)
    assert len(counted) == 0


def test_what_was_used_is_used_although_it_is_dropped_later() -> None:
    counted, story = AheadBytes(), ahead()
    counted.ended(blob(story, 100))
    new_story().takes(story, is_whole=True)
    story.is_dropped = True
    assert counted.settled() == (100, 0)


def test_a_request_that_was_on_its_way_as_the_client_came_counts_whole() -> None:
    counted, story = AheadBytes(), ahead()
    sent = blob(story, 100)
    new_story().takes(story, is_whole=False)
    counted.ended(sent)
    counted.ended(blob(story, 7))
    assert counted.settled() == (100, 0), "the other was asked for after that, so for the client"


def test_only_what_clients_come_for_counts() -> None:
    counted, story = AheadBytes(), ahead()
    counted.ended(a_sent(meant="redirect", status=307, count=700, story=story))
    counted.ended(blob(new_story(), 100))
    counted.ended(blob(story, 0))
    assert len(counted) == 0


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aheadbytes, "MOST", 2)
    counted = AheadBytes()
    for number in range(5):
        counted.ended(blob(ahead(f"ahead-{number}"), 10))
    assert len(counted) == 2
    assert counted.settled() == (0, 30)
