from __future__ import annotations

import json

import pytest

from addon.flows.story import Source, Story
from addon.flows.telling import caption, cause_of, sent_facts, sent_line, story_facts, story_line
from addon.protocol.refused import Refused
from addon.protocol.routes import Blob, Health, Manifest, Ping, Ready, Referrers, Route, Tags, Token
from tests.outbound.test_sent import a_sent

DIGEST = "sha256:0123456789abcdef" + 48 * "0"
SHORT = "sha256:0123456789ab…"
LATEST = Manifest("alpine", "latest")
LAYER = Blob("alpine", DIGEST)


def a_story(**facts: object) -> Story:
    story = Story("1")
    for name, value in {"route": LATEST, "name": "library/alpine", **facts}.items():
        setattr(story, name, value)
    return story


def line(story: Story, *, size: int | None = None, error: str = "") -> str:
    return story_line(story, started=100.0, ended=100.26, size=size, error=error)


ASKED = {"requests": 1, "waited": 0.0, "head": 100.204}


@pytest.mark.parametrize(
    ("route", "name", "expected"),
    [
        (LATEST, "library/alpine", "alpine:latest → library/alpine"),
        (Manifest("me/app", "1"), "me/app", "me/app:1"),
        (Manifest("alpine", "1"), "", "alpine:1"),
        (Manifest("alpine", DIGEST), "library/alpine", f"alpine@{SHORT} → library/alpine"),
        (LAYER, "library/alpine", f"alpine@{SHORT} → library/alpine"),
        (Tags("me/app"), "me/app", "tags of me/app"),
        (Referrers("me/app", DIGEST), "me/app", f"referrers of me/app@{SHORT}"),
        (
            Token("service=a&scope=repository%3Aalpine%3Apull"),
            "service=a&scope=repository:library/alpine:pull",
            "token for alpine → library/alpine",
        ),
        (Token("scope=repository:a/b:pull"), "scope=repository:a/b:pull", "token for a/b"),
        (
            Token("scope=repository:a/b:pull+repository:c/d:pull,push"),
            "",
            "token for a/b, c/d",
        ),
        (Token("service=a"), "service=a", "token"),
        # A client may send anything.
        (Token("scope=repository:A%0Ab:pull+registry:catalog:*+x"), "", "token"),
        (
            Token("&".join(f"scope=repository:a/{n}:pull" for n in range(99))),
            "",
            "token for a/0, a/1, a/2, a/3, …",
        ),
        (Manifest("a", "ghp_abcdefgh12"), "library/a", "a:[redacted] → library/a"),
        (Ping(), "", "ping"),
        (Health(), "", "health"),
        (Ready(), "", "readiness"),
        (None, "", ""),
    ],
)
def test_what_was_asked_for_and_what_it_is_called_upstream(
    route: Route | None, name: str, expected: str
) -> None:
    assert caption(a_story(route=route, name=name)) == expected


