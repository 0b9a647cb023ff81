from __future__ import annotations

from typing import Any

import pytest

from addon.flows.story import Source, Story, new_story
from addon.metrics.metering import Metering
from addon.metrics.metrics import Metrics
from addon.outbound.faults import Fault
from addon.outbound.sent import Sent
from addon.protocol.registry import parse_registry
from addon.protocol.routes import (
    AcmeChallenge,
    Blob,
    Health,
    Ping,
    Ready,
    Referrers,
    Route,
    Tags,
    Token,
)
from tests.e2e.watched import Scrape
from tests.sendings import MANIFEST, a_sent, an_account

HUB = parse_registry("", official="library")
CDN = "cdn.example"


class Counted:
    """A meter, and what a scrape would say."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.metering = Metering(self.metrics, lambda: HUB)

    @property
    def scrape(self) -> Scrape:
        return Scrape(self.metrics.text("")[0].decode())

    def total(self, name: str, **labels: str) -> float:
        return self.scrape.total(name, **labels)

    def sends(self, sent: Sent) -> None:
        self.metering.asked(sent)
        self.metering.answered(sent)
        self.metering.ended(sent)


ROUTES = {
    "ping": Ping(),
    "token": Token("service=a"),
    "manifest": MANIFEST,
    "blob": Blob("a", "sha256:0"),
    "tags": Tags("a"),
    "referrers": Referrers("a", "sha256:0"),
    "health": Health(),
    "ready": Ready(),
    "acme_challenge": AcmeChallenge("a"),
    "other": None,
}


@pytest.mark.parametrize(("name", "route"), ROUTES.items(), ids=ROUTES)
def test_a_request_is_counted_by_its_route(name: str, route: Route | None) -> None:
    counted = Counted()
    counted.metering.finished(an_account(route, size=7))
    assert counted.total("docxy_requests_total") == 1
    assert counted.total("docxy_requests_total", route=name, status="200") == 1
    assert counted.total("docxy_sent_bytes_total", route=name) == 7


@pytest.mark.parametrize(
    ("story", "source", "upstream"),
    [
        ({"source": Source.MIRROR}, "mirror", "none"),
        ({"source": Source.MEMORY}, "memory", "none"),
        (
            {"source": Source.CHECKED, "upstream": "registry-1.docker.io"},
            "memory_checked",
            "registry",
        ),
        ({"source": Source.STALE}, "stale", "none"),
        ({"requests": 2, "upstream": CDN}, "network", "cdn"),
        ({"requests": 1, "upstream": "auth.docker.io"}, "network", "token_service"),
        ({"ahead": Story("a", upstream=CDN)}, "ahead", "cdn"),
        # Somebody else's request is waited for.
        ({"joined": ("a",)}, "network", "none"),
    ],
)
def test_a_request_is_counted_by_where_its_answer_came_from(
    story: dict[str, Any], source: str, upstream: str
) -> None:
    counted = Counted()
    counted.metering.finished(an_account(**story))
    assert counted.total("docxy_requests_total", source=source, upstream=upstream) == 1


def test_times_are_seconds_in_buckets() -> None:
    counted = Counted()
    counted.metering.finished(an_account())
    assert counted.total("docxy_first_byte_seconds_sum", route="manifest") == 0.5
    assert counted.total("docxy_request_duration_seconds_sum", route="manifest") == 2.0
    name = "docxy_request_duration_seconds_bucket"
    assert [counted.total(name, le=le) for le in ("1.0", "2.5", "+Inf")] == [0, 1, 1]


def test_what_was_answered_at_once_had_its_first_byte_with_its_end() -> None:
    counted = Counted()
    counted.metering.finished(an_account(head=0.0))
    assert counted.total("docxy_first_byte_seconds_sum") == 2.0


def test_an_answer_that_broke_off_and_a_request_without_one_are_told_apart() -> None:
    counted = Counted()
    counted.metering.finished(an_account(broken="Client disconnected.", size=3))
    counted.metering.finished(an_account(status=0, broken="Client disconnected."))
    assert counted.total("docxy_broken_answers_total", route="manifest") == 2
    assert counted.total("docxy_requests_total", status="none") == 1
    assert counted.total("docxy_requests_total", status="200") == 1
    assert counted.total("docxy_first_byte_seconds_count") == 1, "of the one that had a head"


@pytest.mark.parametrize(
    ("more", "pulls"),
    [
        ({"gives_image": True}, 1),
        ({"gives_image": True, "method": "HEAD"}, 0),
        ({"gives_image": True, "broken": "Client disconnected."}, 0),
        ({"gives_image": False}, 0),
    ],
    ids=["an image", "asked whether it has changed", "half of it", "an index"],
)
def test_a_pull_is_an_images_manifest_that_was_given(more: dict[str, Any], pulls: int) -> None:
    counted = Counted()
    counted.metering.finished(an_account(**more))
    assert counted.total("docxy_pulls_total") == pulls


def test_what_was_begun_ahead_is_mended_for_whoever_came_for_it() -> None:
    counted = Counted()
    ahead = Story("a", is_ahead=True, resumed=2, lagged=1)
    counted.metering.finished(an_account(ahead=ahead, resumed=1))
    assert counted.total("docxy_resumed_transfers_total") == 3
    assert counted.total("docxy_lagging_pieces_total") == 1


def test_a_request_that_was_sent_is_counted_by_upstream_and_purpose() -> None:
    counted = Counted()
    counted.sends(a_sent(status=200, opened=True))
    counted.sends(a_sent(CDN, "blob", status=206, fields=[("Range", "bytes=0-1")], count=2))
    counted.sends(a_sent(CDN, "blob", status=0, error="upstream cdn.example: …", head=0.0))
    name = "docxy_upstream_requests_total"
    assert counted.total(name, upstream="registry", purpose="manifest", status="200") == 1
    assert counted.total(name, upstream="cdn", purpose="blob_part", status="206") == 1
    assert counted.total(name, upstream="cdn", status="none") == 1
    assert counted.total("docxy_upstream_connections_opened_total", upstream="registry") == 1
    assert counted.total("docxy_upstream_connections_opened_total") == 1
    assert counted.total("docxy_upstream_received_bytes_total", upstream="cdn") == 2
    assert counted.total("docxy_upstream_first_byte_seconds_sum", upstream="registry") == 0.25
    assert counted.total("docxy_upstream_first_byte_seconds_count") == 2


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (a_sent(error="upstream …", broken=Fault.DNS), "dns"),
        (a_sent(error="upstream …"), "other"),
        (a_sent(status=429), "limited"),
        (a_sent(status=503), "server_error"),
        (a_sent(status=404), ""),
        # Whether the connection is kept open is all that counts.
        (a_sent(meant="warming", status=503), ""),
        (a_sent(cut="the rest was not wanted"), ""),
    ],
    ids=["dns", "unknown", "429", "503", "404", "warming", "cut"],
)
def test_what_an_upstream_did_wrong_is_counted_by_cause(sent: Sent, cause: str) -> None:
    counted = Counted()
    counted.sends(sent)
    assert counted.total("docxy_upstream_errors_total") == (1 if cause else 0)
    assert counted.total("docxy_upstream_errors_total", cause=cause) == (1 if cause else 0)


def test_bytes_are_counted_while_they_come_and_once() -> None:
    counted = Counted()
    sent = a_sent(CDN, "blob", count=0)
    counted.metering.asked(sent)
    for received in (100, 250):
        sent.bytes = received
        counted.metering.settle()
        assert counted.total("docxy_upstream_received_bytes_total") == received
    sent.bytes = 300
    counted.metering.ended(sent)
    counted.metering.settle()
    assert counted.total("docxy_upstream_received_bytes_total") == 300


def test_bytes_ahead_are_counted_as_used_or_wasted() -> None:
    counted = Counted()
    used, wasted = (Story(name, is_ahead=True, begun_by="c") for name in ("used", "wasted"))
    counted.sends(a_sent(CDN, "blob", story=used, count=100))
    counted.sends(a_sent(CDN, "blob", story=wasted, count=30))
    new_story().takes(used, is_whole=False)
    wasted.is_dropped = True
    counted.metering.settle()
    assert counted.total("docxy_look_ahead_used_bytes_total") == 100
    assert counted.total("docxy_look_ahead_wasted_bytes_total") == 30


def test_no_label_has_what_a_client_said() -> None:
    counted = Counted()
    counted.metering.finished(an_account(Blob("secret/name", "sha256:" + "a" * 64), path="/v2/x"))
    counted.sends(a_sent("user-chosen.example:1234"))
    for word in ("secret", "sha256", "192.0.2.1", "user-chosen"):
        assert word not in counted.scrape.text
