"""The lines that the log has for a request and for a pull."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from addon.flows.account import Account
from addon.flows.story import Source, Story
from addon.log.jsonlines import JsonLines
from addon.log.requestlog import log_account, log_pull, pull_facts, request_facts
from addon.log.summaries import Pull
from addon.protocol.routes import Blob, Manifest, Ping, Referrers, Route, Tags
from tests.flows.test_account import ACCOUNT

DIGEST = "sha256:" + "a" * 64


def story(route: Route | None = None, name: str = "", source: Source | None = None) -> Story:
    return Story("a-1", route=route, name=name, source=source, requests=1)


@pytest.mark.parametrize(
    ("account", "line"),
    [
        pytest.param(
            replace(ACCOUNT, story=story()),
            "192.0.2.1 GET /v2/alpine/manifests/latest: 200, 700 bytes, 250 ms, network"
            " <- https://hub.example/v2/library/alpine/manifests/latest",
            id="from an upstream",
        ),
        pytest.param(
            replace(ACCOUNT, url="", path="/v2/", status=401, story=story(source=Source.MIRROR)),
            "192.0.2.1 GET /v2/: 401, 700 bytes, 250 ms, mirror",
            id="by the mirror itself",
        ),
        pytest.param(
            replace(
                ACCOUNT, url="", broken="Client disconnected.", story=story(source=Source.AHEAD)
            ),
            "192.0.2.1 GET /v2/alpine/manifests/latest: Client disconnected.,"
            " 700 bytes, 250 ms, begun ahead",
            id="broken off",
        ),
    ],
)
def test_a_request_is_one_line(
    account: Account, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    log_account(account)
    assert caplog.messages == [line]


@pytest.mark.parametrize(
    ("route", "name", "image"),
    [
        pytest.param(Manifest("alpine", "3"), "library/alpine", ("library/alpine", "3"), id="tag"),
        pytest.param(Manifest("a/b", DIGEST), "", ("a/b", DIGEST), id="digest"),
        pytest.param(
            Blob("alpine", DIGEST), "library/alpine", ("library/alpine", DIGEST), id="blob"
        ),
        pytest.param(Referrers("a/b", DIGEST), "", ("a/b", DIGEST), id="referrers"),
        pytest.param(Tags("a/b"), "", ("a/b", ""), id="tags"),
        pytest.param(Ping(), "", ("", ""), id="no image"),
        pytest.param(None, "", ("", ""), id="no route"),
    ],
)
def test_a_program_gets_repository_and_reference(
    route: Route | None, name: str, image: tuple[str, str]
) -> None:
    facts = request_facts(replace(ACCOUNT, story=story(route, name)))
    assert (facts["repository"], facts["reference"]) == image


def test_a_program_gets_all_of_a_request() -> None:
    told = story(Manifest("alpine", "latest"), "library/alpine")
    told.head = 10.0625
    account = replace(ACCOUNT, story=told, status=0, failure="It left.", broken="It left.")
    assert request_facts(account) == {
        "event": "request",
        "client": "192.0.2.1",
        "method": "GET",
        "path": "/v2/alpine/manifests/latest",
        "repository": "library/alpine",
        "reference": "latest",
        "status": None,
        "bytes": 700,
        "ms": 250.0,
        "first_byte_ms": 62.5,
        "from": "network",
        "upstream": "https://hub.example/v2/library/alpine/manifests/latest",
        "error": "It left.",
    }
    assert request_facts(ACCOUNT).keys() == request_facts(account).keys()


PULL = Pull("192.0.2.1", "library/alpine", "latest", began=10.0, ended=10.5, blobs=4, size=9000)
PULL.sources.update({Source.MEMORY: 1, Source.AHEAD: 2, Source.NETWORK: 1})


@pytest.mark.parametrize(
    ("pull", "line"),
    [
        pytest.param(
            PULL,
            "192.0.2.1 pulled library/alpine:latest: 4 blobs, 9000 bytes"
            " (1 from memory, 2 begun ahead, 1 from the network), 500 ms",
            id="whole",
        ),
        pytest.param(
            replace(PULL, reference=DIGEST, failed=2),
            f"192.0.2.1 pulled library/alpine@{DIGEST}: 4 blobs, 9000 bytes"
            " (1 from memory, 2 begun ahead, 1 from the network), 2 failed, 500 ms",
            id="by digest, with failures",
        ),
    ],
)
def test_a_pull_is_one_line(pull: Pull, line: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log_pull(pull)
    assert caplog.messages == [line]


def test_a_program_gets_all_of_a_pull() -> None:
    assert pull_facts(PULL) == {
        "event": "pull",
        "client": "192.0.2.1",
        "repository": "library/alpine",
        "reference": "latest",
        "blobs": 4,
        "bytes": 9000,
        "from_memory": 1,
        "from_ahead": 2,
        "from_network": 1,
        "ms": 500.0,
        "failed": 0,
    }


def test_the_facts_go_into_the_json_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_account(ACCOUNT)
    log_pull(PULL)
    request, pull = (json.loads(JsonLines().format(record)) for record in caplog.records)
    assert request.items() >= request_facts(ACCOUNT).items()
    assert pull.items() >= pull_facts(PULL).items()
    assert [*request][:3] == [*pull][:3] == ["time", "level", "message"]
