"""What the hooks note of a request."""

from __future__ import annotations

from addon.flows.exchange import Exchange


def test_one_that_shows_an_upstream_goes_to_the_inner_connection() -> None:
    assert not Exchange(client="192.0.2.1", started=0.0).is_inner
    assert Exchange(client="192.0.2.1", started=0.0, shown="https://hub.example/v2/").is_inner


def test_each_has_a_story_of_its_own() -> None:
    first, second = (Exchange(client="192.0.2.1", started=0.0) for _ in range(2))
    assert first.story.id != second.story.id
