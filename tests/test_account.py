"""The line that the log has for a request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addon.account import Account, log_account
from addon.story import Story

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
    ("account", "line"),
    [
        pytest.param(
            ACCOUNT,
            "192.0.2.1 GET /v2/alpine/manifests/latest: 200, 250 ms"
            " <- https://hub.example/v2/library/alpine/manifests/latest",
            id="from an upstream",
        ),
        pytest.param(
            replace(ACCOUNT, url="", path="/v2/", status=401),
            "192.0.2.1 GET /v2/: 401, 250 ms",
            id="by the mirror itself",
        ),
        pytest.param(
            replace(ACCOUNT, url="", broken="Client disconnected."),
            "192.0.2.1 GET /v2/alpine/manifests/latest: Client disconnected., 250 ms",
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