AHEAD = Story("2", is_ahead=True, begun_by="0", resumed=1)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(
            {**ASKED, "remaining": "97;w=21600", "limit": "100;w=21600"},
            "network · waited 0 ms, first byte 204 ms, whole 260 ms · pull limit 97 of 100",
            id="from the registry",
        ),
        pytest.param(
            {**ASKED, "waited": 0.15, "remaining": "97"},
            "network · waited 150 ms, first byte 204 ms, whole 260 ms · pull limit 97 left",
            id="a limit that says no more",
        ),
        pytest.param({}, "from memory · 260 ms", id="from memory"),
        pytest.param(
            {**ASKED, "source": Source.CHECKED},
            "from memory, tag checked · waited 0 ms, first byte 204 ms, whole 260 ms",
            id="tag checked",
        ),
        pytest.param(
            {**ASKED, "source": Source.STALE, "age": 61.4},
            "stale copy, 61 s old · waited 0 ms, first byte 204 ms, whole 260 ms",
            id="stale",
        ),
        pytest.param({"source": Source.MIRROR}, "answered by the mirror · 260 ms", id="mirror"),
        pytest.param(
            {"joined": ("7",)}, "network, waited for another's request · 260 ms", id="shared"
        ),
        pytest.param({"ahead": AHEAD}, "begun ahead, resumed once · 260 ms", id="begun ahead"),
        pytest.param(
            {"ahead": AHEAD, "resumed": 2, "lagged": 1},
            "begun ahead, resumed 3 times, a piece asked for again once · 260 ms",
            id="resumed before and after it was claimed",
        ),
        pytest.param(
            {"requests": 1}, "network · waited 0 ms, whole 260 ms", id="left before an answer"
        ),
    ],
)
def test_where_it_came_from_and_how_long_it_took(facts: dict[str, object], expected: str) -> None:
    assert line(a_story(**facts)) == f"alpine:latest → library/alpine · {expected}"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({}, "", id="nobody was asked"),
        pytest.param(
            {"requests": 1}, "network · waited 0 ms, whole 260 ms", id="an upstream was asked"
        ),
        pytest.param({"ahead": AHEAD}, "begun ahead, resumed once · 260 ms", id="ahead"),
    ],
)
def test_a_failure_says_where_it_came_from_if_anybody_was_asked(
    facts: dict[str, object], expected: str
) -> None:
    told = line(a_story(**facts), error="no")
    assert told == f"failed: no · alpine:latest → library/alpine · {expected or '260 ms'}"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (3_500_000, " 3.5 MB"),
        (1_460, " 1.5 kB"),
        (999, " 999 B"),
        (2_000_000_000, " 2.0 GB"),
        (None, ""),
        (0, ""),
    ],
)
def test_a_blob_is_told_with_its_size(size: int | None, shown: str) -> None:
    told = line(a_story(route=LAYER), size=size)
    assert told == f"alpine@{SHORT} → library/alpine{shown} · from memory · 260 ms"


def test_what_failed_begins_with_the_cause() -> None:
    error = "upstream registry.example: cannot connect: refused"
    assert line(a_story(), error=error) == (
        f"failed: {error} · alpine:latest → library/alpine · 260 ms"
    )
    assert line(a_story(**ASKED), error=error).startswith(f"failed: {error} · alpine:latest")
    # Nothing is known of a request that could not be read.
    assert line(Story("1"), error="x") == "failed: x · 260 ms"


def test_what_is_replayed_says_so_first() -> None:
    told = a_story(replayed="replayed")
    assert line(told) == "replayed · alpine:latest → library/alpine · from memory · 260 ms"
    assert line(told, error="x").startswith("failed: x · replayed · alpine:latest")


URL = "https://registry.example/v2/"


@pytest.mark.parametrize(
    ("status", "requests", "noted", "broken", "expected"),
    [
        (200, 1, "", "", ""),
        (404, 1, "", "", "registry.example answered 404"),
        (429, 1, "", "", "registry.example answered 429"),
        (404, 0, "", "", "the mirror answered 404"),
        (502, 1, "upstream registry.example: refused", "", "upstream registry.example: refused"),
        # A challenge is how a login begins.
        (401, 0, "", "", ""),
        (401, 1, "", "", ""),
        (403, 0, "library/a is private", "", "library/a is private"),
        (200, 1, "", "Client disconnected.", "Client disconnected."),
        # mitmproxy knows no more than that it ended.
        (200, 1, "given up after 6 tries", "peer closed", "given up after 6 tries"),
        (0, 0, "", "Client disconnected.", "Client disconnected."),
    ],
)
def test_why_it_failed(status: int, requests: int, noted: str, broken: str, expected: str) -> None:
    story = a_story(requests=requests, failure=noted)
    assert cause_of(story, Refused(status), URL, broken) == expected


def test_what_a_refusal_says_is_the_cause() -> None:
    story = a_story(**ASKED)
    body = b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'
    cause = cause_of(story, Refused(404, body=body), URL, "")
    assert cause == (
        "registry.example answered 404: MANIFEST_UNKNOWN,"
        " the repository has no manifest of this tag or digest"
    )


def test_it_is_told_where_a_token_is_to_be_had() -> None:
    told = story_line(
        a_story(route=Ping(), name="", source=Source.MIRROR),
        started=0.0,
        ended=0.001,
        size=93,
        error="",
        realm="https://mirror.example/auth/token",
    )
    assert told == (
        "ping · answered by the mirror · to fetch a token at https://mirror.example/auth/token"
        " · 1 ms"
    )


