"""Flows that are asked again."""

from __future__ import annotations

import pytest

from addon.answering.answering import Incoming
from addon.flows.replaying import AS_NOBODY, REPLAYED
from addon.flows.replays import to_replayed, told_of
from addon.outbound.networks import parse_address
from tests.reverseflows import make_flow


@pytest.mark.parametrize(
    ("value", "is_held"),
    [
        pytest.param("Bearer [redacted]", False, id="redacted"),
        pytest.param("Bearer abc", True, id="held by the recording"),
    ],
)
def test_what_is_replayed_shows_the_credentials_that_the_recording_holds(
    caplog: pytest.LogCaptureFixture, value: str, is_held: bool
) -> None:
    caplog.set_level("INFO")
    fields = [("Accept", "a/b"), ("Authorization", value)]
    incoming = Incoming("GET", "/v2/a/tags/list", fields, parse_address("127.0.0.1"), "::1", 1)
    replayed, how = to_replayed(incoming, make_flow())
    assert replayed.is_replayed
    assert replayed.fields == (fields if is_held else fields[:1])
    assert how == (REPLAYED if is_held else AS_NOBODY)
    assert ("/v2/a/tags/list is replayed anonymously" in caplog.text) is not is_held


async def test_a_form_without_its_password_is_replayed_as_anybody_asks() -> None:
    incoming = Incoming("POST", "/auth/token", [], parse_address("127.0.0.1"), "::1", 1)
    flow = make_flow("POST")
    flow.request.content = b"scope=a&password=[redacted]"
    replayed, how = to_replayed(incoming, flow)
    assert (replayed.method, replayed.target) == ("GET", "/auth/token?scope=a")
    assert await replayed.form() == b""
    assert how == AS_NOBODY
    flow.request.content = b"scope=a&password=wonderland"
    replayed, how = to_replayed(incoming, flow)
    assert (replayed.method, replayed.target, how) == ("POST", "/auth/token", REPLAYED)


@pytest.mark.parametrize("told", [None, "text", 7, ["shown"]])
def test_what_a_recording_says_in_another_form_is_nothing(told: object) -> None:
    flow = make_flow()
    flow.metadata["docxy_story"] = told
    assert told_of(flow) == {}
