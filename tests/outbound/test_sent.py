from __future__ import annotations

import time

import pytest

from addon.flows.story import UNTOLD, Story, new_story
from addon.outbound.faults import Fault
from addon.outbound.hosts import Host
from addon.outbound.sent import Sent, Watches

URL = "https://registry.example/v2/library/a/blobs/sha256:0"


def a_sent(
    meant: str = "blob", *, status: int = 0, part: str = "", story: Story = UNTOLD, error: str = ""
) -> Sent:
    fields = [("Accept", "a/b"), *([("Range", f"bytes={part}")] if part else [])]
    sent = Sent(
        Host(time.monotonic),
        "registry.example",
        "GET",
        URL,
        fields,
        meant,
        story,
        asked=100.0,
        began=1000.0,
    )
    sent.status = status
    sent.error = error
    return sent


@pytest.mark.parametrize(
    ("meant", "status", "part", "expected"),
    [
        ("token", 200, "", "token"),
        ("manifest", 404, "", "manifest"),
        ("redirect", 307, "", "redirect"),
        # A registry that keeps its blobs itself.
        ("redirect", 200, "", "blob"),
        ("redirect", 206, "0-9", "blob"),
        ("redirect", 0, "", "redirect"),
        ("blob", 200, "", "blob"),
        ("blob", 206, "0-9", "blob part"),
        ("blob", 0, "0-9", "blob part"),
        # From the registry to the CDN, or from one CDN to another.
        ("blob", 307, "0-9", "redirect"),
        ("warming", 401, "", "warming"),
    ],
)
def test_what_it_is_for_may_be_known_from_its_answer_alone(
    meant: str, status: int, part: str, expected: str
) -> None:
    assert a_sent(meant, status=status, part=part).purpose == expected


@pytest.mark.parametrize(
    ("meant", "status", "error", "expected"),
    [
        ("manifest", 200, "", False),
        ("manifest", 404, "", True),
        ("manifest", 429, "", True),
        ("token", 503, "", True),
        ("blob", 206, "it broke off", True),
        # How a challenge is had, and how it is learnt that a blob is empty.
        ("challenge", 401, "", False),
        ("manifest", 401, "", False),
        # The token service challenges nobody: a login was refused.
        ("token", 401, "", True),
        ("blob", 416, "", False),
        # It left a connection open, whatever it said.
        ("warming", 403, "", False),
        ("spare", 404, "", False),
        ("warming", 0, "cannot connect", True),
    ],
)
def test_whether_it_has_failed(meant: str, status: int, error: str, expected: bool) -> None:
    assert a_sent(meant, status=status, error=error).has_failed is expected


def test_the_range_that_a_client_asks_for_is_shown_harmless_and_short() -> None:
    part = a_sent(part="0-1,\x1b]0;x\x07\x9b" + "9" * 50_000).part
    assert part.startswith("0-1,\\x1b]0;x\\x07\\x9b999")
    assert len(part) < 100


@pytest.mark.parametrize(
    ("meant", "status", "error", "expected"),
    [
        ("manifest", 200, "", None),
        # What is not there, or not for everyone, is no fault of an upstream's.
        ("manifest", 404, "", None),
        ("manifest", 401, "", None),
        ("manifest", 429, "", Fault.LIMITED),
        ("token", 503, "", Fault.SERVER),
        ("warming", 503, "", None),
        ("blob", 206, "it broke off", Fault.CUT_SHORT),
        ("warming", 0, "cannot connect", Fault.CUT_SHORT),
    ],
)
def test_what_an_upstream_did_wrong(
    meant: str, status: int, error: str, expected: Fault | None
) -> None:
    sent = a_sent(meant, status=status, error=error)
    sent.broken = Fault.CUT_SHORT if error else None
    assert sent.fault is expected


def test_what_is_sent_ahead_stays_so_when_a_client_comes() -> None:
    ahead = Story("a", is_ahead=True)
    before = a_sent(story=ahead)
    new_story().takes(ahead, is_whole=False)
    after = a_sent(story=ahead)
    assert (before.is_ahead, after.is_ahead, a_sent().is_ahead) == (True, False, False)


class Noting:
    """Notes what it hears."""

    def __init__(self, heard: list[str], name: str) -> None:
        self._heard, self._name = heard, name

    def asked(self, _sent: Sent) -> None:
        self._heard.append(f"{self._name} asked")

    def answered(self, _sent: Sent) -> None:
        self._heard.append(f"{self._name} answered")

    def ended(self, _sent: Sent) -> None:
        self._heard.append(f"{self._name} ended")


def test_several_who_watch_hear_all_of_it() -> None:
    heard: list[str] = []
    watches = Watches(Noting(heard, "one"), Noting(heard, "other"))
    for tell in (watches.asked, watches.answered, watches.ended):
        tell(a_sent())
    events = ("asked", "answered", "ended")
    assert heard == [f"{who} {what}" for what in events for who in ("one", "other")]


def test_times_are_counted_from_its_beginning() -> None:
    sent = a_sent()
    assert (sent.seconds(sent.gone), sent.since_1970(sent.gone)) == (None, None)
    sent.gone = 100.25
    assert (sent.seconds(sent.gone), sent.since_1970(sent.gone)) == (0.25, 1000.25)


def test_its_cause_is_whoever_wanted_it_when_it_was_asked_for() -> None:
    story = Story("child", is_ahead=True, begun_by="manifest")
    before = a_sent(story=story)
    story.claimed_by = "layer"
    after = a_sent(story=story)
    assert (before.cause, after.cause) == ("manifest", "layer")