def test_without_an_upstream_it_is_the_mirror_that_answered() -> None:
    assert cause_of(a_story(requests=0), Refused(405), "", "") == "the mirror answered 405"


def test_a_story_in_plain_values_outlives_a_round_trip() -> None:
    story = a_story(**ASKED, ahead=AHEAD, joined=("7", "8"), remaining="9;w=1", limit="10;w=1")
    facts = story_facts(story, url=f"{URL}?sig=a", started=100.0, ended=100.26, size=5, error="")
    assert json.loads(json.dumps(facts)) == facts
    assert facts == {
        "id": "1",
        "url": f"{URL}?sig=[redacted]",
        "what": "alpine:latest → library/alpine",
        "from": "begun ahead",
        "age": 0.0,
        "requests": 1,
        "waited": 0.0,
        "first_byte": 0.204,
        "whole": 0.26,
        "resumed": 1,
        "lagged": 0,
        "limit": "10;w=1",
        "remaining": "9;w=1",
        "waited_for": ["7", "8"],
        "ahead": "2",
        "begun_by": "0",
        "size": 5,
        "realm": "",
        "error": "",
        "replayed": "",
    }


@pytest.mark.parametrize(
    ("meant", "facts", "expected"),
    [
        pytest.param("manifest", {}, "manifest · for alpine:latest · on its way", id="asked"),
        pytest.param(
            "manifest",
            {"opened": True, "gone": 100.01, "head": 100.2, "end": 100.21, "bytes": 1234},
            "manifest · for alpine:latest · new connection, waited 10 ms, first byte 200 ms,"
            " whole 210 ms · 1.2 kB",
            id="whole",
        ),
        pytest.param(
            "token",
            {"end": 101.0, "error": "upstream a: refused"},
            "failed: upstream a: refused · token · for alpine:latest · whole 1000 ms",
            id="no connection",
        ),
        pytest.param(
            "tag check",
            {"gone": 100.0, "head": 100.1, "end": 100.1, "status": 429},
            "failed: registry.example answered 429 · tag check · for alpine:latest"
            " · waited 0 ms, first byte 100 ms, whole 100 ms",
            id="a status",
        ),
        pytest.param(
            "blob",
            {"gone": 100.0, "head": 100.1, "end": 100.2, "bytes": 5, "cut": "not wanted"},
            "blob · for alpine:latest · waited 0 ms, first byte 100 ms, whole 200 ms · 5 B"
            " · not wanted",
            id="cut",
        ),
    ],
)
def test_a_request_of_the_mirrors_own_in_one_line(
    meant: str, facts: dict[str, object], expected: str
) -> None:
    sent = a_sent(meant, story=a_story(name=""))
    for name, value in facts.items():
        setattr(sent, name, value)
    assert sent_line(sent) == expected


def test_a_token_is_told_once() -> None:
    route = Token("scope=repository:a/b:pull")
    told = sent_line(a_sent("token", story=a_story(route=route, name=route.query)))
    assert told == "token · for a/b · on its way"


def test_what_is_begun_ahead_and_what_nobody_asked_for_say_so() -> None:
    ahead = Story("2", is_ahead=True, begun_by="1", route=LATEST)
    assert sent_line(a_sent("blob", part="0-9", story=ahead)) == (
        "blob part 0-9 · ahead, for alpine:latest · on its way"
    )
    assert sent_line(a_sent("warming")) == "warming · on its way"


def test_a_request_of_the_mirrors_own_in_plain_values() -> None:
    sent = a_sent("blob", part="0-9", status=206, story=Story("2", is_ahead=True, begun_by="1"))
    sent.gone, sent.head, sent.end, sent.bytes = 100.1, 100.2, 100.3, 10
    facts = sent_facts(sent)
    assert json.loads(json.dumps(facts)) == facts
    assert facts == {
        "url": "https://registry.example/v2/library/a/blobs/sha256:0",
        "purpose": "blob part",
        "cause": "1",
        "story": "2",
        "ahead": True,
        "part": "0-9",
        "began": 1000.0,
        "opened": False,
        "waited": 0.1,
        "first_byte": 0.2,
        "whole": 0.3,
        "bytes": 10,
        "error": "",
        "cut": "",
    }
